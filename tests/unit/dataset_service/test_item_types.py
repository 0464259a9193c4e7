"""The words of the item types are those of the SDK."""

from __future__ import annotations

from encord.constants.enums import DataType
from encord.orm.storage import StorageItemType

from cloud_sync.dataset_service.item_types import (
    AUDIO,
    DICOM_SERIES,
    IMAGE,
    IMAGE_GROUP,
    IMAGE_SEQUENCE,
    ITEM_TYPES,
    NIFTI,
    PDF,
    TEXT,
    VIDEO,
)


def test_both_protocols_know_every_item_type():
    words = {
        each: (StorageItemType(each.name), DataType.from_upper_case_string(each.data_type))
        for each in ITEM_TYPES.values()
    }
    assert words == {
        VIDEO: (StorageItemType.VIDEO, DataType.VIDEO),
        IMAGE: (StorageItemType.IMAGE, DataType.IMAGE),
        IMAGE_GROUP: (StorageItemType.IMAGE_GROUP, DataType.IMG_GROUP),
        IMAGE_SEQUENCE: (StorageItemType.IMAGE_SEQUENCE, DataType.IMG_GROUP),
        DICOM_SERIES: (StorageItemType.DICOM_SERIES, DataType.DICOM),
        AUDIO: (StorageItemType.AUDIO, DataType.AUDIO),
        TEXT: (StorageItemType.PLAIN_TEXT, DataType.PLAIN_TEXT),
        PDF: (StorageItemType.PDF, DataType.PDF),
        NIFTI: (StorageItemType.NIFTI, DataType.NIFTI),
    }
    children = {each.child_type for each in ITEM_TYPES.values()} - {None}
    assert {StorageItemType(child) for child in children} == {
        StorageItemType.IMAGE,
        StorageItemType.DICOM_FILE,
    }


def test_a_group_has_frames_and_a_file_its_own_media():
    files = [{"file_size": 1}, {"file_size": 2}]
    assert IMAGE_GROUP.media_of(files) == IMAGE_SEQUENCE.media_of(files) == {"frame_count": 2}
    assert VIDEO.media_of(files[:1]) == {"file_size": 1}
