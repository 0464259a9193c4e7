"""Reading manifest entries of every item type in both dialects."""

from __future__ import annotations

import pytest

from cloud_sync.dataset_service.entries import READERS
from cloud_sync.dataset_service.refusals import InvalidRequest
from cloud_sync.dataset_service.units import FileSpec, UnitSpec

from .test_supplied_metadata import TAGS

URL = "s3://media/a"
VIDEO_METADATA = {
    "fps": 23.98,
    "duration": 29.09,
    "width": 1280,
    "height": 720,
    "file_size": 5468354,
    "mime_type": "video/mp4",
}
IMAGE_METADATA = {"mime_type": "image/png", "file_size": 5, "width": 3, "height": 2}


def read(key: str, entry: object, *, typed: bool = False) -> UnitSpec:
    return READERS[key](entry, f"{key}[3]", typed=typed)


@pytest.mark.parametrize(
    ("key", "item_type"),
    [
        ("videos", "video"),
        ("images", "image"),
        ("audio", "audio"),
        ("text", "plainText"),
        ("pdf", "pdf"),
        ("nifti", "nifti"),
    ],
)
@pytest.mark.parametrize("typed", [True, False])
def test_an_entry_of_one_file_has_a_title_and_client_metadata_of_its_own(key, item_type, typed):
    entry = {"objectUrl": URL, "title": "my", "clientMetadata": {"a": [1]}, "createVideo": False}
    assert read(key, entry, typed=typed) == UnitSpec(item_type, (FileSpec(URL, "my"),), "my", {"a": [1]})
    assert read(key, {"objectUrl": "s3://media/b.x"}, typed=typed).title == "b.x"


@pytest.mark.parametrize(
    ("key", "name", "content", "media"),
    [
        ("videos", "videoMetadata", VIDEO_METADATA, VIDEO_METADATA),
        ("images", "imageMetadata", IMAGE_METADATA, IMAGE_METADATA),
        ("text", "textMetadata", {"fileSize": 3, "mimeType": "a/b"}, {"file_size": 3, "mime_type": "a/b"}),
        (
            "pdf",
            "pdfMetadata",
            {"fileSize": 3, "numPages": 4},
            {"file_size": 3, "num_pages": 4, "mime_type": "application/pdf"},
        ),
    ],
)
def test_metadata_of_a_file_is_supplied(key, name, content, media):
    assert read(key, {"objectUrl": URL, name: content}).files[0].supplied == media
    assert read(key, {"objectUrl": URL, "metadata": content}).files[0].supplied is None


def test_the_typed_dialect_names_metadata_in_camel_case():
    camel = {
        "fps": 23.98,
        "duration": 29.09,
        "width": 1280,
        "height": 720,
        "fileSize": 5468354,
        "mimeType": "video/mp4",
    }
    spec = read("videos", {"objectUrl": URL, "videoMetadata": camel}, typed=True)
    assert spec.files[0].supplied == VIDEO_METADATA


@pytest.mark.parametrize(
    ("create_video", "item_type"),
    [
        ({}, "imageSequence"),
        ({"createVideo": None}, "imageSequence"),
        ({"createVideo": True}, "imageSequence"),
        ({"createVideo": False}, "imageGroup"),
    ],
)
def test_a_group_of_the_document_is_a_sequence_unless_it_says_otherwise(create_video, item_type):
    entry = {"title": "g", "objectUrl_0": "s3://b/0.jpg", "clientMetadata": {"a": 1}, **create_video}
    assert read("image_groups", entry) == UnitSpec(
        item_type, (FileSpec("s3://b/0.jpg", "0.jpg"),), "g", {"a": 1}
    )


@pytest.mark.parametrize(
    ("create_video", "item_type"), [({}, "imageGroup"), ({"createVideo": True}, "imageSequence")]
)
def test_a_typed_group_is_a_group_unless_it_says_otherwise(create_video, item_type):
    images = [
        {"url": "s3://b/1.png", "title": "front", "imageMetadata": IMAGE_METADATA},
        {"url": "s3://b/0.png"},
    ]
    spec = read("image_groups", {"title": "g", "images": images, **create_video}, typed=True)
    assert spec.item_type == item_type
    assert spec.files == (
        FileSpec("s3://b/1.png", "front", IMAGE_METADATA),
        FileSpec("s3://b/0.png", "0.png"),
    )


@pytest.mark.parametrize("key", ["image_groups", "dicom_series"])
def test_files_stand_by_the_number_of_their_position(key):
    entry = {"title": "g"} | {f"objectUrl_{n}": f"s3://b/{n}" for n in (10, 2, 0, 1, 11)}
    assert read(key, entry).urls == ("s3://b/0", "s3://b/1", "s3://b/2", "s3://b/10", "s3://b/11")


def test_a_typed_series_with_supplied_tags():
    files = [{"url": "s3://b/1.dcm", "title": None, "dicomMetadata": {"tags": TAGS}}, {"url": "s3://b/0.dcm"}]
    spec = read("dicom_series", {"title": "s", "dicomFiles": files}, typed=True)
    assert (spec.item_type, spec.urls) == ("dicomSeries", ("s3://b/1.dcm", "s3://b/0.dcm"))
    assert spec.files[0].title == "1.dcm"
    assert spec.files[0].supplied["dicom_instance_uid"] == "1.2.3"
    assert spec.files[1].supplied is None


@pytest.mark.parametrize(
    ("key", "entry", "message"),
    [
        ("images", URL, r"images\[3\]: "),
        ("images", {}, r"images\[3\]: objectUrl: Field required"),
        ("images", {"objectUrl": ""}, "objectUrl"),
        ("images", {"objectUrl": URL, "title": 5}, "title"),
        ("images", {"objectUrl": URL, "clientMetadata": []}, "clientMetadata"),
        ("images", {"objectUrl": URL, "imageMetadata": {"width": 1}}, "imageMetadata"),
        ("image_groups", [], r"image_groups\[3\]: "),
        ("image_groups", {"objectUrl_0": URL}, r"image_groups\[3\]: title: Field required"),
        ("dicom_series", {"objectUrl_0": URL, "title": ""}, r"dicom_series\[3\]: title: "),
        ("image_groups", {"title": "g"}, "objectUrl_0: Field required"),
        ("image_groups", {"title": "g", "objectUrl": URL}, "objectUrl: is no position. Use objectUrl_0"),
        ("image_groups", {"title": "g", "objectUrl_a": URL}, "objectUrl_a: is no position"),
        ("image_groups", {"title": "g", f"objectUrl_{'9' * 5000}": URL}, "9: is no position"),
        ("image_groups", {"title": "g", "objectUrl_\u0661": URL}, "is no position"),
        ("image_groups", {"title": "g", "objectUrl_0": 5}, "objectUrl_0: is not an object URL"),
        ("image_groups", {"title": "g", "objectUrl_1": URL, "objectUrl_01": URL}, "the position is taken"),
        ("image_groups", {"title": "g", "objectUrl_0": URL, "createVideo": "no"}, "createVideo"),
        ("image_groups", {"title": "g", "images": [{"url": URL}]}, "objectUrl_0: Field required"),
    ],
)
def test_a_wrong_entry_is_named_by_its_place(key, entry, message):
    with pytest.raises(InvalidRequest, match=message):
        read(key, entry)


@pytest.mark.parametrize(
    ("key", "entry", "message"),
    [
        ("image_groups", {"title": None, "images": [{"url": URL}]}, "title"),
        ("image_groups", {"title": "g", "images": []}, "images"),
        ("image_groups", {"title": "g", "objectUrl_0": URL}, "images: Field required"),
        ("image_groups", {"title": "g", "images": [{"url": URL}, {"url": ""}]}, r"images\.1\.url"),
        ("dicom_series", {"title": "g", "dicomFiles": [{}]}, r"dicomFiles\.0\.url: Field required"),
        (
            "dicom_series",
            {"title": "g", "dicomFiles": [{"url": URL, "dicomMetadata": {"tags": {}}}]},
            r"dicomFiles\.0\.dicomMetadata\.tags: .*lacks 00080018",
        ),
    ],
)
def test_a_wrong_typed_entry_is_named_by_its_place(key, entry, message):
    with pytest.raises(InvalidRequest, match=message):
        read(key, entry, typed=True)
