"""Units: default titles, and files that survive the database."""

from __future__ import annotations

import json

import pytest

from cloud_sync.dataset_service.units import FileSpec, file_name


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("s3://media/day%201/clip%20%C3%A4.mp4", "clip ä.mp4"),
        ("https://media.s3.eu-west-1.amazonaws.com/a/b.jpg", "b.jpg"),
        ("s3://media/", "s3://media/"),
        ("https://[bad/a%20b.mp4?X-Amz-Signature=secret#x", "a b.mp4"),
    ],
)
def test_the_default_title_is_the_file_name(url, name):
    assert file_name(url) == name


@pytest.mark.parametrize("supplied", [None, {"width": 3}])
def test_a_file_is_the_same_after_it_was_kept(supplied):
    file = FileSpec("s3://media/ä", "ä", supplied)
    assert FileSpec(**json.loads(json.dumps(file.to_json()))) == file
