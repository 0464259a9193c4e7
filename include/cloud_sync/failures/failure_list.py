"""Read a list of failures back: a failure CSV of this project, Encord's own, or a plain list of URLs."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TextIO

from cloud_sync.encord_limits import MAX_URLS
from cloud_sync.errors import ManifestError
from cloud_sync.failures.failure_csv import COLUMNS, FORMULA_STARTS
from cloud_sync.failures.model import FailureClass

URL_HEADINGS: Final = frozenset({"objecturl", "url"})
SEPARATORS: Final = (",", ";", "\t")
URL_START: Final = re.compile(r"[a-z][a-z0-9+.-]*://|arn:", re.IGNORECASE)
HEADINGS_REMEDY: Final = "Give it a column object_url, objectUrl or url, or write one object URL a line."


@dataclass(frozen=True, slots=True)
class ListedFailure:
    """A row of a failure list; what the list does not say is empty.

    Attributes:
        line: The line where the row begins.
        object_url: The object URL as it stands there.
        failure_class: A value of `FailureClass`.
        item_type: What the item was to be.
        title: The item's title, or the file's name.
        run_id: The run in which it failed.
    """

    line: int
    object_url: str
    failure_class: str = ""
    item_type: str = ""
    title: str = ""
    run_id: str = ""


def read_failure_list(path: Path, *, file: str) -> list[ListedFailure]:
    """Read a failure list.

    Its headings may be written in any case. Cells that were defused for spreadsheets are read as they were
    before.

    Args:
        path: A CSV with a column of object URLs, or a text with one URL a line. UTF-8.
        file: What to call it in errors.

    Raises:
        ManifestError: It cannot be read, has no column of URLs, too many rows, or a row is wrong; names file
            and line.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            return list(_failures(stream, file))
    except OSError as error:
        raise ManifestError.unreadable(error, file) from error
    except UnicodeDecodeError:
        raise ManifestError("is not UTF-8 text.", where=file, remedy="Save it as UTF-8.") from None


def _failures(stream: TextIO, file: str) -> Iterator[ListedFailure]:
    first = next((line for line in stream if line.strip()), None)
    if first is None:
        raise ManifestError("is empty.", where=file, remedy=HEADINGS_REMEDY)
    stream.seek(0)
    if URL_START.match(first.strip().strip('"')):
        rows: Iterator[ListedFailure] = _plain(stream)
    else:
        rows = _table(stream, max(SEPARATORS, key=first.count), file)
    for number, row in enumerate(rows, 1):
        if number > MAX_URLS:
            raise ManifestError(
                f"holds more than {MAX_URLS:,} rows, and Encord takes as many object URLs at most.",
                where=file,
                remedy="Split it into several files.",
            )
        yield row


def _plain(stream: TextIO) -> Iterator[ListedFailure]:
    for line, text in enumerate(stream, 1):
        if url := text.strip().strip('"'):
            yield ListedFailure(line, url)


def _table(stream: TextIO, separator: str, file: str) -> Iterator[ListedFailure]:
    reader = csv.reader(stream, delimiter=separator, strict=True)
    places: Mapping[str, int] | None = None
    line = 1
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                if places is None:
                    places = _places(row, f"{file}, line {line}")
                else:
                    yield _failure(row, places, line, file)
            line = reader.line_num + 1
    except csv.Error as error:
        raise ManifestError(
            f"is not CSV: {error}.",
            where=f"{file}, line {line}",
            remedy='Write a cell that holds a quote as "say ""hi""", and close every quote.',
        ) from None


def _places(headings: Sequence[str], where: str) -> dict[str, int]:
    """Return the position of each column that is read, by its name in the failure CSV."""
    names = [re.sub(r"[\s_-]", "", heading).lower() for heading in headings]
    url = next((place for place, name in enumerate(names) if name in URL_HEADINGS), None)
    if url is None:
        raise ManifestError("has no column of object URLs.", where=where, remedy=HEADINGS_REMEDY)
    own = {column.replace("_", ""): column for column in COLUMNS}
    # Only a CSV of this project says what its other columns mean.
    known = {own[name]: place for place, name in enumerate(names) if name in own}
    return (known if "failure_class" in known else {}) | {"object_url": url}


def _failure(row: Sequence[str], places: Mapping[str, int], line: int, file: str) -> ListedFailure:
    def cell(name: str) -> str:
        place = places.get(name, len(row))
        return _undefused(row[place].strip()) if place < len(row) else ""

    url, failure_class = cell("object_url"), cell("failure_class")
    if not url:
        raise ManifestError(
            "has no object URL.", where=f"{file}, line {line}", remedy="Fill it in, or remove the row."
        )
    if failure_class and failure_class not in set(FailureClass):
        raise ManifestError(
            f"{failure_class[:100]!r} is no failure class.",
            where=f"{file}, line {line}",
            remedy=f"Write one of {', '.join(FailureClass)}, or nothing.",
        )
    return ListedFailure(line, url, failure_class, cell("item_type"), cell("title"), cell("run_id"))


def _undefused(cell: str) -> str:
    """Inverse of `failure_csv.defuse`."""
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(FORMULA_STARTS) else cell
