"""The kinds of values in an integration file: how each is written, checked and shown in the JSON schema."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import timedelta
from fractions import Fraction
from typing import Annotated, Any, ClassVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ByteSize,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
)

from cloud_sync.errors import ConfigError
from cloud_sync.safe_url import without_secrets

MAX_DURATION = timedelta(days=3650)
MAX_SIZE_BYTES = 1 << 60
MAX_SHOWN = 80  # characters of a wrong value that an error repeats
DURATION = re.compile(r"(?P<count>[0-9]{1,9})\s*(?P<unit>[smhd])")
CRON_FIELDS = 5
DURATION_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
PERCENT = re.compile(r"(?P<number>[0-9]{1,3}(?:\.[0-9]{1,6})?)\s*%")
EXTENSION = re.compile(r"[a-z0-9][a-z0-9.]*")


def _duration(value: Any) -> Any:
    if isinstance(value, str) and (match := DURATION.fullmatch(value.strip().lower())):
        value = timedelta(**{DURATION_UNITS[match["unit"]]: int(match["count"])})
    if isinstance(value, timedelta) and timedelta(0) <= value <= MAX_DURATION:
        return value
    raise ValueError(
        f"write a whole number and a unit: 30s, 10m, 2h or 1d; at most {MAX_DURATION // timedelta(days=1)}d"
    )


def _share(value: Any) -> Any:
    if isinstance(value, str) and (match := PERCENT.fullmatch(value.strip())):
        # Exact, so that 7 of 100 are 7%.
        value = float(Fraction(match["number"]) / 100)
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1:
        return float(value)
    raise ValueError("write a share such as 50% or 0.5, from 0% to 100%")


def check_cron(value: str) -> str:
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


def _regex(value: str) -> str:
    from cloud_sync.patterns import compiled_regex

    try:
        compiled_regex(value)
    except ConfigError as error:
        raise ValueError(f"{error.message.rstrip('.')}. {error.remedy}".rstrip(".")) from None
    return value


def _constants(value: Any) -> Any:
    """Return the values as JSON has them, which is how they reach Encord."""
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False)
        text.encode()
    except (TypeError, ValueError):
        raise ValueError("write names with texts, numbers, switches, lists or names of their own") from None
    return json.loads(text)


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
Share = Annotated[
    float,
    BeforeValidator(_share),
    WithJsonSchema(
        {
            "type": ["string", "number"],
            "pattern": r"^\s*[0-9]{1,3}(\.[0-9]{1,6})?\s*%\s*$",
            "minimum": 0,
            "maximum": 1,
            "examples": ["50%", 0.5],
        }
    ),
]
Extension = Annotated[str, AfterValidator(_extension)]
Pattern = Annotated[str, AfterValidator(_pattern)]
Regex = Annotated[str, Field(min_length=1, max_length=1000), AfterValidator(_regex)]
Template = Annotated[str, Field(max_length=1000, pattern=r"\S")]
Constants = Annotated[dict[str, Any], AfterValidator(_constants)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,99}$")]
NonEmpty = Annotated[str, Field(min_length=1, pattern=r"\S")]
Tag = Annotated[str, Field(max_length=100, pattern=r"\S")]
# Both become part of the dataset's asset, whose name and URI Airflow limits to 1,500 characters.
ConnectionId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:/\\#!()-]{1,80}$")]
DatasetName = Annotated[str, Field(max_length=100, pattern=r"\S")]
Switch = Annotated[bool, Field(strict=True)]


class Section(BaseModel):
    """A part of the file: unknown fields are errors, values never change after reading.

    Rules between fields are checked by the validator of the last of them, which raises a FieldError:
    validators of the section itself are not called while any of its fields is wrong, so that one mistake
    would hide the next.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    instead_of: ClassVar[Mapping[str, str]] = {}
    """What to do instead, by the names of fields that people look for here and that are none."""


class FieldError(ValueError):
    """What is wrong with a field or between some, and what to do: nothing is added to it.

    Args:
        sentences: The message; those that are empty are left out.
        at: Where in the section it is wrong, empty for the section as a whole; None for the field whose
            validator raises it.
    """

    def __init__(self, *sentences: str, at: tuple[str, ...] | None = None) -> None:
        super().__init__(" ".join(filter(None, sentences)))
        self.at = at


def shortened(value: Any) -> str:
    """Return a value that a person wrote as a message may repeat it: not all of it, and without secrets."""
    text = repr(without_secrets(value) if isinstance(value, str) and "://" in value else value)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."
