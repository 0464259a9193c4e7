"""Find sent items again in a storage folder: the proof of what is registered."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Protocol

from cloud_sync.manifest.items import GROUPED_TYPES
from cloud_sync.manifest.model import SentItem
from cloud_sync.registration.model import FolderItem

# By type and title of groups: how many files those of that title have.
Names = dict[tuple[str, str | None], set[int]]

# Of these each file is one frame; a file of a DICOM series may hold many.
FRAME_TYPES = frozenset({"image_group", "image_sequence"})


class FolderClient(Protocol):
    """The calls of `EncordClient` that looking into a folder needs."""

    def folder_items(self, folder_uuid: str, *, unlinked_only: bool = False) -> Iterator[FolderItem]:
        """Stream the items of a folder."""

    def child_urls(self, item_uuids: Iterable[str]) -> Iterator[tuple[str, tuple[str | None, ...]]]:
        """Stream groups and series with the object URLs of their files."""


def find_items(
    client: FolderClient, folder_uuid: str, items: Iterable[SentItem], *, unlinked_only: bool = False
) -> tuple[list[str], list[SentItem]]:
    """Look for items in a storage folder.

    The list of a folder tells the URL of an item of one file, but not those of a group: each group costs
    a request. So only groups are asked for their files whose name and number of frames are those of a
    wanted one.

    Args:
        client: The connection to Encord.
        folder_uuid: The folder.
        items: The items to look for.
        unlinked_only: Look only among items that belong to no dataset.

    Returns:
        The uuids of the items that the folder holds, and the items that it does not hold.
    """
    wanted = {_identity(item): item for item in items}
    names = _names_of_groups(wanted.values())
    uuids: list[str] = []
    asked: dict[str, str] = {}
    for found in client.folder_items(folder_uuid, unlinked_only=unlinked_only):
        if found.item_type in GROUPED_TYPES:
            if _may_be_wanted(found, names):
                asked[found.uuid] = found.item_type
        elif found.url is not None and wanted.pop((found.url,), None) is not None:
            uuids.append(found.uuid)
    for uuid, urls in client.child_urls(asked):
        if wanted.pop((asked[uuid], *urls), None) is not None:
            uuids.append(uuid)
    return uuids, list(wanted.values())


def _identity(item: SentItem) -> tuple[str | None, ...]:
    """Return what an item is known by: the URL of its file; of a group its type and the URLs in order."""
    return (item.item_type, *item.object_urls) if item.item_type in GROUPED_TYPES else item.object_urls


def _names_of_groups(items: Iterable[SentItem]) -> Names:
    names: Names = defaultdict(set)
    for item in items:
        if item.item_type in GROUPED_TYPES:
            names[item.item_type, item.title].add(len(item.object_urls))
    return dict(names)


def _may_be_wanted(found: FolderItem, names: Names) -> bool:
    none: set[int] = set()
    # Encord names a group itself that was sent without a title.
    counts = names.get((found.item_type, found.name), none) | names.get((found.item_type, None), none)
    if found.item_type not in FRAME_TYPES or found.frame_count is None:
        return bool(counts)
    return found.frame_count in counts
