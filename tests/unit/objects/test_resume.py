"""A listing whose process dies goes on behind its last full file: nothing lost, nothing twice, same bytes."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from obstore.store import MemoryStore

from cloud_sync.objects.listing import list_objects
from cloud_sync.objects.model import read_listing
from cloud_sync.objects.progress import ProgressFile
from cloud_sync.run_folder import RunFolder, sha256_of
from cloud_sync.run_folder.address import parse_address
from cloud_sync.run_folder.stores import bucket_folder

from .fake_store import FakeStore, as_paths, as_utf16
from .listings import BUCKETS, KEYS, Died, DyingStore, list_to_the_end, rows_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cloud_sync.objects.model import ObjectStore

DEATHS = st.lists(st.integers(1, 30), max_size=4)
FLAT = {f"raw/{number:04d}.jpg": 5 for number in range(100)}


@pytest.fixture(autouse=True, scope="module")
def short_search() -> Iterator[None]:
    """Have the search for folders read one full page, so that the other pages are those of listings."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cloud_sync.objects.spans.LOOSE_PAGES", 1)
        yield


def index_of(root: Path | str) -> dict[str, Any]:
    index: dict[str, Any] = RunFolder(root).read_json("listing/index.json")
    return index


def counts_of(root: Path | str) -> tuple[Any, ...]:
    index = index_of(root)
    return index["parts"], index["objects"], index["bytes"], index["folder_markers"]


def begin(store: DyingStore, root: Path, *, pages: int = 7, attempt: str = "first") -> None:
    """Let the first try of a listing die after so many requests."""
    store.deaths = [pages]
    with pytest.raises(Died):
        list_objects(
            cast("ObjectStore", store), "", RunFolder(root), attempt=attempt, pages_in_flight=1, part_rows=20
        )


@settings(max_examples=25, deadline=None)
@given(sizes=BUCKETS, page_size=st.integers(1, 7), deaths=DEATHS, has_start_after=st.booleans())
def test_wherever_it_dies_it_ends_with_the_same_bytes_and_counts(
    *, sizes: dict[str, int], page_size: int, deaths: list[int], has_start_after: bool
):
    with tempfile.TemporaryDirectory() as whole, tempfile.TemporaryDirectory() as broken:
        store = DyingStore(sizes, page_size, has_start_after=has_start_after)
        list_to_the_end(store, whole)
        store.deaths = deaths
        listing = list_to_the_end(store, broken)

        assert rows_of(broken, listing.index) == store.listed("")
        assert counts_of(broken) == counts_of(whole)


@settings(max_examples=25, deadline=None)
@given(
    sizes=BUCKETS,
    page_size=st.integers(1, 7),
    deaths=DEATHS,
    order=st.sampled_from([as_paths, as_utf16]),
    has_start_after=st.booleans(),
)
def test_nothing_is_lost_or_doubled_where_the_store_orders_keys_otherwise(
    *,
    sizes: dict[str, int],
    page_size: int,
    deaths: list[int],
    order: Callable[[str], str],
    has_start_after: bool,
):
    store = DyingStore(sizes, page_size, order=order, has_start_after=has_start_after, deaths=deaths)
    with tempfile.TemporaryDirectory() as root:
        listing = list_to_the_end(store, root)

        assert sorted(rows_of(root, listing.index), key=lambda row: row.key) == store.listed("")


@settings(max_examples=20, deadline=None)
@given(sizes=BUCKETS, new=st.lists(KEYS, max_size=20), page_size=st.integers(1, 7), deaths=DEATHS)
def test_objects_that_come_between_tries_cost_none_that_were_there(
    sizes: dict[str, int], new: list[str], page_size: int, deaths: list[int]
):
    store = DyingStore(dict(sizes), page_size, deaths=deaths)
    old = {row.key for row in store.listed("")}
    with tempfile.TemporaryDirectory() as root:
        while True:
            try:
                listing = list_objects(
                    cast("ObjectStore", store),
                    "",
                    RunFolder(root),
                    attempt="first",
                    pages_in_flight=2,
                    part_rows=5,
                )
                break
            except Died:
                for key in new[:5]:
                    store.sizes = {key: 5} | dict(store.sizes)
                del new[:5]
                store.__post_init__()

        keys = [row.key for row in rows_of(root, listing.index)]
        assert keys == sorted(set(keys))
        assert old <= set(keys) <= {row.key for row in store.listed("")}


def test_the_next_try_asks_only_for_what_is_left(tmp_path: Path):
    store = DyingStore(FLAT, page_size=10)
    begin(store, tmp_path, pages=10)
    store.requests = 0

    listing = list_to_the_end(store, tmp_path, part_rows=20, pages_in_flight=1)

    assert rows_of(tmp_path, listing.index) == store.listed("")
    assert store.requests <= 2 + 100 / 10 - 4
    assert listing.requests < 10 + store.requests


def test_it_goes_on_where_the_run_folder_is_in_a_bucket():
    folder = bucket_folder(MemoryStore(), parse_address("s3://state", "here"))
    store = DyingStore(FLAT, page_size=10, deaths=[10])
    options: dict[str, Any] = {"attempt": "first", "pages_in_flight": 1, "part_rows": 20}
    with pytest.raises(Died):
        list_objects(cast("ObjectStore", store), "", folder, **options)

    listing = list_objects(cast("ObjectStore", store), "", folder, **options)

    parts = read_listing(folder, listing.index).parts
    keys = [key for part in parts for key in pq.read_table(part)["key"].to_pylist()]
    assert keys == sorted(FLAT)
    assert store.requests <= 2 + 100 / 10 - 4


def test_the_time_of_a_listing_is_that_of_its_first_try(tmp_path: Path):
    store = DyingStore(FLAT, page_size=10)
    begin(store, tmp_path, pages=8)
    first = RunFolder(tmp_path).read_json("listing/progress.json")["listed_at"]

    list_to_the_end(store, tmp_path, part_rows=20)

    assert index_of(tmp_path)["listed_at"] == first
    assert datetime.fromisoformat(first).tzinfo is not None


def test_another_attempt_lists_anew_and_sees_what_is_new(tmp_path: Path):
    store = DyingStore(FLAT, page_size=10)
    begin(store, tmp_path, pages=8, attempt="before it was cleared")
    store = DyingStore(FLAT | {"raw/!new.jpg": 5}, page_size=10)

    listing = list_to_the_end(store, tmp_path, attempt="after that", part_rows=20)

    assert rows_of(tmp_path, listing.index) == store.listed("")


def test_without_an_attempt_no_progress_is_kept(tmp_path: Path):
    list_objects(cast("ObjectStore", FakeStore(FLAT)), "", RunFolder(tmp_path), part_rows=20)

    assert not RunFolder(tmp_path).exists("listing/progress.json")


@pytest.mark.parametrize("how", ["torn", "gone", "other bytes"])
def test_a_file_that_is_not_as_it_was_written_is_listed_again(how: str, tmp_path: Path):
    store = DyingStore(FLAT, page_size=10)
    begin(store, tmp_path, pages=11)
    torn = tmp_path / "listing" / "part-0001.parquet"
    kept = sha256_of(tmp_path / "listing" / "part-0000.parquet")
    content = torn.read_bytes()
    if how == "gone":
        torn.unlink()
    else:
        torn.write_bytes(content[:-100] if how == "torn" else content[:-1] + b"!")

    listing = list_to_the_end(store, tmp_path, part_rows=20)

    assert rows_of(tmp_path, listing.index) == store.listed("")
    assert sha256_of(torn) == index_of(tmp_path)["parts"][1]["sha256"]
    assert sha256_of(tmp_path / "listing" / "part-0000.parquet") == kept


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'{"listing": {}}'])
def test_a_progress_that_cannot_be_read_is_none(content: bytes, tmp_path: Path):
    store = DyingStore(FLAT, page_size=10)
    begin(store, tmp_path, pages=8)
    (tmp_path / "listing" / "progress.json").write_bytes(content)

    listing = list_to_the_end(store, tmp_path, part_rows=20)

    assert rows_of(tmp_path, listing.index) == store.listed("")


def test_a_progress_of_another_version_is_none(tmp_path: Path):
    store = DyingStore(FLAT, page_size=10)
    begin(store, tmp_path, pages=8)
    path = tmp_path / "listing" / "progress.json"
    content = json.loads(path.read_text())
    folder = RunFolder(tmp_path)
    assert ProgressFile(folder, "listing/progress.json", content["listing"]).load() is not None
    content["parts"][0]["a field to come"] = 1
    path.write_text(json.dumps(content))

    assert ProgressFile(folder, "listing/progress.json", content["listing"]).load() is None


def test_what_a_killed_try_left_is_removed(tmp_path: Path):
    store = DyingStore(FLAT, page_size=10)
    begin(store, tmp_path, pages=8)
    folder = tmp_path / "listing"
    (folder / ".waiting-killed").mkdir()
    (folder / ".waiting-killed" / "3.arrow").write_bytes(b"rows")
    (folder / ".part-0002.parquet.5eed.tmp").write_bytes(b"half a file")
    (folder / "part-0017.parquet").write_bytes(b"of a try in which the bucket held more")

    list_to_the_end(store, tmp_path, part_rows=20)

    assert sorted(path.name for path in folder.iterdir()) == [
        "index.json",
        *(f"part-{number:04d}.parquet" for number in range(5)),
        "progress.json",
    ]


def test_folder_markers_are_counted_once_wherever_a_file_ends(tmp_path: Path):
    sizes = {f"raw/{number:03d}/{name}": size for number in range(40) for name, size in (("", 0), ("x", 5))}
    for page_size in (1, 3, 10):
        for death in range(5, 60, 3):
            root = tmp_path / f"{page_size}-{death}"
            listing = list_to_the_end(DyingStore(sizes, page_size, deaths=[death]), root, part_rows=3)
            assert (listing.objects, listing.folder_markers) == (40, 40)


def test_a_store_that_turns_out_to_order_keys_otherwise_is_listed_anew(tmp_path: Path):
    # One folder of mostly objects is one range, so no names of folders tell the order.
    sizes = {f"raw/{number:03d}.jpg": 5 for number in range(300)}
    sizes |= {f"raw/x/{number}": 5 for number in range(40)} | {f"raw/x-1/{number}": 5 for number in range(40)}
    store = DyingStore(sizes, page_size=10, order=as_paths)
    begin(store, tmp_path, pages=36)
    progress = RunFolder(tmp_path).read_json("listing/progress.json")
    assert progress["parts"][-1]["last_key"].startswith("raw/x/")

    listing = list_to_the_end(store, tmp_path, part_rows=20)

    assert sorted(rows_of(tmp_path, listing.index), key=lambda row: row.key) == store.listed("")
    assert not RunFolder(tmp_path).exists("listing/progress.json")
