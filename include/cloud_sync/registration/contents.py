"""What a dataset holds, read from its folder into a table: the proof of what is registered."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from cloud_sync.errors import CloudSyncError
from cloud_sync.manifest.items import GROUPED_TYPES
from cloud_sync.registration.model import FolderItem
from cloud_sync.safe_url import without_secrets

# `key` is missing where `problem` says that the URL is none of the integration's bucket.
SCHEMA: Final = pa.schema(
    [(name, pa.string()) for name in ("key", "url", "item_type", "item_key", "title", "problem")]
)
ROWS_AT_ONCE: Final = 10_000
GROUPS_AT_ONCE: Final = 1000
# Encord's words for types that this project calls otherwise.
OWN_WORDS: Final = {"plain_text": "text"}

Row = tuple[str | None, ...]


class ContentsClient(Protocol):
    """The calls of `EncordClient` that reading a dataset's folder needs."""

    def folder_items(self, folder_uuid: str, *, linked_only: bool = False) -> Iterator[FolderItem]:
        """Stream the items of a folder."""

    def child_urls(self, item_uuids: Iterable[str]) -> Iterator[tuple[str, tuple[str | None, ...]]]:
        """Stream groups and series with the object URLs of their files."""

    def dataset_items(self, dataset_uuid: str) -> set[str]:
        """Return the uuids of a dataset's items."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What was read.

    Attributes:
        items: Items of the folder that are in the dataset.
        files: Their files.
        foreign: Files whose URL is none of the integration's bucket.
    """

    items: int
    files: int
    foreign: int


def write_contents(
    client: ContentsClient,
    folder_uuid: str,
    key_of: Callable[[str], str],
    path: Path,
    *,
    dataset_uuid: str | None,
    on_items: Callable[[int], None] = lambda items: None,
) -> Contents:
    """Write a row for each file of each item of a folder that is in the dataset; groups cost a request each.

    Args:
        client: The connection to Encord.
        folder_uuid: The folder.
        key_of: Turns an object URL into its key; a CloudSyncError if it is not of the bucket.
        path: The Parquet file to write: key, url, item_type, item_key (of a group Encord's id of it), title
            and problem.
        dataset_uuid: The dataset, for a folder whose items may be in others too; None for its own folder.
        on_items: Called now and then with how many items more were read.
    """
    items = told = files = foreign = 0
    batch: list[Row] = []
    with pq.ParquetWriter(path, SCHEMA, compression="zstd") as writer:
        for found, urls in _items(client, folder_uuid, dataset_uuid):
            items += 1
            for url in urls:
                row = _row(found, url, key_of)
                foreign += row[0] is None
                batch.append(row)
            if len(batch) >= ROWS_AT_ONCE:
                files += _write(writer, batch)
                on_items(items - told)
                told = items
        files += _write(writer, batch)
    on_items(items - told)
    return Contents(items, files, foreign)


def _items(
    client: ContentsClient, folder_uuid: str, dataset_uuid: str | None
) -> Iterator[tuple[FolderItem, tuple[str | None, ...]]]:
    """Yield items with their URLs; groups are asked for theirs a thousand at a time."""
    groups: dict[str, FolderItem] = {}
    members = client.dataset_items(dataset_uuid) if dataset_uuid is not None else None
    for found in client.folder_items(folder_uuid, linked_only=True):
        if members is not None and found.uuid not in members:
            continue
        if found.item_type not in GROUPED_TYPES:
            yield found, (found.url,)
            continue
        groups[found.uuid] = found
        if len(groups) >= GROUPS_AT_ONCE:
            yield from ((groups[uuid], urls) for uuid, urls in client.child_urls(groups))
            groups = {}
    yield from ((groups[uuid], urls) for uuid, urls in client.child_urls(groups))


def _row(found: FolderItem, url: str | None, key_of: Callable[[str], str]) -> Row:
    item_type = OWN_WORDS.get(found.item_type, found.item_type)
    if url is None:
        return None, None, item_type, found.uuid, found.name, "has no object URL"
    try:
        key = key_of(url)
    except CloudSyncError as error:
        shown = without_secrets(url)
        return None, shown, item_type, found.uuid, found.name, error.message.rstrip(".")
    item_key = found.uuid if found.item_type in GROUPED_TYPES else key
    return key, url, item_type, item_key, found.name, None


def _write(writer: pq.ParquetWriter, batch: list[Row]) -> int:
    if not batch:
        return 0
    columns = [pa.array(column, pa.string()) for column in zip(*batch, strict=True)]
    writer.write_table(pa.Table.from_arrays(columns, schema=SCHEMA))
    count = len(batch)
    batch.clear()
    return count
