"""Read integration files: the good ones, and for each bad one an error with file, line and remedy."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from cloud_sync.errors import ConfigError
from cloud_sync.integration.fields import FieldError, Section, shortened
from cloud_sync.integration.model import Integration
from cloud_sync.nearest import did_you_mean, one_of
from cloud_sync.yaml_file import YamlFile, read_yaml

LIST_TOLD = "must be a list, such as [a, b]"
NAME_LINE = re.compile(r"^name:[ \t]*['\"]?([\w-]+)", re.MULTILINE)
IN_QUOTES = re.compile(r"'([^']*)'")
MOST_HOMES = 2


@dataclass(frozen=True, slots=True)
class LoadedIntegrations:
    """What a folder of integration files holds.

    Attributes:
        integrations: The good ones, each with its file.
        errors: One for each bad file.
        broken: The same by the names that the bad files say, in which names of good ones do not stand.
    """

    integrations: tuple[tuple[Path, Integration], ...]
    errors: tuple[ConfigError, ...]
    broken: Mapping[str, ConfigError] = field(default_factory=dict)


def load_integrations(folder: Path) -> LoadedIntegrations:
    """Read every `*.yaml` and `*.yml` file of a folder; names with a leading `_` or `.` are left alone.

    A folder that does not exist is an error, not an empty one. Else as `load_files`.
    """
    if not folder.is_dir():
        return LoadedIntegrations(integrations=(), errors=(_no_folder(folder),))
    files = [path for path in sorted(folder.glob("*.y*ml")) if path.suffix in {".yaml", ".yml"}]
    return load_files([path for path in files if _is_open(path)])


def load_files(files: Iterable[Path]) -> LoadedIntegrations:
    """Read some files. A bad one does not hide the others.

    Two files of one folder with one name are both errors, since neither can be said to be the right one.
    """
    good: list[tuple[Path, Integration]] = []
    bad: list[tuple[Path, ConfigError]] = []
    for path in dict.fromkeys(files):
        try:
            good.append((path, load_integration(path)))
        except ConfigError as error:
            bad.append((path, error))
    namesakes: dict[tuple[Path, str], list[Path]] = {}
    for path, integration in good:
        if _is_open(path):
            namesakes.setdefault((path.parent.absolute(), integration.name), []).append(path)
    for (_, name), paths in namesakes.items():
        if len(paths) > 1:
            bad += [(path, _same_name(name, path, paths)) for path in paths]
            good = [(path, one) for path, one in good if path not in paths]
    names = {one.name for _, one in good}
    broken = {name: error for path, error in bad if (name := _said_name(path)) not in names}
    return LoadedIntegrations(tuple(good), tuple(error for _, error in bad), broken)


def _said_name(path: Path) -> str:
    """Return the name that a bad file says as far as it can be read, else that of the file."""
    try:
        said = NAME_LINE.search(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        said = None
    return said[1] if said else path.stem


def _is_open(path: Path) -> bool:
    """Tell whether loading the folder reads the file."""
    return not path.name.startswith(("_", "."))


def _no_folder(folder: Path) -> ConfigError:
    return ConfigError(
        "is not a folder.",
        where=str(folder),
        remedy="Create it, or correct the setting integrations_folder in the section cloud_sync.",
    )


def _same_name(name: str, path: Path, paths: list[Path]) -> ConfigError:
    others = ", ".join(other.name for other in paths if other != path)
    return ConfigError(
        f"the name {name!r} stands in {others} too.",
        where=f"{path}, name",
        remedy="Give each integration a name of its own.",
    )


def load_integration(path: Path) -> Integration:
    """Read and check one integration file.

    Raises:
        ConfigError: The file cannot be read or is wrong; names the file, each line and each remedy.
    """
    file = read_yaml(path)
    try:
        return Integration.model_validate(file.data)
    except ValidationError as error:
        raise _validation_error(path, file, error) from None


def check_integration(data: Mapping[str, Any], *, names: Mapping[str, str]) -> Integration:
    """Check settings that stand in no file.

    Args:
        data: The settings, as a file would have them.
        names: What a person calls each: `{"storage.bucket": "--bucket"}`. A section's name holds for all in
            it that has no name of its own.

    Raises:
        ConfigError: Something is wrong; names each setting and each remedy.
    """
    try:
        return Integration.model_validate(data)
    except ValidationError as error:
        problems = [f"{_name(place, names)}: {text}" for place, text in _problems(error)]
        if len(problems) > 1:
            problems = [f"{len(problems)} problems.", *problems]
        raise ConfigError("\n  ".join(problems)) from None


def _name(loc: tuple[int | str, ...], names: Mapping[str, str]) -> str:
    steps = [step for step in loc if isinstance(step, str)]
    dotted = [".".join(steps[:length]) for length in range(len(steps), 0, -1)]
    return next((names[name] for name in dotted if name in names), dotted[0] if dotted else "the settings")


def _validation_error(path: Path, file: YamlFile, error: ValidationError) -> ConfigError:
    problems = sorted((*file.place(place), text) for place, text in _problems(error))
    if len(problems) == 1:
        line, field, text = problems[0]
        return ConfigError(text, where=f"{path}, line {line}, {field}")
    lines = [f"\n  line {line}, {field}: {text}" for line, field, text in problems]
    return ConfigError(f"{len(problems)} problems.{''.join(lines)}", where=str(path))


def _problems(error: ValidationError) -> Iterator[tuple[tuple[int | str, ...], str]]:
    """Yield the place of each problem, and what is wrong there and what to write instead."""
    for detail in error.errors(include_url=False):
        place, cause = detail["loc"], detail.get("ctx", {}).get("error")
        if not isinstance(cause, FieldError):
            yield place, _explain(detail)
            continue
        text = str(cause)
        yield (
            place if cause.at is None else (*place[:-1], *cause.at),
            text if text.endswith((".", "?")) else f"{text}.",
        )


def _explain(detail: Any) -> str:
    kind, loc, given = detail["type"], detail["loc"], detail["input"]
    if kind == "missing":
        return f"is missing. Add it: {_doc(loc)}"
    if kind == "extra_forbidden":
        return f"is not a field. {_instead_of(str(loc[-1]), loc[:-1])}"
    if kind == "model_type":
        return f"must hold fields, one a line, indented. Fields here: {', '.join(_fields_at(loc))}."
    message = detail["msg"].removeprefix("Value error, ")
    message = LIST_TOLD if kind == "tuple_type" else message[:1].lower() + message[1:]
    shown = f" (it says {shortened(given)})" if isinstance(given, str | int | float | bool) else ""
    if kind == "literal_error":
        hint = did_you_mean(str(given), IN_QUOTES.findall(detail["ctx"]["expected"]))
    else:
        hint = "Write it in quotes." if kind == "string_type" and shown else ""
    return " ".join(filter(None, (f"{message}{shown}.", hint, _doc(loc))))


def _instead_of(name: str, section: tuple[int | str, ...]) -> str:
    """Say what to do about a name that is no field of a section."""
    model, known = _model_at(section), _fields_at(section)
    if model and (instead := model.instead_of.get(name)):
        return instead
    homes = list(_homes(name, Integration))
    if 0 < len(homes) <= MOST_HOMES:
        return f"Did you mean {one_of(homes)}?"
    return did_you_mean(name, known) or f"Fields here: {', '.join(known)}."


def _homes(name: str, model: type[Section], above: str = "") -> Iterator[str]:
    """Yield the fields of a name, wherever they are in the file."""
    for field_name, field_info in model.model_fields.items():
        if field_name == name:
            yield f"{above}{name}"
        if section := section_of(field_info.annotation):
            yield from _homes(name, section, f"{above}{field_name}.")


def _fields_at(loc: tuple[int | str, ...]) -> list[str]:
    model = _model_at(loc)
    return list(model.model_fields) if model else []


def _model_at(loc: tuple[int | str, ...]) -> type[Section] | None:
    """Return the section at a place; the places of a list's entries count like the list's own."""
    model: type[Section] | None = Integration
    for step in loc:
        if isinstance(step, str):
            field = model.model_fields.get(step) if model else None
            model = section_of(field.annotation) if field else None
    return model


def section_of(annotation: Any) -> type[Section] | None:
    """Return the section that a field holds: itself, or as an entry of a list, or unless it is left out."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    return next((found for part in get_args(annotation) if (found := section_of(part))), None)


def _doc(loc: tuple[int | str, ...]) -> str:
    names = [step for step in loc if isinstance(step, str)]
    model = _model_at(tuple(names[:-1]))
    field = model.model_fields.get(names[-1]) if model and names else None
    text = (field.description or (_section_doc(field.annotation))) if field else ""
    return " ".join(text.split())


def _section_doc(annotation: Any) -> str:
    section = section_of(annotation)
    return (section.__doc__ or "") if section else ""
