"""The item types of the service: their words in both protocols, and what their files must be.

A new item type is one more here and a reader of its entries in `entries`; nothing else needs to know of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cloud_sync.dataset_service.file_kinds import (
    AUDIO_FILE,
    DICOM_FILE,
    IMAGE_FILE,
    NIFTI_FILE,
    PDF_FILE,
    TEXT_FILE,
    VIDEO_FILE,
    FileKind,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class ItemType:
    """One item type.

    Attributes:
        name: Encord's word in the v2 protocol.
        data_type: Encord's word in the legacy protocol.
        label: For people.
        file_kind: What each of its files must be.
        child_type: The v2 word for the child item that each file becomes; None for items of one file.
        makes_video: True if its files become a video, which is written into the bucket.
    """

    name: str
    data_type: str
    label: str
    file_kind: FileKind
    child_type: str | None = None
    makes_video: bool = False

    @property
    def action(self) -> str:
        """What the service does with such a unit, for its error."""
        return f"Processing {self.label}"

    def media_of(self, files: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Return the media metadata of an item from that of its files.

        Of a sequence's video nothing is known, because none is made yet.
        """
        return files[0] if self.child_type is None else {"frame_count": len(files)}


VIDEO = ItemType("video", "VIDEO", "video", VIDEO_FILE)
IMAGE = ItemType("image", "IMAGE", "image", IMAGE_FILE)
IMAGE_GROUP = ItemType("imageGroup", "IMG_GROUP", "image group", IMAGE_FILE, IMAGE.name)
# The legacy protocol has one word for both and tells them apart by a field of the data row.
IMAGE_SEQUENCE = ItemType(
    "imageSequence", "IMG_GROUP", "image sequence", IMAGE_FILE, IMAGE.name, makes_video=True
)
DICOM_SERIES = ItemType("dicomSeries", "DICOM", "DICOM series", DICOM_FILE, "dicomFile")
AUDIO = ItemType("audio", "AUDIO", "audio", AUDIO_FILE)
TEXT = ItemType("plainText", "PLAIN_TEXT", "text", TEXT_FILE)
PDF = ItemType("pdf", "PDF", "PDF", PDF_FILE)
NIFTI = ItemType("nifti", "NIFTI", "NIfTI", NIFTI_FILE)

ITEM_TYPES: Mapping[str, ItemType] = {
    each.name: each
    for each in (VIDEO, IMAGE, IMAGE_GROUP, IMAGE_SEQUENCE, DICOM_SERIES, AUDIO, TEXT, PDF, NIFTI)
}
"""By name."""
