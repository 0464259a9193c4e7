"""Reading manifest entries and checking their files, by the product document's words."""

from __future__ import annotations

import pytest

from cloud_sync.dataset_service.item_types import IMAGES, VIDEOS, UnitError, UnitSpec, file_name
from cloud_sync.dataset_service.refusals import InvalidRequest

from .memory import JPEG, MP4, PNG, MemoryReader

URL = "s3://media/a"
VIDEO_METADATA = {
    "fps": 23.98,
    "duration": 29.09,
    "width": 1280,
    "height": 720,
    "file_size": 5468354,
    "mime_type": "video/mp4",
}


def check(handler, content: bytes, **spec):
    return handler.check(UnitSpec(handler.item_type, (URL,), "a", **spec), MemoryReader({URL: content}))


def test_healthy_files_give_size_and_type():
    assert check(VIDEOS, MP4) == {"file_size": len(MP4), "mime_type": "video/mp4"}
    assert check(IMAGES, JPEG) == {"file_size": len(JPEG), "mime_type": "image/jpeg"}
    assert check(IMAGES, PNG) == {"file_size": len(PNG), "mime_type": "image/png"}


@pytest.mark.parametrize(
    ("handler", "content", "message"),
    [
        (VIDEOS, b"hello", f"Expected a video, got a file of type text/plain: {URL}"),
        (VIDEOS, JPEG, f"Expected a video, got a file of type image/jpeg: {URL}"),
        (IMAGES, MP4, f"Expected an image, got a file of type video/mp4: {URL}"),
        (IMAGES, b"\x01\x02", f"Expected an image, got a file of type application/octet-stream: {URL}"),
        (IMAGES, b"", f"The file is empty: {URL}"),
        (IMAGES, JPEG[:5000], f"The file is truncated, its end is missing: {URL}"),
        (IMAGES, PNG[:-6], f"The file is truncated, its end is missing: {URL}"),
    ],
)
def test_unhealthy_files_are_refused_with_their_url(handler, content, message):
    with pytest.raises(UnitError) as caught:
        check(handler, content)
    assert str(caught.value) == message


def test_an_end_mark_with_padding_behind_it_counts():
    assert check(IMAGES, JPEG + b"\x00" * 100)


def test_a_missing_object_is_an_error_of_its_unit():
    with pytest.raises(UnitError, match="does not exist: s3://media/a"):
        VIDEOS.check(UnitSpec("video", (URL,), "a"), MemoryReader())


def test_supplied_metadata_is_believed_without_reading():
    reader = MemoryReader()
    spec = VIDEOS.read({"objectUrl": URL, "videoMetadata": VIDEO_METADATA}, "videos[0]")
    assert VIDEOS.check(spec, reader) == VIDEO_METADATA
    assert reader.reads == []


def test_the_typed_dialect_names_metadata_in_camel_case():
    camel = {
        "fps": 23.98,
        "duration": 29.09,
        "width": 1280,
        "height": 720,
        "fileSize": 5468354,
        "mimeType": "video/mp4",
    }
    assert VIDEOS.read({"objectUrl": URL, "videoMetadata": camel}, "videos[0]").supplied == VIDEO_METADATA


def test_an_entry_has_a_title_and_client_metadata_of_its_own():
    entry = {"objectUrl": URL, "title": "my.mp4", "clientMetadata": {"a": [1]}, "createVideo": False}
    assert VIDEOS.read(entry, "videos[0]") == UnitSpec("video", (URL,), "my.mp4", {"a": [1]})


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("s3://media/a", "images\\[3\\]: "),
        ({}, "images\\[3\\]: objectUrl: Field required"),
        ({"objectUrl": ""}, "objectUrl"),
        ({"objectUrl": URL, "title": 5}, "title"),
        ({"objectUrl": URL, "clientMetadata": []}, "clientMetadata"),
        ({"objectUrl": URL, "imageMetadata": {"width": 1}}, "imageMetadata"),
    ],
)
def test_a_wrong_entry_is_named_by_its_place(entry, message):
    with pytest.raises(InvalidRequest, match=message):
        IMAGES.read(entry, "images[3]")


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("s3://media/day%201/clip%20%C3%A4.mp4", "clip ä.mp4"),
        ("https://media.s3.eu-west-1.amazonaws.com/a/b.jpg", "b.jpg"),
        ("s3://media/", "s3://media/"),
    ],
)
def test_the_default_title_is_the_file_name(url, name):
    assert file_name(url) == name
