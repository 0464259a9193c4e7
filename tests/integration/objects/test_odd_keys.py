"""Every kind of key, judged by the provider's own client, with pages so small that odd keys end them."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest

from cloud_sync.objects.listing import list_objects
from cloud_sync.objects.presence import present
from cloud_sync.run_folder import RunFolder

from .backends import as_its_client_lists, bucket_with

if TYPE_CHECKING:
    from pathlib import Path

    from cloud_sync.objects.model import ObjectStore, Page

    from .backends import Backend

PLAIN = [f"raw/cam{camera}/{number:02d}.jpg" for camera in range(3) for number in range(7)]
LONG = "raw/" + "é" * 510
ODD = [
    "/lead.jpg",
    "//",
    "raw//double.jpg",
    "raw/./dot.jpg",
    "raw/../dots.jpg",
    "raw/cam1/return\r.jpg",
    "raw/cam1/line\n.jpg",
    "raw/cam1/tab\t.jpg",
    "raw/cam1/del\x7f.jpg",
    "raw/cam1//x",
    "raw/ lead and trail .jpg ",
    "raw/a+b%20c.jpg",
    "raw/100%25+~*'().jpg",
    "raw/a#b?c&d=e.jpg",
    "raw/a\\b.jpg",
    'raw/<&amp;>".jpg',
    "raw/é.jpg",
    "raw/e\u0301.jpg",
    "raw/😀.jpg",
    "raw/\u0085.jpg",
    "!first",
    "~last",
    LONG,
]
EMPTY = ["raw/", "raw/cam0/", "raw/cam2", "raw/cam2/", "raw/marker/", "raw/empty.jpg", "raw/cam1/03.jpg/"]
ALL_KINDS = dict.fromkeys(PLAIN + ODD, b"content") | dict.fromkeys(EMPTY, b"")


def all_kinds(backend: Backend) -> dict[str, bytes]:
    return {key: body for key, body in ALL_KINDS.items() if key not in backend.refused_keys}


def as_we_list(store: ObjectStore, prefix: str, root: Path) -> list[tuple[Any, ...]]:
    list_objects(store, prefix, RunFolder(root), pages_in_flight=4, part_rows=17)
    return [
        tuple(row.values())
        for part in sorted((root / "listing").glob("part-*"))
        for row in pq.read_table(part).to_pylist()
    ]


def pages(store: ObjectStore, **asked: Any) -> list[Page]:
    found = [store.page(**asked)]
    while token := found[-1].next_token:
        found.append(store.page(**asked, token=token))
    return found


def keys_of(found: list[Page]) -> list[str]:
    return [key for page in found for key in page.rows["key"].to_pylist()]


@pytest.mark.parametrize("prefix", ["", "raw/", "raw", "raw/cam1", "raw/cam1/", "/", "raw//", "nothing/"])
def test_all_kinds_of_keys_at_once(backend: Backend, tmp_path: Path, prefix: str):
    bucket = bucket_with(backend, all_kinds(backend))

    assert as_we_list(backend.opened(bucket), prefix, tmp_path) == as_its_client_lists(
        backend, bucket, prefix
    )


@pytest.mark.parametrize("seed", range(12))
def test_random_neighbours(backend: Backend, tmp_path: Path, seed: int):
    chosen = random.Random(seed)
    contents = all_kinds(backend)
    keys = chosen.sample(list(contents), chosen.randint(1, 25))
    bucket = bucket_with(backend, {key: contents[key] for key in keys})

    assert as_we_list(backend.opened(bucket), "", tmp_path) == as_its_client_lists(backend, bucket, "")


def test_a_listing_goes_on_behind_any_key(backend: Backend):
    store = backend.opened(bucket_with(backend, all_kinds(backend)))
    in_order = sorted(all_kinds(backend), key=str.encode)

    for number, key in enumerate(in_order):
        assert keys_of(pages(store, prefix="", after=key)) == in_order[number + 1 :]
    assert keys_of(pages(store, prefix="raw/cam1/", after="raw/cam1/04.jpg0")) == [
        key for key in in_order if key.startswith("raw/cam1/") and key > "raw/cam1/04.jpg0"
    ]


@pytest.mark.parametrize("prefix", ["", "raw/", "raw", "raw/ca", "raw/cam1/", "/"])
def test_folders_are_told_from_objects(backend: Backend, prefix: str):
    found = pages(backend.opened(bucket_with(backend, all_kinds(backend))), prefix=prefix, delimiter="/")
    below = [key for key in all_kinds(backend) if key.startswith(prefix)]
    ends = {key: key.find("/", len(prefix)) + 1 for key in below}

    assert sorted(keys_of(found)) == sorted(key for key in below if not ends[key])
    # fake-gcs-server says again on each page which folders follow.
    folders = {folder for page in found for folder in page.prefixes}
    assert folders == {key[: ends[key]] for key in below if ends[key]}


def test_every_key_can_be_read(backend: Backend):
    keys = [key for key, body in all_kinds(backend).items() if body]
    contents = {key: f"0123456789{number}".encode() for number, key in enumerate(keys)}
    store = backend.opened(bucket_with(backend, contents))

    for key, content in contents.items():
        length = len(content)
        assert (store.head(key).key, store.head(key).size_bytes) == (key, length)
        assert store.read_range(key, 2, 3) == b"234"
        assert store.read_range(key, 8, 100) == content[8:]
        assert store.read_range(key, length, 5) == b""
        assert store.read_start(key, 4) == (length, b"0123")
        assert store.read_start(key, 100) == (length, content)
        assert store.read_tail(key, 3) == content[-3:]
        assert store.read_tail(key, 100) == content
        assert store.is_listed(key)


@pytest.mark.parametrize("key", ["empty.jpg", "raw//empty.jpg"])
def test_an_empty_object_is_read_as_nothing(backend: Backend, key: str):
    store = backend.opened(bucket_with(backend, {key: b""}))

    assert store.head(key).size_bytes == 0
    assert store.read_range(key, 0, 10) == b""
    assert store.read_start(key, 10) == (0, b"")
    assert store.read_tail(key, 10) == b""


def test_a_single_object_is_described_as_in_a_listing(backend: Backend):
    bucket = bucket_with(backend, {"raw/a.jpg": b"content"})
    store = backend.opened(bucket)
    [(key, size_bytes, last_modified, etag)] = backend.entries(bucket, "")

    head = store.head("raw/a.jpg")
    assert (head.key, head.size_bytes, head.etag) == (key, size_bytes, etag)
    assert abs((head.last_modified - last_modified).total_seconds()) < 1


def test_each_key_is_known_to_be_there_and_no_other(backend):
    kinds = all_kinds(backend)
    store = backend.opened(bucket_with(backend, kinds))
    there = {key for key, body in kinds.items() if body or not key.endswith("/")}
    # Of the last two only a folder marker begins so, which pages leave out.
    gone = {key[:-1] for key in there if len(key) > 1} | {"raw/marker", "raw/cam0"}
    assert present(store, there | gone) == there
