"""Write an integration file that explains itself: each field with its meaning above it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pydantic import BaseModel

COMMENT_WIDTH: Final = 100
SCHEMA_NAME: Final = "integration.schema.json"


def integration_text(settings: Mapping[str, Any], *, folder: Path) -> str:
    """Return the YAML of settings that were checked.

    Args:
        settings: The fields, in the order in which they are to stand.
        folder: Where the file will be; editors are pointed to the schema if it is there.
    """
    from cloud_sync.integration import Integration

    lines = [f"# yaml-language-server: $schema={SCHEMA_NAME}"] if (folder / SCHEMA_NAME).is_file() else []
    lines += ["# More fields, each with an example: include/integrations/_example.yaml", ""]
    lines += _fields(settings, Integration, "")
    return "\n".join(lines) + "\n"


def _fields(settings: Mapping[str, Any], model: type[BaseModel], indent: str) -> Iterator[str]:
    from cloud_sync.integration.files import section_of

    for name, value in settings.items():
        field = model.model_fields[name]
        section = section_of(field.annotation)
        comment = field.description or (section.__doc__ if section else "") or ""
        yield from textwrap.wrap(
            " ".join(comment.split()),
            COMMENT_WIDTH,
            initial_indent=f"{indent}# ",
            subsequent_indent=f"{indent}# ",
        )
        if section is None:
            yield f"{indent}{name}: {_flow(value)}"
        elif isinstance(value, Mapping):
            yield f"{indent}{name}:"
            yield from _fields(value, section, f"{indent}  ")
        else:
            yield f"{indent}{name}:"
            for entry in value:
                lines = list(_fields(entry, section, f"{indent}    "))
                yield f"{indent}  -"
                yield from lines


def _flow(value: Any) -> str:
    """Return a value on one line, quoted where it has to be."""
    import yaml

    style = '"' if isinstance(value, str) and not value.isprintable() else None
    text = yaml.safe_dump(
        value, default_flow_style=True, default_style=style, allow_unicode=True, width=float("inf")
    )
    return text.removesuffix("\n").removesuffix("\n...")
