"""A listing in shards: together they hold every key once, wherever they end and whatever comes meanwhile."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cloud_sync.errors import StorageError
from cloud_sync.objects.model import read_listing
from cloud_sync.objects.shards import list_shard, read_shard, survey
from cloud_sync.run_folder import RunFolder

from .fake_store import FakeStore, as_paths, as_utf16
from .listings import BUCKETS, KEYS, Died, DyingStore, rows_of

if TYPE_CHECKING:
    from pathlib import Path

    from cloud_sync.objects.model import ObjectStore
    from cloud_sync.run_folder import FileRef


def surveyed(store: FakeStore, root: Path | str, shards: int, prefix: str = "") -> list[Any]:
    return survey(cast("ObjectStore", store), prefix, RunFolder(root), shards=shards, pages_in_flight=2)


def listed(store: FakeStore, root: Path | str, number: int, attempt: str | None = None) -> FileRef:
    while True:
        try:
            return list_shard(
                cast("ObjectStore", store),
                RunFolder(root),
                number,
                attempt=attempt,
                pages_in_flight=2,
                part_rows=7,
            ).index
        except Died:
            continue


def in_shards(store: FakeStore, root: Path | str, shards: int, prefix: str = "") -> list[Any]:
    found = surveyed(store, root, shards, prefix)
    return rows_of(root, *(listed(store, root, shard.number) for shard in found))


@settings(max_examples=40, deadline=None)
@given(
    sizes=BUCKETS,
    prefix=st.sampled_from(["", "", "a", "a/", "cam", "/"]),
    shards=st.integers(1, 6),
    page_size=st.integers(1, 7),
    has_start_after=st.booleans(),
)
@example(
    sizes={f"cam{mark}{n}/x": 5 for n in range(9) for mark in "-./0"} | {"cam/0": 5, "cam0": 5},
    prefix="",
    shards=6,
    page_size=2,
    has_start_after=True,
)
def test_shards_hold_every_key_once_in_order(
    *, sizes: dict[str, int], prefix: str, shards: int, page_size: int, has_start_after: bool
):
    store = FakeStore(sizes, page_size, has_start_after=has_start_after)
    with tempfile.TemporaryDirectory() as root:
        assert in_shards(store, root, shards, prefix) == store.listed(prefix)


@settings(max_examples=25, deadline=None)
@given(
    sizes=BUCKETS,
    shards=st.integers(1, 6),
    page_size=st.integers(1, 7),
    order=st.sampled_from([as_paths, as_utf16]),
    has_start_after=st.booleans(),
)
@example(
    sizes={f"cam{mark}{n}/x": 5 for n in range(9) for mark in "-./"} | {"cam/1": 5, "cam.txt": 5},
    shards=5,
    page_size=3,
    order=as_paths,
    has_start_after=True,
)
def test_nothing_is_lost_or_doubled_where_the_store_orders_keys_otherwise(
    *,
    sizes: dict[str, int],
    shards: int,
    page_size: int,
    order: Callable[[str], str],
    has_start_after: bool,
):
    store = FakeStore(sizes, page_size, order=order, has_start_after=has_start_after)
    with tempfile.TemporaryDirectory() as root:
        rows = in_shards(store, root, shards)

    assert sorted(rows, key=lambda row: row.key) == store.listed("")


@settings(max_examples=25, deadline=None)
@given(
    sizes=BUCKETS,
    new=st.lists(KEYS, max_size=10),
    shards=st.integers(1, 6),
    page_size=st.integers(1, 7),
    deaths=st.lists(st.integers(1, 20), max_size=4),
)
def test_objects_that_come_after_the_survey_are_listed_once_by_shards_that_die_and_go_on(
    *, sizes: dict[str, int], new: list[str], shards: int, page_size: int, deaths: list[int]
):
    with tempfile.TemporaryDirectory() as root:
        found = surveyed(FakeStore(sizes, page_size), root, shards)
        store = DyingStore(dict.fromkeys(new, 5) | sizes, page_size, deaths=deaths)
        indexes = [listed(store, root, shard.number, attempt="first") for shard in found]

        assert rows_of(root, *indexes) == store.listed("")


def folders(count: int, each: int = 3) -> dict[str, int]:
    return {f"raw/scene-{folder:03d}/{number}.jpg": 5 for folder in range(count) for number in range(each)}


def test_shards_have_about_as_many_folders_each_and_leave_no_gap(tmp_path: Path):
    store = FakeStore(folders(100))
    found = surveyed(store, tmp_path, 4)

    counts = [read_listing_counts(tmp_path, listed(store, tmp_path, shard.number)) for shard in found]
    assert [shard.number for shard in found] == [0, 1, 2, 3]
    assert sum(counts) == 300
    assert max(counts) - min(counts) <= 24
    windows = [shard.window for shard in found]
    assert (windows[0].after, windows[-1].to) == ("", None)
    assert all(one.to == following.after for one, following in pairwise(windows))


def read_listing_counts(root: Path, index: FileRef) -> int:
    return int(RunFolder(root).read_json(index.path)["objects"])


@pytest.mark.parametrize("sizes", [{}, {"a": 5}, {f"{number:05d}.jpg": 5 for number in range(900)}])
def test_a_bucket_without_folders_is_one_shard(sizes: dict[str, int], tmp_path: Path):
    [shard] = surveyed(FakeStore(sizes), tmp_path, 8)

    assert shard.window.is_whole


def test_a_shard_asks_for_little_outside_of_its_range(tmp_path: Path):
    store = FakeStore(folders(400, each=10), page_size=50)
    found = surveyed(store, tmp_path, 8)
    store.requests = 0

    for shard in found:
        listed(store, tmp_path, shard.number)

    assert store.requests < 2 * 4000 / 50


def test_labels_say_which_folders_a_shard_has(tmp_path: Path):
    sizes = folders(40) | {"raw/scene-039/odd\nname/" + "x" * 200 + "/a": 5}
    labels = [shard.label for shard in surveyed(FakeStore(sizes), tmp_path, 4)]

    assert labels[0] == "raw/scene-000/ to raw/scene-009/"
    assert all(label.isprintable() and len(label) < 250 for label in labels)
    assert read_shard(RunFolder(tmp_path), 0)[1].label == labels[0]


def test_a_survey_removes_what_an_earlier_listing_left(tmp_path: Path):
    store = FakeStore(folders(40))
    for shard in surveyed(store, tmp_path, 4):
        listed(store, tmp_path, shard.number, attempt="first")

    surveyed(store, tmp_path, 2)

    assert RunFolder(tmp_path).names("listing/**/*") == ["listing/shards.json"]


class TestWholeness:
    """Half a listing would call everything else in the dataset gone."""

    def indexes(self, root: Path) -> list[FileRef]:
        store = FakeStore(folders(40))
        return [listed(store, root, shard.number) for shard in surveyed(store, root, 4)]

    @pytest.mark.parametrize("left_out", range(4))
    def test_a_shard_that_is_left_out_is_noticed(self, left_out: int, tmp_path: Path):
        indexes = self.indexes(tmp_path)
        del indexes[left_out]
        with pytest.raises(StorageError, match=r"not whole.*Clear the run from its first task"):
            read_listing(RunFolder(tmp_path), *indexes)

    def test_no_index_at_all_is_no_empty_listing(self, tmp_path: Path):
        with pytest.raises(StorageError, match="not whole"):
            read_listing(RunFolder(tmp_path))

    def test_a_shard_of_another_survey_is_noticed(self, tmp_path: Path):
        indexes = self.indexes(tmp_path)
        with pytest.raises(StorageError, match="not whole"):
            read_listing(RunFolder(tmp_path), indexes[0], *indexes)

    def test_a_torn_part_of_a_shard_is_noticed(self, tmp_path: Path):
        indexes = self.indexes(tmp_path)
        part = tmp_path / "listing" / "0002" / "part-0001.parquet"
        part.write_bytes(part.read_bytes()[:-8])
        with pytest.raises(StorageError, match="has changed since"):
            read_listing(RunFolder(tmp_path), *indexes)
