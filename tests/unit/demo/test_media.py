"""The bucket's content says exactly what has to become of each key, and agrees with the integration file."""

from __future__ import annotations

from pathlib import Path

import pathspec
import pytest

from cloud_sync.integration import Integration, load_integration
from cloud_sync.media.sniff import sniff
from demo.airflow import Sources
from demo.media import BUCKET, ODD_KEY, PREFIX, BucketContent, bucket_content


@pytest.fixture(scope="module")
def content() -> BucketContent:
    return bucket_content()


@pytest.fixture(scope="module")
def integration() -> Integration:
    return load_integration(Sources().integrations / "demo.yaml")


def test_each_key_has_one_fate(content: BucketContent) -> None:
    keys = [medium.key for medium in content.everything()]
    assert len(set(keys)) == len(keys)
    assert content.expectation().keys == set(keys)


def test_there_are_enough_of_each_kind(content: BucketContent) -> None:
    expected = content.expectation()
    assert len(expected.good) == 69
    assert len({Path(key).parent for key in expected.good}) >= 6
    assert {Path(key).suffix for key in expected.good} >= {".mp4", ".png", ".jpg", ".JPG", ".jpeg", ".tif"}
    assert len(expected.bad) == 3
    assert len(expected.skipped) == 5


def test_the_good_ones_are_what_their_names_say(content: BucketContent) -> None:
    for medium in content.good:
        family = "video" if medium.key.endswith(".mp4") else "image"
        assert sniff(medium.body[:4096]).startswith(f"{family}/"), medium.key


def test_the_bad_ones_are_bad(content: BucketContent) -> None:
    bodies = {Path(medium.key).name: medium.body for medium, _ in content.bad}
    assert bodies["empty.jpg"] == b""
    assert sniff(bodies["notes.mp4"]) == "text/plain"
    assert sniff(bodies["cut-off.jpg"]) == "image/jpeg"
    assert not bodies["cut-off.jpg"].endswith(b"\xff\xd9")


def test_a_good_key_is_hard_to_write_in_a_url(content: BucketContent) -> None:
    assert ODD_KEY in content.expectation().good
    assert set(" +#%") < set(ODD_KEY)
    assert not ODD_KEY.isascii()


def test_the_integration_file_names_this_bucket(integration: Integration) -> None:
    assert (integration.storage.bucket, integration.storage.prefix) == (BUCKET, PREFIX)
    assert integration.dag_id == "sync__demo"


def test_the_rules_of_the_integration_skip_exactly_the_skipped(
    content: BucketContent, integration: Integration
) -> None:
    excluded = pathspec.GitIgnoreSpec.from_lines(integration.select.exclude)
    known = {*integration.types.videos, *integration.types.images}
    expected = content.expectation()
    taken = {
        key
        for key in expected.keys
        if key.startswith(PREFIX)
        and not excluded.match_file(key)
        and Path(key).suffix.lower().removeprefix(".") in known
    }
    assert taken == expected.good | expected.bad.keys()
    assert integration.select.maximum_size is None
