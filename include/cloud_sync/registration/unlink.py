"""Unlink: take items out of the dataset whose objects are gone, or are to be registered again.

All of them are kept. Encord tells duplicates by the URLs of a folder, so an item whose object is registered
again has to leave the folder as well as the dataset.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Protocol

import pyarrow.dataset as ds

from cloud_sync.manifest.items import GROUPED_TYPES
from cloud_sync.manifest.model import reading_table
from cloud_sync.planning.model import CHANGED_REASON
from cloud_sync.registration import jobs
from cloud_sync.registration.folder import FRAME_TYPES
from cloud_sync.registration.model import UNLINKED_NAME, FolderItem, Target, Unlinked, read_unlinked
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
    """Return the name of the folder for what leaves a dataset and the folder that it was in."""
    return f"cloud-sync {integration_name} removed"


def unlink(
    folder: RunFolder, list_name: str, client: UnlinkClient, target: Target, *, integration_name: str
) -> Unlinked:
    """Take the items of a list out of the dataset, and write down that it was done.

    From a dataset with a backing folder, which mirrors that, the items go by moving to a folder of their own;
    from another one their data rows are deleted. Items whose objects are registered again move in both cases.
    What was unlinked before is not there any more, so running this again after a crash does the rest.

    Once it is written down, nothing is done a second time: by then the new items may be there, whose URLs are
    those of the old ones.

    Args:
        folder: The run folder.
        list_name: Parquet in it with item_type, item_key, position, url and reason, in the order of the
            first three.
        client: The connection to Encord.
        target: The dataset and its folder.
        integration_name: The integration's name.
    """
    if done := read_unlinked(folder, list_name):
        return done
    ref = folder.ref(list_name)
    wanted = _wanted(folder.verified(ref))
    found = _find(client, target.folder_uuid, wanted) if target.folder_uuid is not None else _Found()
    into = removed_folder_name(integration_name)
    left = _take_out(client, target, found.gone, into if target.is_backing_folder else "")
    replaced = _take_out(client, target, found.changed, into)
    changed = len(wanted.changed)
    done = Unlinked(
        items=len(wanted.gone),
        absent=max(0, len(wanted.gone) - left),  # an object may have been registered twice
        folder=into if found.gone and target.is_backing_folder else "",
        list_sha256=ref.sha256,
        at=jobs.now(),
        changed=changed,
        changed_absent=max(0, changed - replaced),
        changed_folder=into if found.changed else "",
    )
    folder.write_json(UNLINKED_NAME, asdict(done))
    return done


def _take_out(client: UnlinkClient, target: Target, uuids: Sequence[str], into: str) -> int:
    """Take items out of the dataset, and into another folder if it has a name; return how many there were."""
    if not uuids or target.folder_uuid is None:
        return 0
    count = 0
    if not target.is_backing_folder:
        count = client.unlink_items(target.dataset_uuid, uuids)
    if into:
        # Those without a data row too: one may have been deleted before a crash, or by a person.
        count = client.move_items(target.folder_uuid, client.ensure_folder(into), uuids)
    return count


@dataclass(frozen=True, slots=True)
class _Wanted:
    """The items to look for, with the number of their files, by why they leave."""

    gone: dict[Identity, int] = field(default_factory=dict)
    changed: dict[Identity, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Found:
    """The uuids of what was found, by why it leaves."""

    gone: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)


def _wanted(path: Path) -> _Wanted:
    with reading_table(path):
        table = ds.dataset(path).to_table(columns=["item_type", "item_key", "url", "reason"])
    rows = zip(*(table[name].to_pylist() for name in table.column_names), strict=True)
    wanted = _Wanted()
    for (item_type, _), of_item in groupby(rows, key=lambda row: row[:2]):
        urls, reasons = zip(*((url, reason) for *_, url, reason in of_item), strict=True)
        of_reason = wanted.changed if CHANGED_REASON in reasons else wanted.gone
        of_reason[_identity(item_type, urls)] = len(urls)
    return wanted


def _identity(item_type: str, urls: tuple[str | None, ...]) -> Identity:
    files = sorted(map(str, urls))
    return (item_type, *files) if item_type in GROUPED_TYPES else tuple(files)


def _find(client: UnlinkClient, folder_uuid: str, wanted: _Wanted) -> _Found:
    """Return the uuids of the wanted items: of those that are gone, if they are in a dataset.

    Groups are known by the URLs of their files, for each of which Encord is asked: of those with frames only
    the ones with so many as a wanted one.
    """
    counts: defaultdict[str, set[int]] = defaultdict(set)
    for identity, files in (wanted.gone | wanted.changed).items():
        if identity[0] in GROUPED_TYPES:
            counts[identity[0]].add(files)
    found = _Found()

    def take(uuid: str, identity: Identity) -> None:
        if identity in wanted.changed:
            found.changed.append(uuid)
        elif identity in wanted.gone:
            found.gone.append(uuid)

    asked: dict[str, str] = {}
    for item in client.folder_items(folder_uuid, linked_only=not wanted.changed):
        if item.item_type not in GROUPED_TYPES:
            take(item.uuid, (str(item.url),))
        elif _may_be_wanted(item, counts):
            asked[item.uuid] = item.item_type
    if asked:
        log.info("Asking %s groups for their files", f"{len(asked):,}")
    for uuid, urls in client.child_urls(asked):
        take(uuid, _identity(asked[uuid], urls))
    return found


def _may_be_wanted(found: FolderItem, counts: Mapping[str, set[int]]) -> bool:
    of_type = counts.get(found.item_type, set())
    if found.item_type in FRAME_TYPES and found.frame_count is not None:
        return found.frame_count in of_type
    return bool(of_type)
