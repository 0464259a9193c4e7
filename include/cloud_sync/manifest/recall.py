"""Recall: items that were sent once, with all their files, titles and metadata, to be sent once more."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.dataset as ds

from cloud_sync.errors import CloudSyncError
from cloud_sync.manifest.given import METADATA_SCHEMA, REGISTER_SCHEMA, as_json, plan_rows, writing_table
from cloud_sync.manifest.items import GROUPED_TYPES, Item
from cloud_sync.manifest.model import ITEMS_NAME, items_with_urls, read_index
from cloud_sync.manifest.rebuild import items_as_sent
from cloud_sync.planning.model import ASKED_FOR, METADATA_NAME, REGISTER_NAME, write_plan
from cloud_sync.run_folder import FileRef, RunFolder

# Each is a small request that waits for the network, not for this machine.
REQUESTS_IN_FLIGHT = 16


class Stored(Protocol):
    """What is known of an object (`cloud_sync.objects.model.StoredObject`)."""

    @property
    def size_bytes(self) -> int:
        """Its size."""

    @property
    def last_modified(self) -> datetime:
        """When it was written."""

    @property
    def etag(self) -> str:
        """Its etag."""


@dataclass(frozen=True, slots=True)
class RecalledFile:
    """A file of an item. What is not known of it is None."""

    key: str
    size_bytes: int | None = None
    last_modified: datetime | None = None
    etag: str | None = None


@dataclass(frozen=True, slots=True)
class RecalledItem:
    """An item that is sent once more.

    Attributes:
        item: As it is sent.
        item_key: What the plan knows it by.
        files: Its files, in order.
    """

    item: Item
    item_key: str
    files: tuple[RecalledFile, ...]

    @property
    def keys(self) -> list[str]:
        """The keys of its files."""
        return [file.key for file in self.files]


def recall(folder: RunFolder, urls: Collection[str], key_of: Callable[[str], str]) -> list[RecalledItem]:
    """Return the items of a run that have a file with one of these URLs, as they were sent.

    Args:
        folder: The run folder; nothing is recalled from one that is gone or was cleared.
        urls: Object URLs.
        key_of: Turns an object URL into its key.

    Raises:
        CloudSyncError: A manifest is missing, or is not the one that was sent.
    """
    if not folder.exists(ITEMS_NAME):
        return []
    path = folder.local(ITEMS_NAME)
    sent = list(items_with_urls(path, urls))
    index = read_index(folder)
    if not sent or not index.is_of(folder):
        return []
    wanted = [url for item in sent for url in item.object_urls]
    table = ds.dataset(path).to_table(filter=ds.field("url").isin(pa.array(wanted, pa.string())))
    rows = {row["url"]: row for row in table.to_pylist()}
    entries = {entry.number: entry for entry in index.manifests}
    return [_recalled(item, rows, key_of) for _, item in items_as_sent(folder, entries, sent)]


def with_present_state(
    items: Sequence[RecalledItem], head: Callable[[str], Stored]
) -> Iterator[tuple[RecalledItem, list[str]]]:
    """Yield the items with sizes and etags as the store has them now: the ledger will say that of them.

    Of an object that the store does not tell about, what was known before stays.

    Args:
        items: The items.
        head: Asks the store about a key. Its error has an attribute `reason`: `missing` if there is no such
            object.

    Yields:
        An item, and the keys of its files that do not exist.
    """

    def look(file: RecalledFile) -> tuple[RecalledFile, bool]:
        try:
            stored = head(file.key)
        except CloudSyncError as error:
            return file, getattr(error, "reason", None) == "missing"
        return RecalledFile(file.key, stored.size_bytes, stored.last_modified, stored.etag), False

    with ThreadPoolExecutor(REQUESTS_IN_FLIGHT, thread_name_prefix="recall") as pool:
        files = pool.map(look, (file for item in items for file in item.files))
        for item in items:
            looked_at = [next(files) for _ in item.files]
            missing = [file.key for file, is_missing in looked_at if is_missing]
            yield replace(item, files=tuple(file for file, _ in looked_at)), missing


def write_recalled(folder: RunFolder, items: Iterable[RecalledItem]) -> FileRef:
    """Write what the build stage reads, as the plan stage does.

    Returns:
        A reference to the summary.
    """
    items = sorted(items, key=lambda one: (one.item_key, one.item.item_type))
    files = [
        asdict(file) | {"item_type": one.item.item_type, "item_key": one.item_key, "position": position}
        for one in items
        for position, file in enumerate(one.files)
    ]
    described = [
        {
            "item_key": one.item_key,
            "title": one.item.title,
            "client_metadata": as_json(one.item.client_metadata),
            "video_metadata": as_json(one.item.video_metadata),
        }
        for one in items
    ]
    for name, rows, schema in (
        (REGISTER_NAME, files, REGISTER_SCHEMA),
        (METADATA_NAME, described, METADATA_SCHEMA),
    ):
        with writing_table(folder, name, schema) as writer:
            writer.write_table(pa.Table.from_pylist(rows, schema))
    summary = plan_rows([one.item for one in items], ASKED_FOR)
    return write_plan(folder, summary, objects=len(files), to_register=len(files), items=len(items))


def _recalled(
    item: Item, rows: Mapping[str, Mapping[str, Any]], key_of: Callable[[str], str]
) -> RecalledItem:
    of_item = [rows[url] for url in item.object_urls]
    files = tuple(
        RecalledFile(key_of(row["url"]), row["size_bytes"], row["last_modified"], row["etag"])
        for row in of_item
    )
    # Items of a manifest that a person gave have numbers for keys, which say nothing outside of their run.
    is_listed = files[0].key == of_item[0]["key"]
    grouped = item.item_type in GROUPED_TYPES
    item_key = of_item[0]["item_key"] if grouped and is_listed else files[0].key
    return RecalledItem(item, item_key, files)
