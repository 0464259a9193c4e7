"""Unlink: take items whose objects are gone out of the dataset, and keep them in a storage folder."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Protocol

import pyarrow.dataset as ds

from cloud_sync.manifest.items import GROUPED_TYPES
from cloud_sync.manifest.model import reading_table
from cloud_sync.registration.folder import FRAME_TYPES
from cloud_sync.registration.model import UNLINKED_NAME, FolderItem, Target, Unlinked
from cloud_sync.run_folder import RunFolder

log = logging.getLogger(__name__)

# What an item is known by here: its URL, or of a group its type and the URLs of its files, in whatever order.
Identity = tuple[str, ...]


class UnlinkClient(Protocol):
    """The calls of `EncordClient` that unlinking needs."""

    def folder_items(self, folder_uuid: str, *, linked_only: bool = False) -> Iterator[FolderItem]:
        """Stream the items of a folder."""

    def child_urls(self, item_uuids: Iterable[str]) -> Iterator[tuple[str, tuple[str | None, ...]]]:
        """Stream groups and series with the object URLs of their files."""

    def ensure_folder(self, name_or_uuid: str) -> str:
        """Return the uuid of a storage folder, made if need be."""

    def unlink_items(self, dataset_uuid: str, uuids: Iterable[str]) -> int:
        """Take items out of a dataset."""

    def move_items(self, folder_uuid: str, new_folder_uuid: str, uuids: Iterable[str]) -> int:
        """Move items from one folder to another."""


def removed_folder_name(integration_name: str) -> str:
    """Return the name of the folder for what leaves a dataset that mirrors its own folder."""
    return f"cloud-sync {integration_name} removed"


def unlink(
    folder: RunFolder, list_name: str, client: UnlinkClient, target: Target, *, integration_name: str
) -> Unlinked:
    """Take the items of a list out of the dataset, and write down that it was done.

    From a dataset with a backing folder, which mirrors that, the items go by moving to a folder of their own;
    from another one their data rows are deleted. In both cases the items are kept. What was unlinked before
    is not there any more, so running this again after a crash does the rest.

    Args:
        folder: The run folder.
        list_name: Parquet in it with item_type, item_key, position and url, in this order.
        client: The connection to Encord.
        target: The dataset and its folder.
        integration_name: The integration's name.
    """
    ref = folder.ref(list_name)
    wanted = _wanted(folder.verified(ref))
    unlinked, into = 0, ""
    uuids = _find(client, target.folder_uuid, wanted) if target.folder_uuid is not None else []
    if uuids and target.folder_uuid is not None and target.is_backing_folder:
        into = removed_folder_name(integration_name)
        unlinked = client.move_items(target.folder_uuid, client.ensure_folder(into), uuids)
    elif uuids:
        unlinked = client.unlink_items(target.dataset_uuid, uuids)
    done = Unlinked(
        items=len(wanted),
        absent=max(0, len(wanted) - unlinked),  # an object may have been registered twice
        folder=into,
        list_sha256=ref.sha256,
        at=datetime.now(UTC).isoformat(),
    )
    folder.write_json(UNLINKED_NAME, asdict(done))
    return done


def _wanted(path: Path) -> dict[Identity, int]:
    """Return the items to look for, with the number of their files."""
    with reading_table(path):
        table = ds.dataset(path).to_table(columns=["item_type", "item_key", "url"])
    rows = zip(*(table[name].to_pylist() for name in table.column_names), strict=True)
    found: dict[Identity, int] = {}
    for (item_type, _), of_item in groupby(rows, key=lambda row: row[:2]):
        urls = tuple(url for *_, url in of_item)
        found[_identity(item_type, urls)] = len(urls)
    return found


def _identity(item_type: str, urls: tuple[str | None, ...]) -> Identity:
    files = sorted(map(str, urls))
    return (item_type, *files) if item_type in GROUPED_TYPES else tuple(files)


def _find(client: UnlinkClient, folder_uuid: str, wanted: Mapping[Identity, int]) -> list[str]:
    """Return the uuids of the wanted items that are in a dataset.

    Groups are known by the URLs of their files, for each of which Encord is asked: of those with frames only
    the ones with so many as a wanted one.
    """
    counts: defaultdict[str, set[int]] = defaultdict(set)
    for identity, files in wanted.items():
        if identity[0] in GROUPED_TYPES:
            counts[identity[0]].add(files)
    uuids: list[str] = []
    asked: dict[str, str] = {}
    for found in client.folder_items(folder_uuid, linked_only=True):
        if found.item_type not in GROUPED_TYPES:
            if found.url is not None and (found.url,) in wanted:
                uuids.append(found.uuid)
        elif _may_be_wanted(found, counts):
            asked[found.uuid] = found.item_type
    if asked:
        log.info("Asking %s groups for their files", f"{len(asked):,}")
    for uuid, urls in client.child_urls(asked):
        if _identity(asked[uuid], urls) in wanted:
            uuids.append(uuid)
    return uuids


def _may_be_wanted(found: FolderItem, counts: Mapping[str, set[int]]) -> bool:
    of_type = counts.get(found.item_type, set())
    if found.item_type in FRAME_TYPES and found.frame_count is not None:
        return found.frame_count in of_type
    return bool(of_type)
