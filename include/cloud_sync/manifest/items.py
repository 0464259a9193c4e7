"""Items: what becomes one annotation task. The noun that all stages share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

# Plain strings rather than an enum: a million of them are hashed in a run.
ItemType = Literal["video", "image"]

# Each type's top-level key in a manifest, in the order in which the keys stand there.
MANIFEST_KEYS: Mapping[ItemType, str] = {"video": "videos", "image": "images"}


class Item(msgspec.Struct, frozen=True, gc=False):
    """One item of a manifest. A struct, because it is made five times faster than a frozen dataclass.

    Attributes:
        item_type: What it is.
        object_urls: Its files, in order; a video or an image has one.
        title: Shown in Encord; None lets Encord take the file name.
    """

    item_type: ItemType
    object_urls: tuple[str, ...]
    title: str | None = None
