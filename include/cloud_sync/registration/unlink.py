"""Unlink: take items out of the dataset whose objects are gone, or are to be registered again.

All of them are kept. Encord tells duplicates by the URLs of a folder, so an item whose object is registered
again has to leave the folder as well as the dataset.

A plan may wait for a person for hours. So an item stays whose objects have come back meanwhile: its labels
would be lost.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass, field
from itertools import chain, groupby
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from cloud_sync.manifest.items import GROUPED_TYPES
from cloud_sync.manifest.model import reading_table
from cloud_sync.planning.model import CHANGED_REASON
from cloud_sync.registration import jobs
from cloud_sync.registration.folder import FRAME_TYPES
from cloud_sync.registration.model import (
    LEFT_NAME,
    UNLINKED_NAME,
    FolderItem,
    Target,
    Unlinked,
    read_unlinked,
)
from cloud_sync.run_folder import RunFolder

log = logging.getLogger(__name__)

# What an item is known by here: its URL, or of a group its type and the URLs of its files, in whatever order.
Identity = tuple[str, ...]

FindPresent = Callable[[Iterable[str]], AbstractSet[str]]
"""Tells which of some keys the store has now."""


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
    folder: RunFolder,
    list_name: str,
    client: UnlinkClient,
    target: Target,
    *,
    integration_name: str,
    find_present: FindPresent,
) -> Unlinked:
    """Take the items of a list out of the dataset, and write down that it was done.

    From a dataset with a backing folder, which mirrors that, the items go by moving to a folder of their own;
    from another one their data rows are deleted. Items whose objects are registered again move in both cases.
    What was unlinked before is not there any more, so running this again after a crash does the rest.

    Once it is written down, nothing is done a second time: by then the new items may be there, whose URLs are
    those of the old ones.

    Args:
        folder: The run folder.
        list_name: Parquet in it with item_type, item_key, position, key, url and reason, in the order of the
            first three.
        client: The connection to Encord.
        target: The dataset and its folder.
        integration_name: The integration's name.
        find_present: Asked right before anything is taken out, about those whose objects are gone by the
            list and that are still in the dataset. One of whose files any is there stays.
    """
    if done := read_unlinked(folder, list_name):
        return done
    ref = folder.ref(list_name)
    path = folder.verified(ref)
    wanted = _wanted(path)
    found = _find(client, target.folder_uuid, wanted) if target.folder_uuid is not None else _Found()
    back = _back(client, target, found, wanted, find_present)
    _write_left(folder, path, set(chain.from_iterable(wanted.gone[one] for one in back)))
    gone = [uuid for uuid, identity in found.gone if identity not in back]
    into = removed_folder_name(integration_name)
    left = _take_out(client, target, gone, into if target.is_backing_folder else "")
    replaced = _take_out(client, target, found.changed, into)
    items, changed = len(wanted.gone) - len(back), len(wanted.changed)
    done = Unlinked(
        items=items,
        absent=max(0, items - left),  # an object may have been registered twice
        folder=into if gone and target.is_backing_folder else "",
        list_sha256=ref.sha256,
        at=jobs.now(),
        changed=changed,
        changed_absent=max(0, changed - replaced),
        changed_folder=into if found.changed else "",
        came_back=len(back),
    )
    folder.write_json(UNLINKED_NAME, asdict(done))
    return done


def _back(
    client: UnlinkClient, target: Target, found: _Found, wanted: _Wanted, find_present: FindPresent
) -> set[Identity]:
    """Return the items whose objects are gone by the list, of which any is there, and that are not out yet.

    One that is out, and came back between two tries, has to be registered anew.
    """
    in_folder = {identity for _, identity in found.gone}
    if not in_folder or target.folder_uuid is None:
        return set()
    present = find_present(chain.from_iterable(wanted.gone[one] for one in in_folder))
    back = {one for one in in_folder if not present.isdisjoint(wanted.gone[one])}
    if back and wanted.changed:  # then what was looked for need not be in the dataset
        linked = {item.uuid for item in client.folder_items(target.folder_uuid, linked_only=True)}
        back &= {identity for uuid, identity in found.gone if uuid in linked}
    return back


def _write_left(folder: RunFolder, path: Path, staying: Collection[str]) -> None:
    """Write the list without the keys of what stays."""
    if not staying:
        return
    with reading_table(path):
        table = ds.dataset(path).to_table()
    stays = pc.is_in(table["key"], pa.array(sorted(staying), table["key"].type))
    with folder.writing(LEFT_NAME) as draft:
        pq.write_table(table.filter(pc.invert(stays)), draft)


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
    """The items to look for, with the keys of their files, by why they leave."""

    gone: dict[Identity, tuple[str, ...]] = field(default_factory=dict)
    changed: dict[Identity, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Found:
    """The uuids of what was found, by why it leaves; of what is gone with what it is known by."""

    gone: list[tuple[str, Identity]] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)


def _wanted(path: Path) -> _Wanted:
    with reading_table(path):
        table = ds.dataset(path).to_table(columns=["item_type", "item_key", "key", "url", "reason"])
    rows = zip(*(table[name].to_pylist() for name in table.column_names), strict=True)
    wanted = _Wanted()
    for (item_type, _), of_item in groupby(rows, key=lambda row: row[:2]):
        _, _, keys, urls, reasons = zip(*of_item, strict=True)
        of_reason = wanted.changed if CHANGED_REASON in reasons else wanted.gone
        of_reason[_identity(item_type, urls)] = keys
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
    for identity, keys in (wanted.gone | wanted.changed).items():
        if identity[0] in GROUPED_TYPES:
            counts[identity[0]].add(len(keys))
    found = _Found()

    def take(uuid: str, identity: Identity) -> None:
        if identity in wanted.changed:
            found.changed.append(uuid)
        elif identity in wanted.gone:
            found.gone.append((uuid, identity))

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
