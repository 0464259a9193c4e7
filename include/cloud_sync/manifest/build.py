"""Build: stream the objects to register into numbered manifests."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from cloud_sync.integration import MAX_ITEMS_PER_MANIFEST
from cloud_sync.manifest.items import Item, ItemType
from cloud_sync.manifest.json_format import encode_manifest
from cloud_sync.manifest.model import ITEMS_NAME, ManifestEntry, ManifestIndex, write_index
from cloud_sync.run_folder import FileRef, RunFolder, sha256_of
from cloud_sync.titles import MAX_TITLE_CHARACTERS, short_title

# A run grows its manifests rather than send more of them than this.
MANIFESTS_IN_A_RUN = 200

# `register.parquet` of the plan stage, with two columns more.
ITEMS_SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("url", pa.string()),
        ("size_bytes", pa.int64()),
        ("last_modified", pa.timestamp("us", "UTC")),
        ("etag", pa.string()),
        ("item_type", pa.string()),
        ("manifest", pa.int32()),
    ]
)

BuildUrls = Callable[[Sequence[str]], list[str]]


def build_manifests(
    folder: RunFolder,
    *,
    register_path: Path,
    build_urls: BuildUrls,
    items_per_manifest: int,
    jobs_in_flight: int,
    skip_duplicate_urls: bool,
) -> tuple[FileRef, ManifestIndex]:
    """Write the manifests of a run, their index, and `items.parquet` (each item with its manifest).

    Args:
        folder: The run folder.
        register_path: Parquet with key, size_bytes, last_modified, etag, item_type, ordered by key.
        build_urls: Turns keys into object URLs, in order.
        items_per_manifest: Wanted items in a manifest; more go in when there would be too many manifests.
        jobs_in_flight: Into how many register tasks the manifests are dealt at most.
        skip_duplicate_urls: Stated in every manifest.

    Returns:
        A reference to the index, and the index.
    """
    entries: list[ManifestEntry] = []
    with pq.ParquetFile(register_path) as rows, folder.writing(ITEMS_NAME) as path:
        size = manifest_size(rows.metadata.num_rows, items_per_manifest)
        with pq.ParquetWriter(
            path, ITEMS_SCHEMA, compression="snappy", use_dictionary=["item_type", "manifest"]
        ) as writer:
            for number, table in enumerate(_chunks(rows, size)):
                keys = table["key"].to_pylist()
                urls = build_urls(keys)
                items = _items(keys, urls, table["item_type"].to_pylist())
                data = encode_manifest(items, skip_duplicate_urls=skip_duplicate_urls)
                entries.append(_write_manifest(folder, number, data, len(urls)))
                writer.write_table(_items_table(table, urls, number))
    _remove_others(folder, entries)
    index = ManifestIndex(
        manifests=tuple(entries),
        shards=min(len(entries), jobs_in_flight),
        plan_sha256=sha256_of(register_path),
        items_sha256=sha256_of(folder.path(ITEMS_NAME)),
    )
    return write_index(folder, index), index


def manifest_size(items: int, wanted: int) -> int:
    """Return how many items go into one manifest: as wanted, or more when a run has very many items.

    Never over 10,000, Encord's limit of data units at one time; beyond 2,000,000 items the number of
    manifests grows instead.
    """
    return min(max(wanted, -(-items // MANIFESTS_IN_A_RUN)), MAX_ITEMS_PER_MANIFEST)


def _chunks(rows: pq.ParquetFile, size: int) -> Iterator[pa.Table]:
    """Yield tables of `size` rows and a last smaller one, whatever the file's row groups are."""
    rest: list[pa.RecordBatch] = []
    waiting = 0
    for batch in rows.iter_batches(batch_size=size, columns=["key", *ITEMS_SCHEMA.names[2:6]]):
        rest.append(batch)
        waiting += batch.num_rows
        if waiting >= size:
            table = pa.Table.from_batches(rest)
            yield table.slice(0, size)
            rest = table.slice(size).to_batches()
            waiting -= size
    if waiting:
        yield pa.Table.from_batches(rest)


def _items(keys: list[str], urls: list[str], item_types: list[ItemType]) -> Iterator[Item]:
    for key, url, item_type in zip(keys, urls, item_types, strict=True):
        yield Item(item_type, (url,), short_title(key) if len(key) > MAX_TITLE_CHARACTERS else None)


def _items_table(table: pa.Table, urls: list[str], number: int) -> pa.Table:
    columns = {
        "url": pa.array(urls, pa.string()),
        "manifest": pa.repeat(pa.scalar(number, pa.int32()), len(urls)),
    }
    return pa.table(
        [columns[name] if name in columns else table[name] for name in ITEMS_SCHEMA.names], ITEMS_SCHEMA.names
    ).cast(ITEMS_SCHEMA)


def _write_manifest(folder: RunFolder, number: int, data: bytes, items: int) -> ManifestEntry:
    sha256 = hashlib.sha256(data).hexdigest()
    name = f"manifests/{number:04d}-{sha256[:12]}.json"
    folder.write(name, data)
    return ManifestEntry(number=number, name=name, items=items, sha256=sha256)


def _remove_others(folder: RunFolder, entries: Sequence[ManifestEntry]) -> None:
    """Remove what an earlier try left, if it planned otherwise: one number is one manifest."""
    kept = {entry.name for entry in entries}
    for name in folder.names("manifests/[0-9]*.json"):
        if name not in kept:
            folder.path(name).unlink()
