"""Rebuild: put items of a run's manifests into smaller manifests, exactly as they stand there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from cloud_sync.errors import ManifestError
from cloud_sync.manifest.build import (
    DICTIONARIES,
    ITEMS_SCHEMA,
    manifest_size,
    remove_others,
    write_manifest,
)
from cloud_sync.manifest.chunks import MAX_FILES, MAX_METADATA_BYTES
from cloud_sync.manifest.content import ReadManifest
from cloud_sync.manifest.items import Item
from cloud_sync.manifest.json_format import encode_manifest
from cloud_sync.manifest.model import (
    ManifestEntry,
    ManifestIndex,
    SentItem,
    index_name,
    items_name,
    read_index,
    read_rounds,
    write_index,
)
from cloud_sync.manifest.reader import read_manifest
from cloud_sync.run_folder import FileRef, RunFolder


@dataclass(frozen=True, slots=True)
class _Source:
    """What was sent before, by the build's manifests or in a round: a manifest's entry, its items table."""

    entry: ManifestEntry
    items_path: Path


def rebuild_manifests(
    folder: RunFolder,
    items: Collection[SentItem],
    *,
    of_round: int,
    items_per_manifest: int,
    jobs_in_flight: int,
) -> ManifestIndex:
    """Write the manifests of a retry round, their index, and its `items.parquet`.

    Titles, metadata and flags are those of the manifests in which the items stand; the numbers go on from
    there. Later rounds, which an earlier try of the run may have left, are removed.

    Args:
        folder: The run folder.
        items: The items to send again; the same items give the same bytes, in whatever order.
        of_round: Which round, from 1; the ones before it are there.
        items_per_manifest: Wanted items in a manifest; more go in when there would be too many manifests.
        jobs_in_flight: Into how many register tasks the manifests are dealt at most.

    Returns:
        The index.

    Raises:
        StorageError: A manifest is missing, or is not the one that was sent.
        ManifestError: It does not hold an item.
    """
    sources = _sources(folder, of_round)
    number = max(sources) + 1
    rows = _rows(sources, items)
    entries_by_number = {one: source.entry for one, source in sources.items()}
    size = manifest_size(len(items), items_per_manifest)
    entries: list[ManifestEntry] = []
    with (
        folder.writing(items_name(of_round)) as path,
        pq.ParquetWriter(path, ITEMS_SCHEMA, compression="snappy", use_dictionary=DICTIONARIES) as writer,
    ):
        for manifest, chunk in _chunks(items_as_sent(folder, entries_by_number, items), size):
            data = encode_manifest(
                chunk,
                skip_duplicate_urls=bool(manifest.skip_duplicate_urls),
                upsert_metadata=bool(manifest.upsert_metadata),
            )
            urls = [url for item in chunk for url in item.object_urls]
            entries.append(write_manifest(folder, number, data, items=len(chunk), files=len(urls)))
            writer.write_table(_rows_of(rows, urls, number))
            number += 1
    drop_rounds(folder, after=of_round)
    index = ManifestIndex(
        manifests=tuple(entries),
        shards=min(len(entries), jobs_in_flight),
        plan_sha256=folder.digest(index_name(of_round - 1)),
        items_sha256=folder.digest(items_name(of_round)),
    )
    write_index(folder, index, of_round)
    remove_others(folder, [read_index(folder), *read_rounds(folder)])
    return index


def drop_rounds(folder: RunFolder, *, after: int) -> None:
    """Forget the retry rounds after this one, which an earlier try of the run may have left."""
    for name in folder.names("retries/*/*"):
        number = name.split("/")[1]
        if number.isdecimal() and int(number) > after:
            folder.remove(name)


def _sources(folder: RunFolder, of_round: int) -> dict[int, _Source]:
    indexes = [read_index(folder), *read_rounds(folder)[: of_round - 1]]
    return {
        entry.number: _Source(entry, items_path)
        for number, index in enumerate(indexes)
        if index.manifests and (items_path := folder.local(items_name(number)))
        for entry in index.manifests
    }


def items_as_sent(
    folder: RunFolder, entries: Mapping[int, ManifestEntry], items: Iterable[SentItem]
) -> Iterator[tuple[ReadManifest, Item]]:
    """Yield items as their manifests have them, with the manifest.

    Args:
        folder: The run folder.
        entries: The manifests, by number.
        items: Items in them.

    Raises:
        StorageError: A manifest is missing, or is not the one that was sent.
        ManifestError: It does not hold an item.
    """
    wanted: defaultdict[int, set[tuple[str, tuple[str, ...]]]] = defaultdict(set)
    for sent in items:
        wanted[sent.manifest].add((sent.item_type, sent.object_urls))
    for number in sorted(wanted):
        manifest = _read(folder, entries[number])
        missing = wanted[number]
        for item in manifest.items:
            if (one := (item.item_type, item.object_urls)) in missing:
                missing.remove(one)
                yield manifest, item
        if missing:
            raise ManifestError(
                f"does not hold {len(missing):,} of the items that failed in it.",
                where=folder.address(manifest.file),
                remedy="Clear the run from its first task.",
            )


def _read(folder: RunFolder, entry: ManifestEntry) -> ReadManifest:
    path = folder.verified(FileRef(entry.name, entry.sha256, {}))
    return read_manifest(path, file=entry.name, format="json")


def _chunks(
    found: Iterable[tuple[ReadManifest, Item]], size: int
) -> Iterator[tuple[ReadManifest, list[Item]]]:
    """Cut the items as the build stage does: by number, and earlier by files or client metadata."""
    chunk: list[Item] = []
    files = metadata_bytes = 0
    of_chunk = None
    for manifest, item in found:
        more_files, more_bytes = len(item.object_urls), _metadata_bytes(item)
        full = len(chunk) == size or files + more_files > MAX_FILES
        if of_chunk and chunk and (full or metadata_bytes + more_bytes > MAX_METADATA_BYTES):
            yield of_chunk, chunk
            chunk, files, metadata_bytes = [], 0, 0
        of_chunk = manifest
        chunk.append(item)
        files, metadata_bytes = files + more_files, metadata_bytes + more_bytes
    if of_chunk and chunk:
        yield of_chunk, chunk


def _metadata_bytes(item: Item) -> int:
    return len(msgspec.json.encode(item.client_metadata)) if item.client_metadata else 0


def _rows(sources: dict[int, _Source], items: Iterable[SentItem]) -> pa.Table:
    """Return the rows of the items' files, from the tables in which they stand."""
    urls: defaultdict[Path, list[str]] = defaultdict(list)
    numbers: defaultdict[Path, set[int]] = defaultdict(set)
    for item in items:
        path = sources[item.manifest].items_path
        urls[path] += item.object_urls
        numbers[path].add(item.manifest)
    tables = [
        ds.dataset(path).to_table(
            filter=ds.field("manifest").isin(pa.array(numbers[path], pa.int32()))
            & ds.field("url").isin(pa.array(of_table, pa.string()))
        )
        for path, of_table in urls.items()
    ]
    return pa.concat_tables(tables).cast(ITEMS_SCHEMA)


def _rows_of(rows: pa.Table, urls: Sequence[str], number: int) -> pa.Table:
    """Return the rows of these files, in order, as those of a manifest."""
    taken = rows.take(pc.index_in(pa.array(urls, pa.string()), rows["url"].combine_chunks()))
    place = ITEMS_SCHEMA.get_field_index("manifest")
    manifest = pa.repeat(pa.scalar(number, pa.int32()), len(urls))
    return taken.set_column(place, ITEMS_SCHEMA.field(place), manifest)
