"""The grouping rules of an integration file: which objects together become one item."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from cloud_sync.integration.fields import Duration, FieldError, Pattern, Regex, Section, Template
from cloud_sync.patterns import compiled_regex
from cloud_sync.titles import GROUP_FIELDS, KEY_FIELDS, check_template

QUIET_BY_DEFAULT = timedelta(minutes=10)
"""How long a group must be quiet when nothing says when it is complete: an upload that pauses for longer
would be registered half, and what is registered cannot grow."""


class Complete(Section):
    """When a group is complete: it has its number of files, or no file was added for a time.

    With both, whichever comes first. With neither, it has to be quiet for 10 minutes.
    """

    quiet_for: Duration | None = None
    """Complete when its newest file is older than this."""
    count: int | None = Field(default=None, ge=1, strict=True)
    """Complete when it has exactly so many files. A named group `count` in the pattern wins over it."""


class GroupRule(Section):
    """One rule that makes groups. The first rule that takes an object decides."""

    type: Literal["image_group", "image_sequence", "dicom_series"]
    """What each group becomes. Groups and sequences take the extensions of types.images, series those of
    types.dicom; other objects are never part of a group."""
    by: Literal["folder", "regex", "series_uid"]
    """folder: the objects of one folder. regex: those for which the named group `group` of the pattern is the
    same. series_uid: the DICOM files of one series, by the first kilobytes of each file."""
    include: tuple[Pattern, ...] = ()
    """Patterns of keys that the rule is for, in the manner of .gitignore. Empty means all."""
    pattern: Regex | None = Field(None, validate_default=True)
    """Regular expression (RE2) that is looked for in the key, with the named groups `group`, and if wanted
    `index` (the order within the group) and `count` (how many files the group has). With `by: regex`."""
    complete: Complete = Complete()
    """When a group is complete. Incomplete ones are held until a later run."""
    title: Template | None = None
    """Template of the title. Fields: key, name, stem, extension, folder (of the first file), group, index and
    the named groups of the pattern. Left out: the text of the group."""

    @property
    def names(self) -> tuple[str, ...]:
        """The named groups of the pattern."""
        return tuple(compiled_regex(self.pattern).groupindex) if self.pattern else ()

    @field_validator("by")
    @classmethod
    def _series_are_of_dicom(cls, by: str, info: ValidationInfo) -> str:
        if by == "series_uid" and info.data.get("type", "dicom_series") != "dicom_series":
            raise FieldError("by: series_uid goes with type: dicom_series only", at=())
        return by

    @field_validator("pattern")
    @classmethod
    def _pattern_goes_with_regex(cls, pattern: str | None, info: ValidationInfo) -> str | None:
        if "by" in info.data and (info.data["by"] == "regex") != (pattern is not None):
            raise FieldError("by: regex and pattern go together: give both or neither", at=())
        if pattern is not None and "group" not in compiled_regex(pattern).groupindex:
            raise FieldError(
                "the pattern has no named group `group`: write (?P<group>...) around its name", at=()
            )
        return pattern

    @field_validator("title")
    @classmethod
    def _known_fields(cls, title: str | None, info: ValidationInfo) -> str | None:
        if title is None or (info.data.get("pattern") is None and "pattern" not in info.data):
            return title  # the pattern is wrong, which is an error of its own
        pattern = info.data["pattern"]
        names = tuple(compiled_regex(pattern).groupindex) if pattern else ()
        return check_template(title, tuple(dict.fromkeys((*KEY_FIELDS, *GROUP_FIELDS, *names))))
