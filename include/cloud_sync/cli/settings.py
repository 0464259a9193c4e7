"""From options to the settings of an integration, checked as those of an integration file are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from cloud_sync.cli.options import words
from cloud_sync.errors import ConfigError

if TYPE_CHECKING:
    from cloud_sync.integration import Integration

OPTIONS: Final[Mapping[str, str]] = {
    "name": "--name",
    "schedule": "--schedule",
    "storage.provider": "--provider",
    "storage.bucket": "the bucket",
    "storage.prefix": "the prefix",
    "storage.connection_id": "--storage-connection",
    "storage.url_style": "--url-style",
    "storage.mrap_arn": "--mrap-arn",
    "storage.region": "--region",
    "storage.account": "--account",
    "storage": "--url-style, --mrap-arn",
    "target.connection_id": "--encord-connection",
    "target.dataset": "--dataset",
    "select.include": "--include",
    "select.exclude": "--exclude",
    "select.minimum_age": "--minimum-age",
    "select.maximum_size": "--maximum-size",
    "types.videos": "--videos",
    "types.images": "--images",
    "types.audio": "--audio",
    "types.pdf": "--pdf",
    "types.nifti": "--nifti",
    "types.dicom": "--dicom",
    "types.text": "--text",
    "types": "the extensions",
    "groups.type": "--group-type",
    "groups.by": "--group-by",
    "groups.pattern": "--group-pattern",
    "groups.title": "--group-title",
    "groups.complete.quiet_for": "--quiet-for",
    "groups": "--group-type, --group-by",
    "title": "--title",
    "upload.items_per_manifest": "--items-per-manifest",
}
"""What a person at the command line calls each setting."""


def checked(settings: Mapping[str, Any]) -> Integration:
    """Return the settings as an integration; those that are None count as left out.

    Raises:
        ConfigError: Something is wrong; names the option and the remedy.
    """
    from cloud_sync.integration import check_integration

    return check_integration(without_none(settings), names=OPTIONS)


def without_none(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings without those that are None, at every level."""
    return {
        name: without_none(value) if isinstance(value, Mapping) else value
        for name, value in settings.items()
        if value is not None
    }


def types_settings(only: str | None, extensions: Mapping[str, str | None]) -> dict[str, list[str] | None]:
    """Return the section `types`.

    Args:
        only: The fields that count, such as `videos,images`; None for those with extensions by default.
        extensions: Of each field; None for its default.

    Raises:
        ConfigError: `only` names what is no field.
    """
    from cloud_sync.integration.model import TYPE_OF

    chosen = words(only) if only is not None else list(TYPE_OF)
    if unknown := [name for name in chosen if name not in TYPE_OF]:
        raise ConfigError(
            f"{unknown[0]!r} is no type.", where="--only", remedy=f"Types: {', '.join(TYPE_OF)}."
        )
    given = {name: words(text) for name, text in extensions.items() if text is not None}
    if "text" in chosen and only is not None:
        given.setdefault("text", ["txt"])
    return {name: given.get(name) if name in chosen else [] for name in TYPE_OF}


def groups_settings(
    *, group_type: str | None, by: str | None, pattern: str | None, **others: Any
) -> list[dict[str, Any]]:
    """Return the section `groups`: one rule, or none where nothing was said of groups.

    Raises:
        ConfigError: Something was said of groups, but not what they become and how they are found.
    """
    rule = without_none({"type": group_type, "by": by, "pattern": pattern, **others})
    rule = {name: value for name, value in rule.items() if value != {}}
    if rule and not {"type", "by"} <= rule.keys():
        raise ConfigError(
            "groups need both.", where="--group-type, --group-by", remedy="Give both or neither."
        )
    return [rule] if rule else []
