"""The headings of CSV manifests: what a row of headings says about the rows below it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from cloud_sync.errors import ManifestError
from cloud_sync.manifest.findings import Findings
from cloud_sync.manifest.items import ItemType

URL: Final = "ObjectURL"
CREATE_VIDEO: Final = "Create video"
TITLES: Final[Mapping[ItemType, str]] = {
    "video": "Video title",
    "image": "Image title",
    "image_group": "Image group title",
    "dicom_series": "Series title",
}
"""The title column names the type. Sequences are image groups whose `Create video` is true."""

HEADINGS_TOLD: Final = (
    f"{URL} and one of {', '.join(TITLES.values())}; {CREATE_VIDEO} besides, for image groups"
)
"""The headings that a file can have, for messages."""

SEPARATORS: Final = (",", ";", "\t")
ANY_SEPARATOR = re.compile("[,;\t]")
LIKE_URL = re.compile(r"://|^\s*arn:", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Columns:
    """What a row of headings says.

    Attributes:
        item_type: Of the rows below; `image_group` stands for sequences too.
        width: Number of columns.
        url: Position of the object URL.
        title: Position of the title; None in the form with a single column.
        create_video: Position of `Create video`; None without one.
    """

    item_type: ItemType
    width: int
    url: int
    title: int | None
    create_video: int | None


def is_headings(row: Sequence[str]) -> bool:
    """Tell whether a row has headings: one of them is ObjectURL, in whatever separators, and none a URL."""
    for cell in row:
        if "objecturl" in cell.casefold():
            parts = {_normal(part) for part in ANY_SEPARATOR.split(cell)}
            return _normal(URL) in parts and not any(LIKE_URL.search(other) for other in row)
    return False


def read_columns(row: Sequence[str], *, file: str, line: int, findings: Findings) -> Columns:
    """Read a row of headings; case and surplus whitespace do not matter.

    Raises:
        ManifestError: They do not say what the rows below are.
    """
    where = f"{file}, line {line}"
    names = [_normal(cell) for cell in row]
    while names and not names[-1]:
        names.pop()
    if _normal(URL) not in names:
        raise ManifestError(
            "has another separator here than in its first row.",
            where=where,
            remedy="Use one separator in the whole file.",
        )
    known = {_normal(name): name for name in (URL, CREATE_VIDEO, *TITLES.values())}
    for name, cell in zip(names, row, strict=False):
        if name and names.count(name) > 1:
            raise ManifestError(f"has the heading {cell!r} twice.", where=where, remedy="Keep one of them.")
        if name not in known:
            findings.add(
                "csv-heading-unknown",
                f"line {line}",
                f"has the unknown heading {cell[:40]!r}.",
                f"Remove the column; the headings are {', '.join(known.values())}.",
            )
    types = [item_type for item_type, title in TITLES.items() if _normal(title) in names]
    if len(types) > 1 or (not types and len(names) > 1):
        raise ManifestError(
            "has headings that do not say of which type the files are.",
            where=where,
            remedy=f"Write {HEADINGS_TOLD}.",
        )
    item_type: ItemType = types[0] if types else "video"
    return Columns(
        item_type,
        len(names),
        names.index(_normal(URL)),
        _position(names, TITLES[item_type]),
        _position(names, CREATE_VIDEO),
    )


def _position(names: Sequence[str], heading: str) -> int | None:
    name = _normal(heading)
    return names.index(name) if name in names else None


def _normal(heading: str) -> str:
    return " ".join(heading.split()).casefold()
