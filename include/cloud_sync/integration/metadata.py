"""The metadata section of an integration file: what goes to Encord with each item."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator

from cloud_sync.integration.fields import Constants, NonEmpty, Regex, Section, Switch
from cloud_sync.patterns import compiled_regex

TABLE_SUFFIXES = (".csv", ".parquet")


def _table_path(value: str) -> str:
    path = PurePosixPath(value)
    if path.is_absolute() or ".." in path.parts or path.suffix.lower() not in TABLE_SUFFIXES:
        raise ValueError("write the path of a .csv or .parquet file inside the folder of tables")
    return value


class Table(Section):
    """A table with a row for each item, joined by its key."""

    path: Annotated[NonEmpty, AfterValidator(_table_path)]
    """CSV (UTF-8) or Parquet file, inside the folder of tables: setting tables_folder, section cloud_sync."""
    key: NonEmpty = "key"
    """Column that holds the object's key; for a group its text, such as the path of its folder."""
    video_metadata: Switch = False
    """True: the columns fps, duration, width, height, file_size and mime_type are the video's metadata, with
    which Encord does not read the video. False: they are client metadata like any other column."""


class Metadata(Section):
    """What goes to Encord with each item. Later sources win: constants, from_key, table, sidecar."""

    constants: Constants = Field(default_factory=dict)
    """Client metadata of every item."""
    from_key: Regex | None = None
    """Regular expression (RE2) that is looked for in the key; each named group becomes client metadata."""
    table: Table | None = None
    """Table joined by key; its columns become client metadata."""
    sidecar: Literal[True, False, "required"] = False
    """True: `<key>.metadata.json` beside an object is its metadata. required: an item without one is held."""

    @field_validator("from_key")
    @classmethod
    def _has_names(cls, pattern: str | None) -> str | None:
        if pattern is not None and not compiled_regex(pattern).groupindex:
            raise ValueError("has no named group: write (?P<camera>...) around what should become `camera`")
        return pattern
