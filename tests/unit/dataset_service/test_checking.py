"""What a unit's files come to together."""

from __future__ import annotations

import pytest

from cloud_sync.dataset_service.checking import (
    READ_ONLY,
    FileFinding,
    Finding,
    check_file,
    finding_of,
    unit_problem,
)
from cloud_sync.dataset_service.config import Limits
from cloud_sync.dataset_service.tables import Unit
from cloud_sync.dataset_service.units import FileSpec

from .memory import JPEG, MemoryReader


def unit(item_type: str, files: int = 1) -> Unit:
    return Unit(
        id=1, item_type=item_type, files=[FileSpec(f"s3://b/{n}", "t").to_json() for n in range(files)]
    )


def test_an_item_of_one_file_has_the_media_of_its_file():
    assert finding_of(unit("image"), [FileFinding({"width": 3})]) == Finding(1, {"width": 3})


@pytest.mark.parametrize("item_type", ["imageGroup", "imageSequence", "dicomSeries"])
def test_a_group_keeps_the_media_of_each_file_in_order(item_type):
    found = finding_of(unit(item_type, 2), [FileFinding({"width": 3}), FileFinding({"width": 4})])
    assert found == Finding(1, {"frame_count": 2}, [{"width": 3}, {"width": 4}])


def test_bad_files_fail_their_group_and_are_named_alone():
    files = [
        FileFinding({}),
        FileFinding(error="no: s3://b/1"),
        FileFinding({}),
        FileFinding(error="gone: s3://b/3"),
    ]
    assert finding_of(unit("imageGroup", 4), files) == Finding(
        1, error="no: s3://b/1; gone: s3://b/3", error_urls=["s3://b/1", "s3://b/3"]
    )


def test_a_long_list_of_bad_files_is_told_in_short():
    found = finding_of(unit("dicomSeries", 6), [FileFinding(error=f"bad {n}") for n in range(6)])
    assert found.error == "bad 0; bad 1; bad 2; and 3 more of its files"
    assert len(found.error_urls) == 6


def test_only_a_sequence_needs_an_integration_that_may_write():
    reading = MemoryReader(writable=False)
    assert unit_problem(unit("imageSequence"), MemoryReader()) is None
    assert unit_problem(unit("imageGroup"), reading) is None
    assert unit_problem(unit("imageSequence"), reading) == f"{READ_ONLY}: s3://b/0"
    assert "write permission" in READ_ONLY
    assert unit_problem(unit("image"), None) == "The Encord integration is no longer configured: s3://b/0"


def test_a_url_that_cannot_be_one_is_not_fetched():
    reader = MemoryReader({"s3://b/a b": JPEG})
    assert "whitespace" in check_file("image", FileSpec("s3://b/a b", "t"), reader, Limits()).error
    assert reader.reads == []
    assert (
        check_file("image", FileSpec("s3://b/c", "t"), reader, Limits()).error
        == "The object does not exist: s3://b/c"
    )
