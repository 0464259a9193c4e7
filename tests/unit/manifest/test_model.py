"""The items of a run are read back from `items.parquet` as they were sent: whole, and in order."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloud_sync.manifest import model
from cloud_sync.manifest.model import SentItem, items_of_manifests, items_with_urls
from tests.unit.tables import URL_BASE, Group, write_items

FRAMES = Group("g/", ["g/2.jpg", "g/10.jpg", "g/1.jpg"], title="Frames")
SERIES = Group("study/s", ["s/1.dcm"], "dicom_series", "Series")


def sent(manifest: int, one: str | Group) -> SentItem:
    if isinstance(one, str):
        return SentItem(manifest, "video" if one.endswith("mp4") else "image", (URL_BASE + one,))
    urls = tuple(URL_BASE + str(key) for key in one.objects)
    return SentItem(manifest, one.item_type, urls, one.title or f"Title of {one.key}")


@pytest.fixture
def items(tmp_path) -> Path:
    return write_items(tmp_path / "items.parquet", [["a.mp4", FRAMES, SERIES], ["b.jpg"], [FRAMES]])


def test_items_of_manifests(items):
    assert list(items_of_manifests(items, [0, 1])) == [
        sent(0, "a.mp4"),
        sent(0, FRAMES),
        sent(0, SERIES),
        sent(1, "b.jpg"),
    ]
    assert list(items_of_manifests(items, [])) == []


def test_two_groups_of_one_title_stay_two(tmp_path):
    twins = [Group("a/", ["a/1.jpg"], title="T"), Group("b/", ["b/1.jpg"], title="T")]
    items = write_items(tmp_path / "items.parquet", [twins])
    assert list(items_of_manifests(items, [0])) == [sent(0, one) for one in twins]


def test_items_with_urls_come_with_all_their_files(items):
    urls = [URL_BASE + key for key in ("g/10.jpg", "a.mp4", "not-sent.jpg")]
    assert list(items_with_urls(items, urls)) == [sent(0, "a.mp4"), sent(0, FRAMES), sent(2, FRAMES)]


def test_a_single_file_of_a_groups_item_key_is_no_file_of_the_group(tmp_path):
    items = write_items(tmp_path / "items.parquet", [[Group("a.jpg", ["x.jpg"]), "a.jpg"]])
    assert list(items_with_urls(items, [URL_BASE + "x.jpg"])) == [sent(0, Group("a.jpg", ["x.jpg"]))]


SIZES = st.lists(st.lists(st.integers(0, 5), max_size=6), min_size=1, max_size=4)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(SIZES, st.integers(1, 4))
def test_no_group_is_cut_whatever_the_batches_are(tmp_path, monkeypatch, sizes, batch_rows):
    monkeypatch.setattr(model, "BATCH_ROWS", batch_rows)
    manifests = [
        [
            f"{m}-{n}.jpg" if not files else Group(f"{m}-{n}/", [f"{m}-{n}/{i}.jpg" for i in range(files)])
            for n, files in enumerate(each)
        ]
        for m, each in enumerate(sizes)
    ]
    items = write_items(tmp_path / "items.parquet", manifests)
    wanted = [sent(m, one) for m, each in enumerate(manifests) for one in each]
    assert list(items_of_manifests(items, range(len(manifests)))) == wanted
    last_files = [one.object_urls[-1] for one in wanted]
    assert sorted(items_with_urls(items, last_files), key=repr) == sorted(wanted, key=repr)
