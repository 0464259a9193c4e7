"""Items: what becomes one annotation task. The noun that all stages share."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class ItemType(StrEnum):
    """Type of an item, and the top-level key of a manifest under which it stands."""

    VIDEO = "video"
    IMAGE = "image"

    @property
    def manifest_key(self) -> str:
        """The manifest's top-level key for items of this type."""
        return MANIFEST_KEYS[self]


# In the order in which the keys stand in a manifest.
MANIFEST_KEYS = {ItemType.VIDEO: "videos", ItemType.IMAGE: "images"}


@dataclass(frozen=True, slots=True)
class Item:
    """One item of a manifest.

    Attributes:
        item_type: What it is.
        object_urls: Its files, in order; a video or an image has one.
        title: Shown in Encord; None lets Encord take the file name.
    """

    item_type: ItemType
    object_urls: tuple[str, ...]
    title: str | None = None
