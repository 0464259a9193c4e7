"""Findings: what a person should know of a manifest, and the table of all their codes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from cloud_sync.numbers import counted

Level = Literal["error", "warning", "note"]
"""error: Encord would refuse it, or it must not be submitted. warning: probably wrong. note: good to know."""

PLACE = re.compile(r"line (\d+)(?:, column (\d+))?", re.ASCII)

MAX_FINDINGS_OF_A_CODE: Final = 1000
"""More are counted, not kept: a file of a million faults must not fill the memory."""

CODES: Final[Mapping[str, tuple[Level, str]]] = {
    # The file
    "encoding": ("warning", "The file is not plain UTF-8; it was read as what its first bytes say."),
    "trailing-comma": ("warning", "A comma stands before a closing bracket; only `lenient` reads that."),
    "empty-manifest": ("error", "The manifest holds no items."),
    "too-many-items": ("error", "More items than Encord takes in one file."),
    "too-many-urls": ("error", "More object URLs than Encord takes in one file."),
    "many-items": ("warning", "More items than Encord works on at one time."),
    "skip-duplicates-unset": ("note", "`skip_duplicate_urls` is not stated, which means false."),
    "upsert-without-skip": ("warning", "`upsert_metadata` does nothing without `skip_duplicate_urls`."),
    "findings-omitted": ("note", "More findings of one code than are shown."),
    # Keys
    "repeated-key": (
        "warning",
        "A list stands twice in the file; both are read, other readers keep the last.",
    ),
    "duplicate-key": ("error", "A key stands twice in one object, so that one of its values would be lost."),
    "unknown-key": ("error", "A key that no manifest has; Encord would silently drop it."),
    "unsupported-key": ("error", "A key that Encord knows and this project does not carry."),
    "mixed-dialects": ("error", "Keys of both JSON dialects; Encord would silently drop those of one."),
    "unreadable-value": ("error", "A value is of the wrong type, or a required one is absent."),
    # Object URLs
    "url-whitespace": ("error", "An object URL contains whitespace."),
    "url-unknown-form": ("error", "An object URL is neither a URL that Encord reads nor an ARN."),
    "url-name-only": ("warning", "A bare file name instead of a URL; bearable only with videoMetadata."),
    "url-too-long": ("error", "An object URL is longer than Encord takes."),
    "url-presigned": ("error", "An object URL is signed: it expires, and holds a secret."),
    "url-credentials": ("error", "An object URL holds a user name or a password."),
    "url-query": ("warning", "An object URL has a query or a fragment."),
    "url-gap": ("warning", "The numbers of `objectUrl_n` have a gap or do not begin at 0."),
    "url-position-twice": ("error", "Two `objectUrl_n` have the same number."),
    "url-twice-in-group": ("warning", "The same file stands twice in one group or series."),
    "duplicate-item": ("warning", "The same files stand in the manifest as an item already."),
    "type-mismatch": ("warning", "The extension of a file is one of another item type."),
    "empty-group": ("error", "A group or series without files."),
    # Titles
    "title-missing": ("error", "A group or series without a title."),
    "title-blank": ("warning", "A title of whitespace only."),
    "title-too-long": ("error", "A title is longer than Encord takes."),
    "file-name-too-long": (
        "warning",
        "A file name that stands in for a title is longer than Encord takes; an upload shortens it.",
    ),
    "title-whitespace": ("warning", "A title in a CSV begins or ends with whitespace, which is kept."),
    "title-shared": ("warning", "Files without a title share a file name, so they become one series."),
    # createVideo
    "create-video-unset": ("warning", "A group does not state createVideo; the defaults of Encord differ."),
    "create-video-on-file": ("error", "createVideo is true for what is no group of images."),
    "create-video-blank": (
        "warning",
        "A file's `Create video` is blank, which means true, and must be false.",
    ),
    "create-video-conflict": ("error", "Rows of one group differ in `Create video`."),
    # Metadata
    "metadata-too-large": ("error", "clientMetadata of one item is larger than Encord takes."),
    "metadata-duplicate-key": ("warning", "A key stands twice in clientMetadata; the last value is kept."),
    "metadata-too-deep": ("error", "clientMetadata is nested too deeply to be written again."),
    "metadata-nul": ("error", "clientMetadata holds a NUL character, which jsonb cannot store."),
    "metadata-jsonb": ("note", "clientMetadata is stored as jsonb: the order of keys is not kept."),
    "video-metadata-implausible": ("error", "videoMetadata holds a figure that no video has."),
    # CSV
    "csv-heading-unknown": ("error", "A column that Encord does not know; its content would be lost."),
    "csv-cells": ("error", "A row has more cells than the headings above it."),
    "csv-value": ("error", "A cell holds no value that its column can have."),
    "csv-whitespace": ("note", "Whitespace around a cell was taken off."),
    "group-scattered": ("warning", "The rows of a group do not stand together."),
    # With an integration, before an upload
    "skip-duplicates-overruled": (
        "warning",
        "`skip_duplicate_urls` is false; the upload says true, as the integration or the form does.",
    ),
    "url-other-form": (
        "warning",
        "Object URLs are written otherwise than the sync writes them, so Encord sees no duplicates.",
    ),
    "url-other-storage": ("warning", "Object URLs lie outside the integration's bucket."),
}
"""Each code with its level and what it means; docs/lint.md has the same table."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found in a manifest.

    Attributes:
        level: How bad it is.
        code: Its code, a key of `CODES`.
        place: Where in the file: an entry, a line, or both; empty for the file as a whole.
        message: What was found, one sentence; never with the query of a URL.
        remedy: What to do about it, in the imperative; empty if there is nothing to do.
    """

    level: Level
    code: str
    place: str
    message: str
    remedy: str = ""

    def __str__(self) -> str:
        """One line: level, code, place, message, remedy."""
        place = f"{self.place}: " if self.place else ""
        return f"{self.level} [{self.code}] {place}{self.message} {self.remedy}".rstrip()


class Findings:
    """Collects findings, a bounded number of each code."""

    def __init__(self) -> None:
        self._kept: list[Finding] = []
        self._count: Counter[str] = Counter()

    def add(self, code: str, place: str, message: str, remedy: str = "") -> None:
        """Note one; its level is that of its code."""
        self._count[code] += 1
        if self._count[code] <= MAX_FINDINGS_OF_A_CODE:
            self._kept.append(Finding(CODES[code][0], code, place, message, remedy))

    def wants(self, code: str) -> bool:
        """Tell whether one more finding of this code would be kept, so that its place is worth knowing."""
        return self._count[code] < MAX_FINDINGS_OF_A_CODE

    def __bool__(self) -> bool:
        """Tell whether anything was found."""
        return bool(self._count)

    def all(self) -> tuple[Finding, ...]:
        """Return what was found, in order, and how much was left out."""
        level = CODES["findings-omitted"][0]
        omitted = [
            Finding(
                level,
                "findings-omitted",
                "",
                f"{counted(count - MAX_FINDINGS_OF_A_CODE, 'more finding')} of the code {code}.",
            )
            for code, count in self._count.items()
            if count > MAX_FINDINGS_OF_A_CODE
        ]
        return (*self._kept, *omitted)


def in_file_order(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Return findings as they stand in the file: first those of the whole, last what was left out."""
    return tuple(sorted(findings, key=_place)) if len(findings) > 1 else tuple(findings)


def _place(finding: Finding) -> tuple[bool, int, int]:
    found = PLACE.match(finding.place)
    line, column = found.groups(default="0") if found else (0, 0)
    return finding.code == "findings-omitted", int(line), int(column)
