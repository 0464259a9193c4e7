"""Look at the files of units: each by itself, then all of a unit together.

One bad file fails its unit: an image group with a hole in it would be annotated as if it were whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cloud_sync.dataset_service.item_types import ITEM_TYPES
from cloud_sync.dataset_service.manifests import url_problem
from cloud_sync.dataset_service.units import FileSpec, UnitError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cloud_sync.dataset_service.config import Limits
    from cloud_sync.dataset_service.reader import ObjectReader
    from cloud_sync.dataset_service.tables import Unit

ERRORS_SHOWN = 3

READ_ONLY = (
    "An image sequence needs write permission on the bucket, and the Encord integration may only read it; "
    "allow it to write, or set createVideo to false for an image group"
)


@dataclass(frozen=True, slots=True)
class FileFinding:
    """What came of looking at one file: media metadata, or an error."""

    media: dict[str, Any] | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of looking at a unit, or an error.

    Without either the unit's twin is registered already, so it was not looked at.

    Attributes:
        unit_id: The unit.
        media: Media metadata of the item.
        file_media: That of its child items, in order; None for items of one file.
        error: What the user reads.
        error_urls: Whose fault it is; None if it is not that of single files.
    """

    unit_id: int
    media: dict[str, Any] | None = None
    file_media: list[dict[str, Any]] | None = None
    error: str | None = None
    error_urls: list[str] | None = None


def unit_problem(unit: Unit, reader: ObjectReader | None) -> str | None:
    """Say why a unit cannot be registered whatever is in its files, or None."""
    if reader is None:
        return f"The Encord integration is no longer configured: {unit.urls[0]}"
    if ITEM_TYPES[unit.item_type].makes_video and not reader.writable:
        return f"{READ_ONLY}: {unit.urls[0]}"
    return None


def check_file(item_type: str, file: FileSpec, reader: ObjectReader, limits: Limits) -> FileFinding:
    """Look at one file."""
    if problem := url_problem(file.url, limits):
        return FileFinding(error=problem)
    try:
        return FileFinding(media=ITEM_TYPES[item_type].file_kind.check(file, reader))
    except UnitError as error:
        return FileFinding(error=str(error))


def finding_of(unit: Unit, files: Sequence[FileFinding]) -> Finding:
    """Put together what came of a unit's files, given in their order."""
    bad = [(url, file.error) for url, file in zip(unit.urls, files, strict=True) if file.error]
    if bad:
        return Finding(
            unit.id, error=_sentence([error for _, error in bad]), error_urls=[url for url, _ in bad]
        )
    media = [file.media or {} for file in files]
    item_type = ITEM_TYPES[unit.item_type]
    return Finding(unit.id, item_type.media_of(media), media if item_type.child_type else None)


def _sentence(errors: Sequence[str]) -> str:
    shown = "; ".join(errors[:ERRORS_SHOWN])
    others = len(errors) - ERRORS_SHOWN
    return f"{shown}; and {others} more of its files" if others > 0 else shown
