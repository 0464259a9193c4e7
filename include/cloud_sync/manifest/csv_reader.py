"""Read a CSV manifest, in all forms of the product document."""

from __future__ import annotations

import csv
import io
import re
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from cloud_sync.encord_limits import MAX_URLS
from cloud_sync.errors import ManifestError
from cloud_sync.manifest.content import ReadManifest
from cloud_sync.manifest.csv_headings import (
    HEADINGS_TOLD,
    SEPARATORS,
    TITLES,
    Columns,
    is_headings,
    read_columns,
)
from cloud_sync.manifest.findings import Findings
from cloud_sync.manifest.items import Item, ItemType
from cloud_sync.manifest.lint_urls import file_name
from cloud_sync.manifest.source import decode, too_many_entries
from cloud_sync.numbers import counted

BOOLEANS: Final = {"true": True, "false": False}
FIRST_ROW_CHARACTERS: Final = 10_000


def read_csv(data: bytes, *, file: str, findings: Findings) -> ReadManifest:
    """Read UTF-8 text.

    Args:
        data: The file's content.
        file: Its name, for errors.
        findings: What was found before; more is added.

    Raises:
        ManifestError: It is not CSV, or its headings are not those of a manifest; names the line.
    """
    reading = _Reading(findings)
    columns: Columns | None = None
    for line, row in _rows(data, file):
        if is_headings(row):
            columns = read_columns(row, file=file, line=line, findings=findings)
        elif reading.rows > MAX_URLS:
            raise too_many_entries(file)
        elif columns is None:
            raise ManifestError(
                "does not begin with a row of headings.",
                where=f"{file}, line {line}",
                remedy=f"Write headings above the rows: {HEADINGS_TOLD}.",
            )
        else:
            reading.read_row(columns, row, line)
    if columns is None:
        raise ManifestError(
            "is empty.", where=file, remedy=f"Write headings and rows into it: {HEADINGS_TOLD}."
        )
    items, lines = reading.finish()
    return ReadManifest(
        file,
        "csv",
        None,
        items,
        None,
        None,
        findings.all(),
        lambda item: f"line {lines[item]}",
        reading.unread,
    )


def _rows(data: bytes, file: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows that are not blank, each with the line where it begins."""
    stream = io.TextIOWrapper(io.BytesIO(data), encoding="utf-8", newline="")
    try:
        separator = _separator(stream.read(FIRST_ROW_CHARACTERS))
        stream.seek(0)
        rows = csv.reader(stream, delimiter=separator, strict=True)
        line = 1
        for row in rows:
            if any(cell and not cell.isspace() for cell in row):
                yield line, row
            line = rows.line_num + 1
    except UnicodeDecodeError:
        decode(data, file=file)
        raise
    except csv.Error as error:
        raise ManifestError(
            f"is not CSV: {error}.",
            where=f"{file}, line {line}",
            remedy='Write a cell that holds a quote as "say ""hi""", and close every quote.',
        ) from None


def _separator(start: str) -> str:
    """Return what separates the cells of the first row of headings; a comma where there is one cell."""
    first_line = re.split("[\r\n]", start.lstrip(), maxsplit=1)[0]
    return max(SEPARATORS, key=first_line.count)


@dataclass(slots=True)
class _Group:
    """A group or series whose rows are being read."""

    item_type: ItemType
    title: str
    line: int
    last_row: int
    create_video: bool | None
    urls: list[str] = field(default_factory=list)
    scattered: bool = False
    named_by_file: bool = False


class _Reading:
    """Collects items from rows."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._files: dict[ItemType, list[Item]] = {"video": [], "image": []}
        self._lines: dict[ItemType, array[int]] = {"video": array("Q"), "image": array("Q")}
        self._groups: dict[tuple[ItemType, str], _Group] = {}
        self.rows = 0
        self.unread = 0

    def read_row(self, columns: Columns, row: list[str], line: int) -> None:
        """Read one row below its headings."""
        self.rows += 1
        place = f"line {line}"
        if any(cell.strip() for cell in row[columns.width :]):
            self._findings.add(
                "csv-cells",
                place,
                f"has {counted(len(row), 'cell')} under {counted(columns.width, 'heading')}.",
                "Put a cell that holds the separator in double quotes.",
            )
            self.unread += 1
            return
        url = self._url(columns, row, place)
        if url is None:
            self.unread += 1
            return
        title = _cell(row, columns.title)
        if title.strip() and title != title.strip():
            self._findings.add(
                "title-whitespace", place, "has whitespace around its title, which is kept.", "Remove it."
            )
        create_video = self._create_video(columns, row, place)
        if columns.item_type in self._files:
            self._read_file(columns, url, title, create_video, line)
        else:
            self._read_grouped(columns.item_type, url, title, create_video, line)

    def finish(self) -> tuple[list[Item], array[int]]:
        """Return the items in the order of their types, and the line of each."""
        items, lines = [*self._files["video"], *self._files["image"]], array("Q")
        lines += self._lines["video"] + self._lines["image"]
        for wanted in ("image_group", "dicom_series"):
            for group in self._groups.values():
                if group.item_type == wanted:
                    items.append(self._item(group))
                    lines.append(group.line)
        return items, lines

    def _url(self, columns: Columns, row: list[str], place: str) -> str | None:
        cell = _cell(row, columns.url)
        url = cell.strip()
        if not url:
            self._findings.add("csv-value", place, "has no object URL.", "Add it, or remove the row.")
            return None
        if url != cell:
            self._findings.add("csv-whitespace", place, "has whitespace around its URL, which was taken off.")
        return url

    def _create_video(self, columns: Columns, row: list[str], place: str) -> bool | None:
        """Return the value of `Create video`, or None where it is not stated."""
        cell = _cell(row, columns.create_video).strip()
        if cell and cell.casefold() not in BOOLEANS:
            self._findings.add(
                "csv-value", place, f"has {cell[:40]!r} as Create video.", "Write true or false."
            )
        return BOOLEANS.get(cell.casefold())

    def _read_file(
        self, columns: Columns, url: str, title: str, create_video: bool | None, line: int
    ) -> None:
        item_type = columns.item_type
        if create_video:
            self._refuse_create_video(line)
        elif create_video is None and columns.create_video is not None:
            self._findings.add(
                "create-video-blank",
                f"line {line}",
                f"leaves Create video blank for a file of the type {item_type}.",
                "Write false.",
            )
        self._files[item_type].append(Item(item_type, (url,), title if title.strip() else None))
        self._lines[item_type].append(line)

    def _read_grouped(
        self, item_type: ItemType, url: str, title: str, create_video: bool | None, line: int
    ) -> None:
        named_by_file = not title.strip()
        if named_by_file:
            title = file_name(url) if item_type == "dicom_series" else ""
        if not title:
            self._findings.add(
                "title-missing",
                f"line {line}",
                f"has no {TITLES[item_type]}, so it belongs to no group.",
                "Write the title of its group.",
            )
            self.unread += 1
            return
        if item_type == "dicom_series" and create_video:
            self._refuse_create_video(line)
        group = self._groups.get((item_type, title))
        if group is None:
            group = _Group(item_type, title, line, self.rows, create_video, named_by_file=named_by_file)
            self._groups[item_type, title] = group
        else:
            self._check_next(group, create_video, named_by_file, f"line {line}")
        group.urls.append(url)
        group.last_row = self.rows

    def _check_next(self, group: _Group, create_video: bool | None, named_by_file: bool, place: str) -> None:
        if group.last_row != self.rows - 1 and not group.scattered:
            group.scattered = True
            self._findings.add(
                "group-scattered",
                place,
                f"continues the group of line {group.line}, with other rows in between.",
                "Move the row there, or give it another title.",
            )
        if named_by_file or group.named_by_file:
            self._findings.add(
                "title-shared",
                place,
                f"joins the series of line {group.line}, whose title is its file name.",
                "Give both a title.",
            )
        # A blank cell means true, so it agrees with a stated true.
        if (create_video is not False) != (group.create_video is not False):
            self._findings.add(
                "create-video-conflict",
                place,
                f"differs in Create video from line {group.line}, which has the same title.",
                "Write the same value in all rows of a group.",
            )

    def _item(self, group: _Group) -> Item:
        item_type = group.item_type
        if item_type == "image_group":
            if group.create_video is None:
                self._findings.add(
                    "create-video-unset",
                    f"line {group.line}",
                    "does not state Create video and is taken for an image sequence.",
                    "Write true for an image sequence, false for an image group.",
                )
            item_type = "image_group" if group.create_video is False else "image_sequence"
        return Item(item_type, tuple(group.urls), group.title)

    def _refuse_create_video(self, line: int) -> None:
        self._findings.add(
            "create-video-on-file",
            f"line {line}",
            "has true as Create video, which only image groups can have.",
            "Write false.",
        )


def _cell(row: list[str], position: int | None) -> str:
    return row[position] if position is not None and position < len(row) else ""
