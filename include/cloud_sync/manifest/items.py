"""Items: what becomes one annotation task. The noun that all stages share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

# Plain strings rather than an enum: a million of them are hashed in a run.
ItemType = Literal[
    "video", "image", "image_group", "image_sequence", "dicom_series", "audio", "text", "pdf", "nifti"
]

# Each type's top-level key in a manifest, in the order in which the keys stand there. Groups and sequences
# share one: `createVideo` tells them apart.
MANIFEST_KEYS: Mapping[ItemType, str] = {
    "video": "videos",
    "image": "images",
    "image_group": "image_groups",
    "image_sequence": "image_groups",
    "dicom_series": "dicom_series",
    "audio": "audio",
    "text": "text",
    "pdf": "pdf",
    "nifti": "nifti",
}

GROUPED_TYPES: frozenset[ItemType] = frozenset(("image_group", "image_sequence", "dicom_series"))
"""Types whose items have one file or more; those of other types have exactly one."""


class VideoMetadata(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """What Encord believes of a video without reading it.

    Attributes:
        fps: Frames per second.
        duration: Seconds.
        width: Pixels.
        height: Pixels.
        file_size: Bytes.
        mime_type: Such as `video/mp4`.
    """

    fps: float
    duration: float
    width: int
    height: int
    file_size: int
    mime_type: str


class Item(msgspec.Struct, frozen=True, gc=False):
    """One item of a manifest. A struct, because it is made five times faster than a frozen dataclass.

    Attributes:
        item_type: What it is.
        object_urls: Its files, in order; exactly one unless the type is grouped.
        title: Shown in Encord; None lets Encord take the file name. Groups and series have one.
        client_metadata: The user's own data, any JSON object; None for none.
        video_metadata: Of a video only; None lets Encord read the file.
    """

    item_type: ItemType
    object_urls: tuple[str, ...]
    title: str | None = None
    client_metadata: dict[str, Any] | None = None
    video_metadata: VideoMetadata | None = None
