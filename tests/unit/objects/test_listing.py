"""The listing against a bucket in memory: exact for every set of keys, sorted, the same bytes every time."""

from __future__ import annotations

import tempfile
import tracemalloc
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast
from unittest.mock import patch

import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cloud_sync.objects import range_reader
from cloud_sync.objects.errors import ObjectStoreError
from cloud_sync.objects.listing import Listing, list_objects
from cloud_sync.objects.model import StoredObject
from cloud_sync.objects.rows import LISTING_SCHEMA
from cloud_sync.objects.spans import LOOSE_PAGES, SPANS_PER_FLIGHT, Known, Span, find_units
from cloud_sync.objects.tally import Tally
from cloud_sync.pace import Pace
from cloud_sync.run_folder import RunFolder, sha256_of

from .fake_store import FakeStore, as_paths, as_utf16

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cloud_sync.objects.model import ObjectStore, Page

OVERLOADED = ObjectStoreError("overloaded.", reason="unreachable", transient=True)

SEGMENTS = st.sampled_from(
    ["a", "b", "cam", "cam1", "", ".", "..", "a b", "!", "-", "0", "~", "é", "\n", "\U0010ffff"]
)
KEYS = st.lists(SEGMENTS, min_size=1, max_size=5).map("/".join).filter(bool)
BUCKETS = st.dictionaries(KEYS, st.sampled_from([0, 5, 5, 5]), max_size=60)


ALONE = None
"""The caller's thread lists everything, as from a fast store; a number: threads help after so many pages."""


class SlowStorePace(Pace):
    """What a slow store leads to, after some pages."""

    pages = 1

    def waited(self, seconds: float) -> None:
        self.pages -= 1
        self._worth = self._most if self.pages <= 0 else 1


def run(
    store: FakeStore, prefix: str, root: Path | str, helped_after: int | None = ALONE, **settings: int
) -> Listing:
    pace = type("SlowAfter", (SlowStorePace,), {"pages": helped_after})
    patched = nullcontext() if helped_after is None else patch("cloud_sync.objects.listing.Pace", pace)
    with patched:
        return list_objects(cast("ObjectStore", store), prefix, RunFolder(root), **settings)


def rows(root: Path | str, listing: Listing) -> list[StoredObject]:
    folder = RunFolder(root)
    names = [part["path"] for part in folder.read_json(listing.index.path)["parts"]]
    tables = [pq.read_table(folder.path(name)) for name in names]
    return [StoredObject(**row) for table in tables for row in table.to_pylist()]


@settings(max_examples=150, deadline=None)
@given(
    sizes=BUCKETS,
    prefix=st.sampled_from(["", "", "a", "a/", "cam", "/", "a//", "cam/a"]),
    page_size=st.integers(1, 7),
    helped_after=st.sampled_from([ALONE, 1, 3]),
    has_start_after=st.booleans(),
)
@example(
    sizes={"p/trail": 0, "p/trail/": 0, "p/trail/x": 5},
    prefix="",
    page_size=1,
    helped_after=ALONE,
    has_start_after=True,
)
@example(
    sizes={"!a": 5, "/!b": 5, "/lead": 5, "lead": 5, "0": 5},
    prefix="",
    page_size=2,
    helped_after=ALONE,
    has_start_after=True,
)
def test_every_key_is_listed_once_as_it_is(
    *, sizes: dict[str, int], prefix: str, page_size: int, helped_after: int | None, has_start_after: bool
):
    store = FakeStore(sizes, page_size, has_start_after=has_start_after)
    with tempfile.TemporaryDirectory() as root:
        listing = run(store, prefix, root, helped_after, pages_in_flight=3, part_rows=11)

        expected = store.listed(prefix)
        assert rows(root, listing) == expected
        assert listing.objects == len(expected)
        assert listing.total_bytes == sum(each.size_bytes for each in expected)
        assert listing.folder_markers == sum(key.startswith(prefix) for key in sizes) - len(expected)


def many_folders(folders: int, each: int) -> dict[str, int]:
    return {f"raw/f{folder:04d}/{number:03d}.jpg": 5 for folder in range(folders) for number in range(each)}


@pytest.mark.parametrize("page_size", [5, 1000])
@pytest.mark.parametrize(
    "sizes",
    [
        many_folders(40, 7),
        many_folders(3, 250) | {"raw/f0001": 5, "raw/f0001.jpg": 5, "raw/f0001-b/x": 5, "zzz": 5},
        {f"raw/{number:05d}.jpg": 5 for number in range(700)} | {"raw/zz/a": 5, "/x": 5, "//": 0},
        {f"{number:05d}.jpg": 5 for number in range(300)}
        | {f"-{n}": 5 for n in range(150)}
        | {"/x": 5, "/!": 5},
    ],
    ids=["folders", "neighbours", "flat", "flat root with leading slashes"],
)
@pytest.mark.parametrize("helped_after", [ALONE, 2])
def test_shapes_of_buckets(sizes: dict[str, int], page_size: int, helped_after: int | None, tmp_path: Path):
    store = FakeStore(sizes, page_size)

    for prefix in ("", "raw/", "raw/f000", "raw/f0001", "0"):
        listing = run(store, prefix, tmp_path, helped_after, pages_in_flight=2)
        assert rows(tmp_path, listing) == store.listed(prefix)


@settings(max_examples=100, deadline=None)
@given(
    sizes=BUCKETS,
    page_size=st.integers(1, 7),
    order=st.sampled_from([as_paths, as_utf16]),
    has_start_after=st.booleans(),
)
@example(
    sizes={f"cam{mark}{n}/x": 5 for n in range(9) for mark in "-./"} | {"cam.txt": 5},
    page_size=3,
    order=as_paths,
    has_start_after=True,
)
@example(
    sizes={f"cam{mark}{n}/x": 5 for n in range(9) for mark in "-.\U0001f600\uffee"} | {"cam.txt": 5},
    page_size=3,
    order=as_utf16,
    has_start_after=False,
)
def test_nothing_is_lost_or_doubled_where_the_store_orders_keys_otherwise(
    *, sizes: dict[str, int], page_size: int, order: Callable[[str], str], has_start_after: bool
):
    store = FakeStore(sizes, page_size, order=order, has_start_after=has_start_after)
    with tempfile.TemporaryDirectory() as root:
        listing = run(store, "", root, pages_in_flight=1)

        assert sorted(rows(root, listing), key=lambda row: row.key) == store.listed("")


def test_an_object_whose_key_ends_with_a_slash_is_listed_if_it_has_content(tmp_path: Path):
    store = FakeStore(
        {f"raw/{n:04d}": 5 for n in range(300)}
        | {"raw/0200/": 5, "raw/0200/x": 5, "raw/0250/": 5, "raw/0260/": 0}
    )

    assert rows(tmp_path, run(store, "raw/", tmp_path)) == store.listed("raw/")


def test_the_same_bucket_gives_the_same_bytes(tmp_path: Path):
    sizes = many_folders(60, 30)

    listings = [
        run(FakeStore(sizes, page_size), "", tmp_path / str(page_size), helped_after, part_rows=500)
        for page_size, helped_after in ((7, ALONE), (9, 1), (1000, 4))
    ]

    digests = [
        [sha256_of(path) for path in sorted((tmp_path / name / "listing").glob("part-*"))]
        for name in ("7", "9", "1000")
    ]
    assert [len(digest) for digest in digests] == [4, 4, 4]
    assert digests[0] == digests[1] == digests[2]
    assert {listing.objects for listing in listings} == {1800}


def test_the_index_says_what_there_is(tmp_path: Path):
    listing = run(FakeStore(many_folders(2, 10) | {"raw/f0000/": 0}), "raw/", tmp_path, part_rows=15)

    index = RunFolder(tmp_path).read_json("listing/index.json")
    assert [(part["path"], part["rows"]) for part in index["parts"]] == [
        ("listing/part-0000.parquet", 15),
        ("listing/part-0001.parquet", 5),
    ]
    for part in index["parts"]:
        assert part["sha256"] == sha256_of(tmp_path / part["path"])
        assert pq.read_schema(tmp_path / part["path"]) == LISTING_SCHEMA
    assert (index["objects"], index["bytes"], index["folder_markers"]) == (20, 100, 1)
    assert listing.index.counts == {"objects": 20, "bytes": 100}
    assert RunFolder(tmp_path).verified(listing.index)


@dataclass
class OverlappingStore(FakeStore):
    """Begins each page that follows with the end of the one before, or gives that one once more."""

    repeats: int = 1
    given: list[str] = field(default_factory=list)

    def page(self, prefix: str, *, token: str | None = None, **options: Any) -> Page:
        if token is None or options.get("delimiter"):
            return super().page(prefix, token=token, **options)
        place = self.keys.index(token)
        earlier = self.keys[max(0, place - self.repeats)]
        # A page that is repeated once must not be so for ever.
        if token not in self.given:
            self.given.append(token)
            token = earlier
        return super().page(prefix, token=token, **options)


@pytest.mark.parametrize("repeats", [1, 3, 10])
@pytest.mark.parametrize("helped_after", [ALONE, 1])
def test_keys_that_a_store_gives_twice_are_listed_once(
    repeats: int, helped_after: int | None, tmp_path: Path
):
    store = OverlappingStore({f"{number:04d}.jpg": 5 for number in range(900)}, 10, repeats=repeats)

    assert rows(tmp_path, run(store, "", tmp_path, helped_after)) == store.listed("")
    assert store.given


def test_objects_are_counted_as_they_arrive(tmp_path: Path):
    counts: list[int] = []
    store = FakeStore(many_folders(3, 20), page_size=7)
    listing = list_objects(cast("ObjectStore", store), "", RunFolder(tmp_path), on_objects=counts.append)
    assert sum(counts) == listing.objects == 60
    assert len(counts) > 3


def test_running_again_leaves_nothing_of_the_try_before(tmp_path: Path):
    run(FakeStore(many_folders(10, 10)), "", tmp_path, part_rows=10)
    listing = run(FakeStore({"a": 5}), "", tmp_path, part_rows=10)

    assert [path.name for path in sorted((tmp_path / "listing").iterdir())] == [
        "index.json",
        "part-0000.parquet",
    ]
    assert [row.key for row in rows(tmp_path, listing)] == ["a"]


def test_an_empty_bucket_has_no_parts(tmp_path: Path):
    listing = run(FakeStore({}), "", tmp_path)

    assert (listing.objects, listing.total_bytes) == (0, 0)
    assert [path.name for path in (tmp_path / "listing").iterdir()] == ["index.json"]


def test_a_flat_bucket_pays_little_for_the_search_for_folders(tmp_path: Path):
    store = FakeStore({f"{number:06d}.jpg": 5 for number in range(20_000)})

    listing = run(store, "", tmp_path)

    assert listing.objects == 20_000
    assert store.requests == 1 + LOOSE_PAGES + 20


@pytest.mark.parametrize("has_start_after", [True, False])
@pytest.mark.parametrize("loose", [300, 1500, 3900])
def test_loose_objects_before_the_folders_do_not_hide_them(loose: int, has_start_after: bool, tmp_path: Path):
    sizes = {f"raw/IMG_{number:05d}.jpg": 5 for number in range(loose)}
    sizes |= {f"raw/cam{folder:03d}/{number}.jpg": 5 for folder in range(200) for number in range(4)}
    store = FakeStore(sizes, has_start_after=has_start_after)

    assert len(find_units(cast("ObjectStore", store), "raw/", 8, Tally())) > 8
    assert rows(tmp_path, run(store, "raw/", tmp_path)) == store.listed("raw/")


def test_a_folder_among_many_is_not_searched_for_long(tmp_path: Path):
    store = FakeStore(
        {f"raw/{folder}/{number:04d}.jpg": 5 for folder in range(9) for number in range(400)}, 100
    )

    units = find_units(cast("ObjectStore", store), "raw/", 32, Tally())

    assert store.requests == 1 + 9 * 2
    assert units == [Span(f"raw/{folder}/") for folder in range(9)]


@pytest.mark.parametrize("has_start_after", [True, False])
def test_small_folders_are_not_a_request_each(has_start_after: bool, tmp_path: Path):
    store = FakeStore(many_folders(3_000, 2), has_start_after=has_start_after)

    listing = run(store, "", tmp_path, pages_in_flight=4)

    assert listing.objects == 6_000
    assert listing.requests < 100


def test_very_many_folders_take_little_memory():
    store = FakeStore({f"raw/scene-{number:06d}/x.jpg": 5 for number in range(20_000)})
    tracemalloc.start()
    units = find_units(cast("ObjectStore", store), "raw/", 4, Tally())
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert len(units) <= SPANS_PER_FLIGHT * 4
    assert peak_bytes < 100 * 20_000


def test_folders_out_of_order_are_ranges_in_order():
    sizes = {f"cam{mark}{number:03d}/x": 5 for number in range(200) for mark in "-~"} | {"cam-.txt": 5}
    store = FakeStore(sizes, order=lambda key: key[::-1])

    units = find_units(cast("ObjectStore", store), "", 1, Tally())

    spans = [unit for unit in units if isinstance(unit, Span) and unit.folders is not None]
    folders = [name for span in spans for name in span.folders.to_pylist()]
    assert folders == sorted(key[:-1] for key in sizes if key.endswith("/x"))
    [known] = [unit for unit in units if isinstance(unit, Known)]
    assert known.rows["key"].to_pylist() == ["cam-.txt"]


class RepeatingStore(FakeStore):
    """Names on each page again all folders of the pages before."""

    def page(self, prefix: str, **asked: Any) -> Page:
        """List as that store does."""
        page = super().page(prefix, **asked)
        named = self.__dict__.setdefault(f"named below {prefix}", [])
        named += page.prefixes
        return replace(page, prefixes=tuple(named))


def test_folders_that_are_named_twice_are_listed_once(tmp_path: Path):
    objects = dict.fromkeys(("raw/a.txt", "raw/g.txt"), 5)
    store = RepeatingStore(many_folders(150, 2) | objects, 40)

    listing = run(store, "raw/", tmp_path, pages_in_flight=4)

    assert rows(tmp_path, listing) == store.listed("raw/")


@pytest.mark.parametrize("helped_after", [ALONE, 1])
@pytest.mark.parametrize("has_start_after", [True, False])
def test_a_listing_goes_on_after_failures(
    *, helped_after: int | None, has_start_after: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(range_reader, "LONGEST_PAUSE_S", 0.0)
    store = FakeStore(
        {f"{number:06d}.jpg": 5 for number in range(900)},
        100,
        failures=[OVERLOADED] * 7,
        has_start_after=has_start_after,
    )

    listing = run(store, "", tmp_path, helped_after)

    assert rows(tmp_path, listing) == store.listed("")
    assert RunFolder(tmp_path).read_json("listing/index.json")["resumed"] == 7


@pytest.mark.parametrize("helped_after", [ALONE, 1])
def test_a_failure_that_does_not_pass_ends_the_listing(
    helped_after: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(range_reader, "LONGEST_PAUSE_S", 0.0)
    store = FakeStore(
        {f"{number:06d}.jpg": 5 for number in range(900)}, 1, failures=[OVERLOADED], down_after=5
    )

    with pytest.raises(ObjectStoreError, match="overloaded"):
        run(store, "", tmp_path, helped_after)

    assert not list((tmp_path / "listing").glob("*.parquet"))
    assert not (tmp_path / "listing" / "index.json").exists()


@pytest.mark.parametrize("helped_after", [ALONE, 1])
def test_a_refusal_ends_the_listing_at_once(helped_after: int | None, tmp_path: Path):
    refused = ObjectStoreError("refused.", reason="forbidden")
    store = FakeStore(many_folders(300, 101), failures=[refused])

    with pytest.raises(ObjectStoreError, match="refused"):
        run(store, "", tmp_path, helped_after)


def test_folders_are_read_once_where_a_listing_cannot_begin_at_a_key(tmp_path: Path):
    names = [f"{letter}-{number:03d}" for letter in ("cam", "cat", "dog") for number in range(0, 900, 3)]
    store = FakeStore({f"{name}/x": 5 for name in names}, page_size=50, has_start_after=False)

    listing = run(store, "", tmp_path, pages_in_flight=2)

    assert rows(tmp_path, listing) == store.listed("")
    discovered = len(names) / 50 + 2
    assert listing.requests < discovered + 1.7 * len(names) / 50


@pytest.mark.parametrize("has_start_after", [True, False])
def test_many_folders_below_a_prefix_ask_for_nothing_outside_of_it(has_start_after: bool, tmp_path: Path):
    store = FakeStore(
        {f"raw/cam{number:04d}/x.jpg": 5 for number in range(600)}
        | {f"raw/a{n:03d}/x": 5 for n in range(50)},
        has_start_after=has_start_after,
    )

    listing = run(store, "raw/cam", tmp_path, pages_in_flight=4)

    assert rows(tmp_path, listing) == store.listed("raw/cam")
    assert all(prefix.startswith("raw/cam") for prefix in store.prefixes_asked)
