"""Build: stream the items to register into numbered manifests."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from cloud_sync.encord_limits import ITEMS_AT_ONE_TIME
from cloud_sync.manifest.chunks import Chunk, chunks, count_items, open_rows
from cloud_sync.manifest.json_format import encode_manifest
from cloud_sync.manifest.model import ITEMS_NAME, ManifestEntry, ManifestIndex, read_rounds, write_index
from cloud_sync.planning.model import METADATA_NAME
from cloud_sync.run_folder import FileRef, RunFolder, sha256_of

# A run grows its manifests rather than send more of them than this.
MANIFESTS_IN_A_RUN = 200

# `register.parquet` of the plan stage, with three columns more.
ITEMS_SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("url", pa.string()),
        ("size_bytes", pa.int64()),
        ("last_modified", pa.timestamp("us", "UTC")),
        ("etag", pa.string()),
        ("item_type", pa.string()),
        ("item_key", pa.string()),
        ("position", pa.int32()),
        ("title", pa.string()),
        ("manifest", pa.int32()),
    ]
)
DICTIONARIES = ["item_type", "manifest"]

BuildUrls = Callable[[Sequence[str]], list[str]]


def build_manifests(
    folder: RunFolder,
    *,
    register_path: Path,
    build_urls: BuildUrls,
    items_per_manifest: int,
    jobs_in_flight: int,
    skip_duplicate_urls: bool,
    upsert_metadata: bool = False,
) -> tuple[FileRef, ManifestIndex]:
    """Write the manifests of a run, their index, and `items.parquet` (each file with its item and manifest).

    An item's files are never split. Titles and metadata are those of `metadata.parquet`, if there is one.

    Args:
        folder: The run folder.
        register_path: Parquet with the columns of `chunks.FILE_COLUMNS`, ordered by item_key and position.
        build_urls: Turns keys into object URLs, in order.
        items_per_manifest: Wanted items in a manifest; more go in when there would be too many manifests.
        jobs_in_flight: Into how many register tasks the manifests are dealt at most.
        skip_duplicate_urls: Stated in every manifest.
        upsert_metadata: Stated in every manifest, if true.

    Returns:
        A reference to the index, and the index.

    Raises:
        StorageError: What the plan stage wrote cannot be read, or the disk cannot be written.
    """
    entries: list[ManifestEntry] = []
    with (
        open_rows(register_path) as rows,
        folder.writing(ITEMS_NAME) as path,
        pq.ParquetWriter(path, ITEMS_SCHEMA, compression="snappy", use_dictionary=DICTIONARIES) as writer,
    ):
        size = manifest_size(count_items(rows), items_per_manifest)
        for number, chunk in enumerate(chunks(rows, _metadata_path(folder), size)):
            urls = build_urls(chunk.files["key"].to_pylist())
            titles = chunk.titles()
            data = encode_manifest(
                chunk.items(urls, titles),
                skip_duplicate_urls=skip_duplicate_urls,
                upsert_metadata=upsert_metadata,
            )
            files, items = chunk.files.num_rows, len(chunk.starts)
            entries.append(write_manifest(folder, number, data, items=items, files=files))
            writer.write_table(_items_table(chunk, urls, titles, number))
    index = ManifestIndex(
        manifests=tuple(entries),
        shards=min(len(entries), jobs_in_flight),
        plan_sha256=sha256_of(register_path),
        items_sha256=folder.digest(ITEMS_NAME),
    )
    ref = write_index(folder, index)
    remove_others(folder, [index, *read_rounds(folder)])
    return ref, index


def count_manifests(folder: RunFolder, *, register_path: Path, items_per_manifest: int) -> int:
    """Return how many manifests `build_manifests` would write."""
    with open_rows(register_path) as rows:
        size = manifest_size(count_items(rows), items_per_manifest)
        return sum(1 for _ in chunks(rows, _metadata_path(folder), size))


def _metadata_path(folder: RunFolder) -> Path | None:
    return folder.local(METADATA_NAME) if folder.exists(METADATA_NAME) else None


def manifest_size(items: int, wanted: int) -> int:
    """Return how many items go into one manifest: as wanted, or more when a run has very many items.

    Never over 10,000, Encord's limit of data units at one time; beyond 2,000,000 items the number of
    manifests grows instead.
    """
    return min(max(wanted, -(-items // MANIFESTS_IN_A_RUN)), ITEMS_AT_ONE_TIME)


def _items_table(chunk: Chunk, urls: list[str], titles: list[str | None] | None, number: int) -> pa.Table:
    columns = {
        "url": pa.array(urls, pa.string()),
        "title": chunk.per_file(titles) if titles else pa.nulls(len(urls), pa.string()),
        "manifest": pa.repeat(pa.scalar(number, pa.int32()), len(urls)),
    }
    return pa.table(
        [columns[name] if name in columns else chunk.files[name] for name in ITEMS_SCHEMA.names],
        ITEMS_SCHEMA.names,
    ).cast(ITEMS_SCHEMA)


def write_manifest(folder: RunFolder, number: int, data: bytes, *, items: int, files: int) -> ManifestEntry:
    """Write the bytes of a manifest under their name and return its entry in the index."""
    sha256 = hashlib.sha256(data).hexdigest()
    name = f"manifests/{number:04d}-{sha256[:12]}.json"
    folder.write(name, data)
    return ManifestEntry(number=number, name=name, items=items, files=files, sha256=sha256)


def remove_others(folder: RunFolder, indexes: Iterable[ManifestIndex]) -> None:
    """Remove the manifests of an earlier try that planned otherwise: one number is one manifest."""
    kept = {entry.name for index in indexes for entry in index.manifests}
    for name in folder.names("manifests/[0-9]*.json"):
        if name not in kept:
            folder.remove(name)
