"""Chunks: whole items only, whatever the row groups are, with titles and metadata in step."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloud_sync.manifest import build as build_module
from cloud_sync.manifest.build import ITEMS_SCHEMA, build_manifests
from cloud_sync.manifest.chunks import FILE_COLUMNS, Chunk, chunks, count_items
from cloud_sync.manifest.items import Item, VideoMetadata
from cloud_sync.planning.describe import METADATA_SCHEMA
from cloud_sync.run_folder import RunFolder
from tests.unit.tables import LONG_AGO, URL_BASE

REGISTER_SCHEMA = pa.schema([ITEMS_SCHEMA.field(name) for name in FILE_COLUMNS])


def write_files(path: Path, sizes: list[int], row_group: int = 1000) -> list[list[str]]:
    """Write a register of items with so many files each; returns the keys of each item."""
    items = [[f"i{number:04}/{n}.jpg" for n in range(files)] for number, files in enumerate(sizes)]
    rows = [
        {
            "key": key,
            "size_bytes": 1,
            "last_modified": LONG_AGO,
            "etag": "",
            "item_type": "image_group" if len(keys) > 1 else "image",
            "item_key": keys[0].partition("/")[0],
            "position": position,
        }
        for keys in items
        for position, key in enumerate(keys)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, REGISTER_SCHEMA), path, row_group_size=row_group)
    return items


def write_metadata(path: Path, rows: list[dict[str, Any]]) -> None:
    pq.write_table(pa.Table.from_pylist(rows, METADATA_SCHEMA), path)


def chunks_of(folder: Path, size: int) -> list[Chunk]:
    with pq.ParquetFile(folder / "register.parquet") as rows:
        described = folder / "metadata.parquet"
        return list(chunks(rows, described if described.is_file() else None, size))


def items_of(chunk: Chunk) -> list[Item]:
    return list(chunk.items(chunk.files["key"].to_pylist(), chunk.titles()))


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.integers(1, 9), max_size=12),
    st.tuples(st.integers(1, 6), st.integers(1, 8), st.integers(3, 30)),
)
def test_no_item_is_split_lost_or_moved(tmp_path, monkeypatch, sizes, limits):
    size, row_group, most_files = limits
    monkeypatch.setattr("cloud_sync.manifest.chunks.MAX_FILES", most_files)
    items = write_files(tmp_path / "register.parquet", sizes, row_group)
    found = chunks_of(tmp_path, size)
    assert [list(item.object_urls) for chunk in found for item in items_of(chunk)] == items
    assert [len(chunk.starts) for chunk in found] == expected_sizes(sizes, size, most_files)
    with pq.ParquetFile(tmp_path / "register.parquet") as rows:
        assert count_items(rows) == len(sizes)


def expected_sizes(files: list[int], most: int, most_files: int) -> list[int]:
    """Fill one chunk after the other, item by item."""
    found: list[list[int]] = []
    for each in files:
        if not found or len(found[-1]) == most or sum(found[-1]) + each > most_files:
            found.append([])
        found[-1].append(each)
    return [len(chunk) for chunk in found]


def test_titles_and_metadata_stay_with_their_items(tmp_path):
    items = write_files(tmp_path / "register.parquet", [1, 3, 1, 2, 1])
    video = {"fps": 25.0, "duration": 1.5, "width": 2, "height": 3, "file_size": 4, "mime_type": "video/mp4"}
    write_metadata(
        tmp_path / "metadata.parquet",
        [
            {
                "item_key": f"i{n:04}",
                "title": f"t{n}" if n % 2 else None,
                "client_metadata": json.dumps({"n": [n]}) if n != 2 else None,
                "video_metadata": json.dumps(video) if n == 2 else None,
            }
            for n in range(5)
        ],
    )
    found = [item for chunk in chunks_of(tmp_path, 2) for item in items_of(chunk)]
    assert found == [
        Item(
            "image_group" if len(keys) > 1 else "image",
            tuple(keys),
            f"t{n}" if n % 2 else None,
            {"n": [n]} if n != 2 else None,
            VideoMetadata(**video) if n == 2 else None,
        )
        for n, keys in enumerate(items)
    ]


def test_much_metadata_ends_a_chunk_early(tmp_path, monkeypatch):
    monkeypatch.setattr("cloud_sync.manifest.chunks.MAX_METADATA_BYTES", 100)
    write_files(tmp_path / "register.parquet", [1, 2, 1, 1, 3, 1])
    sizes = [40, 40, 40, 500, 10, 10]
    write_metadata(
        tmp_path / "metadata.parquet",
        [{"item_key": "", "client_metadata": json.dumps("x" * (size - 2))} for size in sizes],
    )
    assert [len(chunk.starts) for chunk in chunks_of(tmp_path, 10)] == [2, 1, 1, 2]


@pytest.fixture
def encoded(monkeypatch) -> list[list[Item]]:
    """The items of each manifest, before they are encoded."""
    seen: list[list[Item]] = []
    monkeypatch.setattr(
        build_module,
        "encode_manifest",
        lambda items, **_: seen.append(list(items)) or str(len(seen)).encode(),
    )
    return seen


def test_the_items_file_has_each_file_with_its_item_title_and_manifest(tmp_path, encoded):
    folder = RunFolder(tmp_path)
    items = write_files(folder.path("register.parquet"), [2, 1, 3])
    rows = [{"item_key": "", "title": title} for title in ("first", None, "third")]
    write_metadata(folder.path("metadata.parquet"), rows)
    _, index = build_manifests(
        folder,
        register_path=folder.path("register.parquet"),
        build_urls=lambda keys: [URL_BASE + key for key in keys],
        items_per_manifest=2,
        jobs_in_flight=4,
        skip_duplicate_urls=True,
    )
    table = pq.read_table(folder.path("items.parquet"))
    assert table.schema.equals(ITEMS_SCHEMA)
    columns = ("item_key", "position", "title", "manifest", "item_type")
    assert list(zip(*(table[name].to_pylist() for name in columns), strict=True)) == [
        ("i0000", 0, "first", 0, "image_group"),
        ("i0000", 1, "first", 0, "image_group"),
        ("i0001", 0, None, 0, "image"),
        ("i0002", 0, "third", 1, "image_group"),
        ("i0002", 1, "third", 1, "image_group"),
        ("i0002", 2, "third", 1, "image_group"),
    ]
    assert [(entry.items, entry.files) for entry in index.manifests] == [(2, 3), (1, 3)]
    assert index.items == 3
    sent = [list(item.object_urls) for manifest in encoded for item in manifest]
    assert sent == [[URL_BASE + key for key in keys] for keys in items]
