"""Every item type through the unmodified SDK, in both dialects and both protocols."""

from __future__ import annotations

import pytest
from encord.constants.enums import DataType
from encord.orm.dataset import LongPollingStatus
from encord.orm.storage import (
    CustomerProvidedAudioMetadata,
    CustomerProvidedDicomSeriesDicomFileMetadata,
    CustomerProvidedImageMetadata,
    DataUploadAudio,
    DataUploadDicomSeries,
    DataUploadDicomSeriesDicomFile,
    DataUploadImageGroup,
    DataUploadImageGroupImage,
    DataUploadItems,
    DataUploadNifti,
    DataUploadPDF,
    DataUploadText,
    StorageItemType,
)

from tests.unit.dataset_service.test_supplied_metadata import TAGS

from .conftest import BUCKET

SINGLE_FILES = {
    "audio": ("sounds/beep.wav", StorageItemType.AUDIO, "audio/wav"),
    "text": ("texts/note.txt", StorageItemType.PLAIN_TEXT, "text/plain"),
    "pdf": ("texts/paper.pdf", StorageItemType.PDF, "application/pdf"),
    "nifti": ("volumes/brain.nii.gz", StorageItemType.NIFTI, "application/nifti+gzip"),
}


@pytest.fixture
def url(desk):
    return lambda key: desk.s3.url(BUCKET, key)


def items(desk) -> dict:
    return {item.name: item for item in desk.folder.list_items(page_size=1000)}


def child_urls(item) -> list[str]:
    return [child.url for child in item.get_child_items()]


def raw_group(title: str, *urls: str, **fields) -> dict:
    return {"title": title, **{f"objectUrl_{n}": url for n, url in enumerate(urls)}, **fields}


def test_groups_sequences_and_series_of_the_document(desk, url):
    pictures = [url(f"pictures/{n:02}.jpg") for n in (11, 2, 7)]
    slices = [url("series/1.dcm"), url("series/0.dcm")]
    content = {
        "image_groups": [
            raw_group("group", *pictures, createVideo=False, clientMetadata={"site": 3}),
            raw_group("sequence", *pictures),
        ],
        "dicom_series": [raw_group("series", *slices)],
    }
    state = desk.upload(content, ignore_errors=False)
    assert (state.status, state.units_done_count) == (LongPollingStatus.DONE, 3)
    found = items(desk)
    assert {name: (item.item_type, item.frame_count, item.url) for name, item in found.items()} == {
        "group": (StorageItemType.IMAGE_GROUP, 3, None),
        "sequence": (StorageItemType.IMAGE_SEQUENCE, 3, None),
        "series": (StorageItemType.DICOM_SERIES, 2, None),
    }
    assert found["group"].client_metadata == {"site": 3}
    assert child_urls(found["group"]) == child_urls(found["sequence"]) == pictures
    assert child_urls(found["series"]) == slices
    (first, *_) = found["series"].get_child_items()
    assert (first.item_type, first.name) == (StorageItemType.DICOM_FILE, "1.dcm")
    first.refetch_data()
    assert first.url == slices[0]
    again = desk.upload({**content, "skip_duplicate_urls": True})
    assert (again.units_done_count, again.items_with_names) == (3, [])


def test_rows_of_groups_in_the_legacy_protocol(desk, url):
    dataset = desk.user.get_dataset(desk.dataset_hash)
    pictures = [url("pictures/01.jpg"), url("pictures/00.jpg")]
    content = {
        "image_groups": [raw_group("group", *pictures, createVideo=False), raw_group("sequence", *pictures)],
        "dicom_series": [raw_group("series", url("series/0.dcm"))],
        **{key: [{"objectUrl": url(file)}] for key, (file, _, _) in SINGLE_FILES.items()},
    }
    job = dataset.add_private_data_to_dataset_start(desk.integration, content)
    state = dataset.add_private_data_to_dataset_get_result(job, timeout_seconds=20)
    assert (state.status, state.units_done_count) == (LongPollingStatus.DONE, 7)
    assert {row.title: (row.data_type, row.is_image_sequence) for row in desk.rows()} == {
        "group": (DataType.IMG_GROUP, False),
        "sequence": (DataType.IMG_GROUP, True),
        "series": (DataType.DICOM, None),
        "beep.wav": (DataType.AUDIO, None),
        "note.txt": (DataType.PLAIN_TEXT, None),
        "paper.pdf": (DataType.PDF, None),
        "brain.nii.gz": (DataType.NIFTI, None),
    }
    groups = dataset.list_data_rows(data_types=[DataType.IMG_GROUP])
    assert [row.title for row in groups] == ["group", "sequence"]
    other = desk.user.get_dataset(desk.user.create_dataset("linked", 4)["dataset_hash"])
    linked = other.link_items([row.backing_item_uuid for row in desk.rows()])
    assert [row.data_type for row in linked] == [row.data_type for row in desk.rows()]


def test_single_files_of_the_document(desk, url):
    content = {key: [{"objectUrl": url(file)}] for key, (file, _, _) in SINGLE_FILES.items()}
    assert desk.upload(content, ignore_errors=False).status == LongPollingStatus.DONE
    found = items(desk)
    for file, item_type, mime in SINGLE_FILES.values():
        item = found[file.rpartition("/")[2]]
        assert (item.item_type, item.mime_type, item.url) == (item_type, mime, url(file))
        assert list(item.get_child_items()) == []


def test_the_typed_form_of_every_type(desk, url):
    picture = CustomerProvidedImageMetadata(mime_type="image/png", file_size=5, height=2, width=3)
    sound = CustomerProvidedAudioMetadata(
        duration=1.5,
        file_size=9,
        mime_type="audio/wav",
        sample_rate=48000,
        bit_depth=16,
        codec="pcm",
        num_channels=2,
    )
    frames = [
        DataUploadImageGroupImage(url=url("not/read.png"), title="front", image_metadata=picture),
        DataUploadImageGroupImage(url=url("pictures/00.jpg")),
    ]
    tags = CustomerProvidedDicomSeriesDicomFileMetadata(tags=TAGS)
    slices = [
        DataUploadDicomSeriesDicomFile(url=url("not/read.dcm"), title=None, dicom_metadata=tags),
        DataUploadDicomSeriesDicomFile(url=url("series/0.dcm"), title="second"),
    ]
    state = desk.upload(
        DataUploadItems(
            image_groups=[
                DataUploadImageGroup(images=frames, title="group"),
                DataUploadImageGroup(images=frames, title="sequence", create_video=True),
            ],
            dicom_series=[DataUploadDicomSeries(dicom_files=slices, title="series")],
            audio=[DataUploadAudio(object_url=url("not/read.wav"), audio_metadata=sound)],
            nifti=[DataUploadNifti(object_url=url("volumes/brain.nii.gz"))],
            text=[DataUploadText(object_url=url("texts/note.txt"))],
            pdf=[DataUploadPDF(object_url=url("texts/paper.pdf"))],
        ),
        ignore_errors=False,
    )
    assert (state.status, state.units_done_count) == (LongPollingStatus.DONE, 7)
    found = items(desk)
    assert found["group"].item_type == StorageItemType.IMAGE_GROUP
    assert found["sequence"].item_type == StorageItemType.IMAGE_SEQUENCE
    front, other = found["group"].get_child_items()
    assert (front.name, front.width, front.height, other.name) == ("front", 3, 2, "00.jpg")
    first, second = found["series"].get_child_items()
    assert (first.name, first.dicom_instance_uid, second.name) == ("read.dcm", "1.2.3", "second")
    assert (found["read.wav"].audio_sample_rate, found["read.wav"].audio_codec) == (48000, "pcm")


def test_bad_files_of_a_group_are_named(desk, url):
    bad = [url("bad/text.mp4"), url("bad/truncated.jpg")]
    content = {
        "image_groups": [raw_group("bad", url("pictures/00.jpg"), *bad, createVideo=False)],
        "dicom_series": [raw_group("pictures", url("pictures/00.jpg"))],
    }
    state = desk.upload(content)
    assert (state.status, state.units_error_count) == (LongPollingStatus.DONE, 2)
    group, series = state.unit_errors
    assert group.object_urls == bad
    assert group.error.startswith(f"Expected an image, got a file of type text/plain: {bad[0]}; ")
    assert series.error == f"Expected a DICOM file, got a file of type image/jpeg: {url('pictures/00.jpg')}"
    assert desk.names() == []
