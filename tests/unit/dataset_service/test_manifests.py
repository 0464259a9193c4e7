"""Upload specifications: the product document's JSON, the SDK's typed form, and what is refused."""

from __future__ import annotations

import math

import pytest

from cloud_sync.dataset_service.config import Limits
from cloud_sync.dataset_service.manifests import read_manifest, url_problem
from cloud_sync.dataset_service.refusals import InvalidRequest

LIMITS = Limits(
    units_per_job=3,
    url_bytes=64,
    title_characters=10,
    client_metadata_bytes=20,
    request_bytes=1024,
    files_per_unit=2,
)
HALF = r"{}\[{}\]: has half a character|unable to parse raw data as a unicode string"
GROUP = {"title": "g", "objectUrl_0": "s3://b/0", "objectUrl_1": "s3://b/1"}
ONE = [{"objectUrl": "s3://b/a.mp4"}]


def read(content, *, typed=False, limits=LIMITS):
    return read_manifest(content, limits, typed=typed)


def test_the_units_keep_the_order_of_the_manifest():
    manifest = read({"images": [{"objectUrl": "s3://b/1"}, {"objectUrl": "s3://b/2"}], "videos": ONE})
    assert [(unit.item_type, unit.urls) for unit in manifest.units] == [
        ("image", ("s3://b/1",)),
        ("image", ("s3://b/2",)),
        ("video", ("s3://b/a.mp4",)),
    ]


def test_flags_are_false_unless_given():
    assert not read({"videos": ONE}).skip_duplicate_urls
    assert read({"videos": ONE, "skip_duplicate_urls": True}).skip_duplicate_urls
    assert read({"videos": ONE, "skip_duplicate_urls": None, "upsert_metadata": True}).upsert_metadata


def test_the_typed_form_is_in_camel_case_with_empty_lists():
    typed = {"videos": ONE, "imageGroups": [], "dicomSeries": [], "timeSeries": [], "skipDuplicateUrls": True}
    manifest = read(typed, typed=True)
    assert manifest.skip_duplicate_urls
    assert len(manifest.units) == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "not a JSON object"),
        ({}, "holds no items"),
        ({"videos": []}, "holds no items"),
        ({"vidoes": ONE}, "vidoes: is not a known top-level key. Use videos, images, image_groups, "),
        ({"imageGroups": ONE}, "imageGroups: is not a known top-level key"),
        ({"videos": ONE, "scenes": []}, "scenes: is not supported by this dataset service yet"),
        ({"time_series": [{}]}, "time_series: is not supported by this dataset service yet"),
        (
            {"image_groups": [{**GROUP, "title": "x" * 11}]},
            "image_groups\\[0\\]: has a title of more than 10",
        ),
        ({"dicom_series": [{**GROUP, "objectUrl_2": "s3://b/2"}]}, "has 3 files; the limit is 2. Split it"),
        ({"videos": {}}, "videos: is not a list"),
        ({"videos": ONE, "skip_duplicate_urls": "yes"}, "skip_duplicate_urls: is neither true nor false"),
        ({"videos": ONE * 4}, "holds 4 items; the limit is 3"),
        ({"videos": [{**ONE[0], "title": "x" * 11}]}, "videos\\[0\\]: has a title of more than 10"),
        (
            {"videos": [*ONE, {**ONE[0], "clientMetadata": {"k": "x" * 20}}]},
            "videos\\[1\\]: has client metadata",
        ),
        (
            {"videos": [{**ONE[0], "clientMetadata": {"k": [math.nan]}}]},
            "videos\\[0\\]: has NaN or Infinity in client metadata. Write null",
        ),
        (
            {"image_groups": [{**GROUP, "clientMetadata": {"k": -math.inf}}]},
            "image_groups\\[0\\]: has NaN or Infinity in client metadata. Write null",
        ),
        (
            {"videos": [{**ONE[0], "clientMetadata": {"\ud800": 1}}]},
            "videos\\[0\\]: has half a character .* in client metadata. Correct",
        ),
        ({"videos": [*ONE, {"objectUrl": "s3://b/\ud800"}]}, HALF.format("videos", 1)),
        ({"videos": [{**ONE[0], "title": "a\udfff"}]}, HALF.format("videos", 0)),
        ({"dicom_series": [{**GROUP, "title": "\ud800"}]}, HALF.format("dicom_series", 0)),
        ({"image_groups": [{**GROUP, "objectUrl_1": "s3://b/\ud800"}]}, HALF.format("image_groups", 0)),
    ],
)
def test_what_is_not_as_the_document_says_is_refused(content, message):
    with pytest.raises(InvalidRequest, match=message):
        read(content)


def test_each_type_is_read_under_its_key_in_both_dialects():
    raw = {"image_groups": [GROUP, {**GROUP, "createVideo": False}], "dicom_series": [GROUP]}
    raw_types = [unit.item_type for unit in read(raw, limits=Limits()).units]
    assert raw_types == ["imageSequence", "imageGroup", "dicomSeries"]
    files = [{"url": "s3://b/0"}]
    typed = {
        "imageGroups": [{"title": "g", "images": files}],
        "dicomSeries": [{"title": "s", "dicomFiles": files}],
    }
    typed |= dict.fromkeys(("audio", "text", "pdf", "nifti"), ONE)
    assert [unit.item_type for unit in read(typed, typed=True, limits=Limits()).units] == [
        *("imageGroup", "dicomSeries", "audio", "plainText", "pdf", "nifti"),
    ]


def test_a_file_of_a_group_may_have_a_long_name():
    assert read({"image_groups": [{"title": "g", "objectUrl_0": f"s3://b/{'x' * 50}.jpg"}]})


def test_groups_have_no_limit_of_files_unless_one_is_set():
    group = {"title": "g"} | {f"objectUrl_{n}": "s3://b/0" for n in range(5000)}
    assert len(read({"dicom_series": [group]}, limits=Limits()).units[0].files) == 5000


@pytest.mark.parametrize(
    ("metadata", "fits"),
    [
        ({"k": "ä" * 6}, True),
        ({"k": "ä" * 6 + "x"}, False),
        ({"k": [1, 2, 3, 4]}, True),
    ],
)
def test_client_metadata_is_measured_in_bytes(metadata, fits):
    content = {"videos": [{**ONE[0], "clientMetadata": metadata}]}
    if fits:
        assert read(content)
    else:
        with pytest.raises(InvalidRequest, match="client metadata of more than 20 bytes"):
            read(content)


@pytest.mark.parametrize("space", [" ", "\t", "\n", "\u00a0", "\u2003"])
def test_whitespace_in_a_url_is_a_problem_of_its_unit(space):
    assert "must not contain any whitespace" in url_problem(f"s3://b/a{space}b", LIMITS)
    assert read({"videos": [{"objectUrl": f"s3://b/a{space}b"}]}).units


def test_a_long_url_is_a_problem_of_its_unit():
    assert url_problem("s3://b/" + "ä" * 29, LIMITS) == (
        f"The object URL is longer than 64 bytes: s3://b/{'ä' * 29}..."
    )
    assert url_problem("s3://b/" + "a" * 57, LIMITS) is None
