"""Find sent items again in a storage folder: the proof of what is registered."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Protocol

from cloud_sync.manifest.items import GROUPED_TYPES
from cloud_sync.manifest.model import SentItem
from cloud_sync.numbers import counted
from cloud_sync.registration.model import FolderItem

log = logging.getLogger(__name__)

# What an item is known by.
Identity = tuple[str | None, ...]

# By type and title of groups: how many files those of that title have.
Names = dict[tuple[str, str | None], set[int]]

# Of these each file is one frame; a file of a DICOM series may hold many.
FRAME_TYPES = frozenset({"image_group", "image_sequence"})

RENAMED_AT_MOST = 2000
"""How many groups of other names are asked for their files; at 8 requests at a time about half a minute."""


class FolderClient(Protocol):
    """The calls of `EncordClient` that looking into a folder needs."""

    def folder_items(self, folder_uuid: str, *, unlinked_only: bool = False) -> Iterator[FolderItem]:
        """Stream the items of a folder."""

    def child_urls(self, item_uuids: Iterable[str]) -> Iterator[tuple[str, tuple[str | None, ...]]]:
        """Stream groups and series with the object URLs of their files."""


def find_items(
    client: FolderClient,
    folder_uuid: str,
    items: Iterable[SentItem],
    *,
    unlinked_only: bool = False,
    renamed_at_most: int = 0,
) -> tuple[list[str], list[SentItem]]:
    """Look for items in a storage folder.

    The list of a folder tells the URL of an item of one file, but not those of a group: each group costs
    a request. So only groups are asked for their files whose name and number of frames are those of a
    wanted one, and after that, if some are still missing, others that could be one of these under another
    name.

    Args:
        client: The connection to Encord.
        folder_uuid: The folder.
        items: The items to look for.
        unlinked_only: Look only among items that belong to no dataset.
        renamed_at_most: How many groups of other names to ask; the folder is listed once more for them.

    Returns:
        The uuids of the items that the folder holds, and the items that it does not hold.
    """
    search = _Search(items)
    names = search.names_of_groups()
    asked: dict[str, str] = {}
    for found in client.folder_items(folder_uuid, unlinked_only=unlinked_only):
        if found.item_type not in GROUPED_TYPES:
            search.take(found.uuid, (found.url,))
        elif _may_be_wanted(found, names):
            asked[found.uuid] = found.item_type
    search.ask(client, asked)
    if renamed_at_most and (counts := search.files_of_missing_groups()):
        others = (
            one
            for one in client.folder_items(folder_uuid, unlinked_only=unlinked_only)
            if one.uuid not in asked and _may_be_renamed(one, counts)
        )
        search.ask(client, _likeliest(others, counts, renamed_at_most))
    return search.uuids, search.missing()


class _Search:
    """Which of the wanted items have been found."""

    def __init__(self, items: Iterable[SentItem]) -> None:
        self.uuids: list[str] = []
        self._wanted: dict[Identity, list[SentItem]] = {}
        for item in items:
            self._wanted.setdefault(_identity(item.item_type, item.object_urls), []).append(item)

    def missing(self) -> list[SentItem]:
        """Return the items that have not been found."""
        return list(chain.from_iterable(self._wanted.values()))

    def take(self, uuid: str, identity: Identity) -> None:
        """Note that the folder holds an item, if it is wanted."""
        if self._wanted.pop(identity, None) is not None:
            self.uuids.append(uuid)

    def ask(self, client: FolderClient, types: Mapping[str, str]) -> None:
        """Ask groups for their files, and take those that are wanted.

        Args:
            client: The connection to Encord.
            types: The type of each group, by its uuid.
        """
        for uuid, urls in client.child_urls(types):
            self.take(uuid, _identity(types[uuid], urls))

    def names_of_groups(self) -> Names:
        """Return how many files the missing groups have, by type and title."""
        names: Names = defaultdict(set)
        for item in chain.from_iterable(self._wanted.values()):
            if item.item_type in GROUPED_TYPES:
                names[item.item_type, item.title].add(len(item.object_urls))
        return dict(names)

    def files_of_missing_groups(self) -> dict[str, set[int]]:
        """Return how many files the missing groups have, by type."""
        counts: dict[str, set[int]] = defaultdict(set)
        for (item_type, _), files in self.names_of_groups().items():
            counts[item_type] |= files
        return dict(counts)


def _identity(item_type: str, urls: tuple[str | None, ...]) -> Identity:
    """Return what an item is known by: the URL of its file; of a group its type and the URLs in order.

    The order of a series is in its files, and Encord may put them into it: so it says nothing here.
    """
    if item_type == "dicom_series":
        return (item_type, *sorted(urls, key=str))
    return (item_type, *urls) if item_type in GROUPED_TYPES else urls


def _may_be_wanted(found: FolderItem, names: Names) -> bool:
    none: set[int] = set()
    # Encord names a group itself that was sent without a title.
    return _has_files(found, names.get((found.item_type, found.name), none)) or _has_files(
        found, names.get((found.item_type, None), none)
    )


def _may_be_renamed(found: FolderItem, counts: Mapping[str, set[int]]) -> bool:
    return found.item_type in counts and _has_files(found, counts[found.item_type])


def _has_files(found: FolderItem, counts: set[int]) -> bool:
    """Tell whether a group may have one of these numbers of files; its frames do not always tell."""
    if found.item_type not in FRAME_TYPES or found.frame_count is None:
        return bool(counts)
    return found.frame_count in counts


def _likeliest(others: Iterable[FolderItem], counts: Mapping[str, set[int]], at_most: int) -> dict[str, str]:
    """Return so many of these groups with their types, first those whose frames are as many as files."""
    likely: dict[str, str] = {}
    unlikely: dict[str, str] = {}
    total = 0
    for one in others:
        total += 1
        rank = likely if one.frame_count in counts[one.item_type] else unlikely
        if len(rank) < at_most:
            rank[one.uuid] = one.item_type
    chosen = dict([*likely.items(), *unlikely.items()][:at_most])
    log.info(
        "Not every group is in the folder under its title; looking for renamed ones in %s of %s",
        f"{len(chosen):,}",
        counted(total, "other"),
    )
    return chosen
