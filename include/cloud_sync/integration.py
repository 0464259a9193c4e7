"""The integration file: one YAML file that says what to sync, from where, to which dataset.

The model below is the one source of its fields, defaults and limits: the JSON schema for editors is
exported from it, and each error names the file, the line and the remedy.
"""

from __future__ import annotations

import difflib
import json
import re
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ByteSize,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    WithJsonSchema,
    model_validator,
)

from cloud_sync.errors import ConfigError
from cloud_sync.yaml_file import YamlFile, read_yaml

MAX_ITEMS_PER_MANIFEST = 10_000  # Encord's documented limit of data units at one time
MAX_DURATION = timedelta(days=3650)
MAX_SIZE_BYTES = 1 << 60
MAX_SHOWN = 80  # characters of a wrong value that an error repeats
DURATION = re.compile(r"(?P<count>[0-9]{1,9})\s*(?P<unit>[smhd])")
CRON_FIELDS = 5
DURATION_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
EXTENSION = re.compile(r"[a-z0-9][a-z0-9.]*")


def _duration(value: Any) -> Any:
    if isinstance(value, str) and (match := DURATION.fullmatch(value.strip().lower())):
        value = timedelta(**{DURATION_UNITS[match["unit"]]: int(match["count"])})
    if isinstance(value, timedelta) and timedelta(0) <= value <= MAX_DURATION:
        return value
    raise ValueError(
        f"write a whole number and a unit: 30s, 10m, 2h or 1d; at most {MAX_DURATION // timedelta(days=1)}d"
    )


def _cron(value: str) -> str:
    from croniter import CroniterError, croniter

    fields = value.split()
    # croniter also takes seconds and random fields (R), which Airflow would run otherwise than meant.
    if len(fields) == CRON_FIELDS and not any(field[0] in "rRhH" for field in fields):
        try:
            croniter(value).get_next()
        except (CroniterError, ValueError):
            pass
        else:
            return value
    raise ValueError(
        "write a cron expression of five fields that comes to pass, such as '0 2 * * *', or leave it out"
    )


def _extension(value: str) -> str:
    cleaned = value.strip().lower().removeprefix(".")
    if not EXTENSION.fullmatch(cleaned):
        raise ValueError("write a file name extension, such as mp4")
    return cleaned


def _pattern(value: str) -> str:
    from cloud_sync.patterns import patterns_to_regex

    if not value.strip() or value.startswith(("!", "#")):
        raise ValueError(
            "write a pattern such as '*.mp4' or 'raw/**'; to leave objects out use select.exclude"
        )
    try:
        patterns_to_regex([value], where="")
    except ConfigError as error:
        raise ValueError(error.message.rstrip(".")) from None
    return value


Duration = Annotated[
    timedelta,
    BeforeValidator(_duration),
    PlainSerializer(lambda value: f"{value // timedelta(seconds=1)}s", return_type=str),
    WithJsonSchema(
        {"type": "string", "pattern": r"^\s*[0-9]{1,9}\s*[smhdSMHD]\s*$", "examples": ["10m", "1d"]}
    ),
]
Size = Annotated[
    ByteSize,
    Field(ge=1, le=MAX_SIZE_BYTES),
    WithJsonSchema({"type": ["string", "integer"], "examples": ["1 GB", "250 MiB"]}),
]
Extension = Annotated[str, AfterValidator(_extension)]
Pattern = Annotated[str, AfterValidator(_pattern)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,99}$")]
NonEmpty = Annotated[str, Field(min_length=1, pattern=r"\S")]
Tag = Annotated[str, Field(max_length=100, pattern=r"\S")]
# Both become part of the dataset's asset, whose name and URI Airflow limits to 1,500 characters.
ConnectionId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:/\\#!()-]{1,80}$")]
DatasetName = Annotated[str, Field(max_length=100, pattern=r"\S")]
Switch = Annotated[bool, Field(strict=True)]


class _Section(BaseModel):
    """A part of the file: unknown fields are errors, values never change after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Storage(_Section):
    """Where the objects are."""

    provider: Literal["s3"]
    """Kind of storage."""
    connection_id: ConnectionId
    """Airflow connection with the credentials (for s3: of type `aws`)."""
    bucket: NonEmpty
    """Bucket name."""
    prefix: str = ""
    """Only keys that begin with this text are listed. Empty means the whole bucket."""
    url_style: Literal["virtual-hosted", "path", "s3", "mrap"] = "virtual-hosted"
    """How object URLs are written. Encord tells duplicates by the exact URL, so do not change it later."""
    region: NonEmpty | None = None
    """Region of the bucket. Left out: the connection's region."""
    mrap_arn: NonEmpty | None = None
    """ARN of the Multi-Region Access Point, with `url_style: mrap`."""

    @model_validator(mode="after")
    def _arn_goes_with_style(self) -> Self:
        if (self.url_style == "mrap") != (self.mrap_arn is not None):
            raise ValueError("url_style: mrap and mrap_arn go together: give both or neither")
        return self


class Target(_Section):
    """The Encord dataset that is kept in step."""

    connection_id: ConnectionId
    """Airflow connection of type `encord`."""
    dataset: DatasetName
    """Title or hash (UUID) of an existing dataset. Of a title longer than 100 characters give the hash."""
    encord_integration: NonEmpty | None = None
    """Title or UUID of the cloud credential stored in Encord. Left out: the one named in the connection."""
    folder: NonEmpty | None = None
    """Title or UUID of the storage folder to upload to, for a dataset that has no backing folder of its own.
    Left out: a folder named `cloud-sync <integration name>`, created when needed."""

    @property
    def dataset_is_hash(self) -> bool:
        """True if `dataset` is a hash, False if it is a title."""
        return is_uuid(self.dataset)


class Select(_Section):
    """Which of the listed objects count. Patterns follow the rules of .gitignore."""

    include: tuple[Pattern, ...] = ()
    """Patterns of keys to take, such as `*.mp4` or `raw/**`. Empty means all."""
    exclude: tuple[Pattern, ...] = ()
    """Patterns of keys to leave out; wins over include."""
    minimum_age: Duration = timedelta(0)
    """Objects younger than this are held until a later run, so that half-written ones are not taken."""
    maximum_size: Size | None = None
    """Larger objects are skipped, with the reason in the plan. Units: kB, MB, GB, KiB, MiB, GiB."""


class Types(_Section):
    """Which file name extensions become which type of item. Case does not matter."""

    videos: tuple[Extension, ...] = ("mp4", "mov", "m4v", "webm", "mkv")
    """Extensions of videos."""
    images: tuple[Extension, ...] = ("jpg", "jpeg", "png", "webp", "avif", "bmp", "tif", "tiff")
    """Extensions of single images."""

    @model_validator(mode="after")
    def _one_type_each(self) -> Self:
        if both := sorted(set(self.videos) & set(self.images)):
            raise ValueError(
                f"extension {both[0]} stands under videos and under images: leave it in one of them"
            )
        return self


class Upload(_Section):
    """How items are registered."""

    items_per_manifest: int = Field(default=1000, ge=1, le=MAX_ITEMS_PER_MANIFEST, strict=True)
    """Items in one manifest. Grows by itself, up to 10,000, when a run has very many items."""
    ignore_errors: Switch = True
    """True: a bad file fails alone. False: one bad file fails its whole manifest."""
    skip_duplicate_urls: Switch = True
    """True: an object URL that is registered already is skipped, which makes reruns safe."""
    jobs_in_flight: int = Field(default=4, ge=1, le=64, strict=True)
    """Upload jobs that Encord works on at the same time."""


class Integration(_Section):
    """One integration: a storage location, a dataset, and the rules between them."""

    name: Name
    """Names the DAG: `sync__<name>`. Lower-case letters, digits, `-` and `_`."""
    description: str = ""
    """One sentence, shown in the Airflow UI."""
    schedule: Annotated[NonEmpty, AfterValidator(_cron)] | None = None
    """Cron expression, UTC. Left out: runs only when triggered."""
    owner: NonEmpty = "data-team"
    """Who answers for it, shown in the Airflow UI."""
    tags: tuple[Tag, ...] = ()
    """More tags for the Airflow UI, beside `encord` and the provider."""
    storage: Storage
    target: Target
    select: Select = Select()
    types: Types = Types()
    upload: Upload = Upload()

    @property
    def dag_id(self) -> str:
        """The id of the DAG that runs this integration."""
        return f"sync__{self.name}"


def is_uuid(text: str) -> bool:
    """Tell a UUID (a hash in Encord's words) from a title."""
    try:
        UUID(text)
    except ValueError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class LoadedIntegrations:
    """What a folder of integration files holds: the good ones, and an error for each bad one."""

    integrations: tuple[tuple[Path, Integration], ...]
    errors: tuple[ConfigError, ...]


def load_integrations(folder: Path) -> LoadedIntegrations:
    """Read every `*.yaml` and `*.yml` file of a folder; names with a leading `_` or `.` are left alone.

    A folder that does not exist is an error, not an empty one. A bad file does not hide the others. Two
    files with one name are both errors, since neither can be said to be the right one.
    """
    good: list[tuple[Path, Integration]] = []
    errors: list[ConfigError] = [] if folder.is_dir() else [_no_folder(folder)]
    for path in sorted(folder.glob("*.y*ml")):
        if path.suffix not in {".yaml", ".yml"} or path.name.startswith(("_", ".")):
            continue
        try:
            good.append((path, load_integration(path)))
        except ConfigError as error:
            errors.append(error)
    by_name: dict[str, list[Path]] = {}
    for path, integration in good:
        by_name.setdefault(integration.name, []).append(path)
    for name, paths in by_name.items():
        if len(paths) > 1:
            errors += [_same_name(name, path, paths) for path in paths]
    unique = tuple((path, one) for path, one in good if len(by_name[one.name]) == 1)
    return LoadedIntegrations(integrations=unique, errors=tuple(errors))


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


def _validation_error(path: Path, file: YamlFile, error: ValidationError) -> ConfigError:
    problems = sorted(
        (*file.place(detail["loc"]), _explain(detail))
        for detail in error.errors(include_url=False, include_context=False)
    )
    if len(problems) == 1:
        line, field, text = problems[0]
        return ConfigError(text, where=f"{path}, line {line}, {field}")
    lines = [f"\n  line {line}, {field}: {text}" for line, field, text in problems]
    return ConfigError(f"{len(problems)} problems.{''.join(lines)}", where=str(path))


def _explain(detail: Any) -> str:
    """Say what is wrong with a field and what to write instead."""
    kind, loc, given = detail["type"], detail["loc"], detail["input"]
    if kind == "missing":
        return f"is missing. Add it: {_doc(loc)}"
    if kind == "extra_forbidden":
        known = _fields_at(loc[:-1])
        near = difflib.get_close_matches(str(loc[-1]), known, n=1)
        hint = f"Did you mean {near[0]}?" if near else f"Fields here: {', '.join(known)}."
        return f"is not a field. {hint}"
    if kind in {"model_type", "dict_type"}:
        return f"must hold fields, one a line, indented. Fields here: {', '.join(_fields_at(loc))}."
    message = detail["msg"].removeprefix("Value error, ")
    message = "must be a list, such as [a, b]" if kind == "tuple_type" else message[:1].lower() + message[1:]
    shown = f" (it says {_shortened(given)})" if isinstance(given, str | int | float | bool) else ""
    return f"{message}{shown}. {_doc(loc)}".rstrip()


def _shortened(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."


def _fields_at(loc: tuple[int | str, ...]) -> list[str]:
    model = _model_at(loc)
    return list(model.model_fields) if model else []


def _model_at(loc: tuple[int | str, ...]) -> type[BaseModel] | None:
    model: type[BaseModel] | None = Integration
    for step in loc:
        field = model.model_fields.get(str(step)) if model else None
        annotation = field.annotation if field else None
        model = annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None
    return model


def _doc(loc: tuple[int | str, ...]) -> str:
    names = [step for step in loc if isinstance(step, str)]
    model = _model_at(tuple(names[:-1]))
    field = model.model_fields.get(names[-1]) if model and names else None
    text = (field.description or (_section_doc(field.annotation))) if field else ""
    return " ".join(text.split())


def _section_doc(annotation: Any) -> str:
    is_section = isinstance(annotation, type) and issubclass(annotation, BaseModel)
    return (annotation.__doc__ or "") if is_section else ""


def json_schema() -> dict[str, Any]:
    """Return the JSON schema with which editors complete and check integration files."""
    schema = Integration.model_json_schema(mode="validation")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def write_json_schema(path: Path) -> None:
    """Write the JSON schema as a file, for `# yaml-language-server: $schema=` lines."""
    path.write_text(json.dumps(json_schema(), indent=2) + "\n", encoding="utf-8")
