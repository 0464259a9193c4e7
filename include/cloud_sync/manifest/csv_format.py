"""Write CSV manifests in one canonical form, and say what a CSV cannot carry."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from cloud_sync.errors import ManifestError
from cloud_sync.manifest.csv_headings import CREATE_VIDEO, TITLES, URL, is_headings
from cloud_sync.manifest.items import GROUPED_TYPES, Item, ItemType

BLOCKS: Final[tuple[tuple[ItemType, ...], ...]] = (
    ("video",),
    ("image",),
    ("image_group", "image_sequence"),
    ("dicom_series",),
)
"""Item types that stand under one row of headings, in the order of the rows of headings."""

MAX_CELL_CHARACTERS: Final = 131_072
"""What the csv module reads back. Its limit is one for the whole process, so the reader does not raise it."""

LOSSES_SHOWN: Final = 3


@dataclass(frozen=True, slots=True)
class Loss:
    """Something that a CSV manifest cannot say.

    Attributes:
        item: Position of the item; None for a flag of the whole manifest.
        message: What is lost, as the end of a sentence.
    """

    item: int | None
    message: str

    def __str__(self) -> str:
        """Return `item 3: its clientMetadata`."""
        return self.message if self.item is None else f"item {self.item}: {self.message}"


def encode_csv(
    items: Sequence[Item],
    *,
    skip_duplicate_urls: bool | None = None,
    upsert_metadata: bool | None = None,
    allow_loss: bool = False,
) -> tuple[bytes, tuple[Loss, ...]]:
    """Encode items as CSV, RFC 4180: commas, CRLF, quotes where needed.

    Each item type stands under headings of its own, in a fixed order, items in the order given. With image
    groups or sequences in the file, `Create video` is stated in every row.

    Returns:
        UTF-8, and what it does not say of the items.

    Raises:
        ManifestError: Something would be lost and `allow_loss` is false, or a text is not Unicode.
    """
    losses = [Loss(None, "skip_duplicate_urls: true")] if skip_duplicate_urls else []
    losses += [Loss(None, "upsert_metadata: true")] if upsert_metadata else []
    kept = _carried(items, losses)
    if losses and not allow_loss:
        shown = "; ".join(map(str, losses[:LOSSES_SHOWN]))
        more = f"; and {len(losses) - LOSSES_SHOWN:,} more" if len(losses) > LOSSES_SHOWN else ""
        raise ManifestError(
            f"a CSV manifest would lose {shown}{more}.",
            remedy="Write JSON, or allow the loss (--allow-loss).",
        )
    stream = io.StringIO(newline="")
    writer = csv.writer(stream)
    grouped = any(item.item_type in BLOCKS[2] for item in kept)
    for block in BLOCKS:
        in_block = [item for item in kept if item.item_type in block]
        if in_block:
            writer.writerow([URL, TITLES[block[0]], *([CREATE_VIDEO] if grouped else [])])
            writer.writerows(_rows(in_block, create_video=grouped))
    try:
        return stream.getvalue().encode(), tuple(losses)
    except UnicodeEncodeError as error:
        raise ManifestError(
            f"a URL or title holds half a character: {error.object[error.start]!r}.",
            remedy="Correct the text.",
        ) from None


def _rows(items: Sequence[Item], *, create_video: bool) -> Iterator[list[str]]:
    for item in items:
        last = [str(item.item_type == "image_sequence").lower()] if create_video else []
        for url in item.object_urls:
            yield [url, item.title or "", *last]


def _carried(items: Sequence[Item], losses: list[Loss]) -> list[Item]:
    """Return the items that a CSV can carry, and note what it cannot."""
    titles: set[tuple[bool, str | None]] = set()
    kept = []
    for position, item in enumerate(items):
        fault = _not_carried(item)
        if fault is None and item.item_type in GROUPED_TYPES:
            name = (item.item_type == "dicom_series", item.title)
            fault = "the item, whose title another group has" if name in titles else None
            titles.add(name)
        if fault is not None:
            losses.append(Loss(position, fault))
            continue
        losses += [Loss(position, part) for part in _lost_parts(item)]
        kept.append(item)
    return kept


def _not_carried(item: Item) -> str | None:
    """Say why an item cannot stand in a CSV at all, or None."""
    if not any(item.item_type in block for block in BLOCKS):
        return f"the item, which is of the type {item.item_type}"
    if not item.object_urls:
        return "the item, which has no files"
    if item.item_type in GROUPED_TYPES and not (item.title or "").strip():
        return "the item, which is a group without a title"
    return _not_read_back(item)


def _not_read_back(item: Item) -> str | None:
    """Say why the reader would not find the cells of an item as they were written, or None."""
    if max(map(len, (item.title or "", *item.object_urls))) > MAX_CELL_CHARACTERS:
        return f"the item, whose title or object URL has more than {MAX_CELL_CHARACTERS:,} characters"
    for url in item.object_urls:
        if not url or url != url.strip():
            return "the item, whose object URL begins or ends with whitespace"
        if is_headings([url, item.title or ""]):
            return "the item, which would be read as headings"
    return None


def _lost_parts(item: Item) -> Iterator[str]:
    if item.client_metadata is not None:
        yield "its clientMetadata"
    if item.video_metadata is not None:
        yield "its videoMetadata"
    if item.title is not None and not item.title.strip():
        yield "its blank title"
