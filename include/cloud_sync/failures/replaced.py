"""What has left the dataset to be registered again: if the new item fails, nothing stands in its place."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from cloud_sync.manifest.model import reading_table
from cloud_sync.planning.model import CHANGED_REASON, UNLINK_NAME
from cloud_sync.registration.model import read_unlinked
from cloud_sync.run_folder import RunFolder


@dataclass(frozen=True, slots=True)
class Replaced:
    """The files of the items that this run took out of the dataset because their objects have changed.

    Attributes:
        urls: Their object URLs.
        folder: The storage folder that holds the items now; empty if they were not there any more.
    """

    urls: frozenset[str] = frozenset()
    folder: str = ""

    def has(self, urls: Iterable[str]) -> bool:
        """Tell whether an item of these files is one of them."""
        return not self.urls.isdisjoint(urls)

    @property
    def told(self) -> str:
        """What people are told of one whose new content could not be registered."""
        kept = f"; it is kept in the folder {self.folder}" if self.folder else ""
        return f"The item that it was before the object changed has left the dataset{kept}."


def read_replaced(folder: RunFolder) -> Replaced:
    """Read what this run has taken out of the dataset to register it again."""
    done = read_unlinked(folder, UNLINK_NAME)
    if done is None or not done.changed:
        return Replaced()
    import pyarrow.dataset as ds

    path = folder.local(UNLINK_NAME)
    with reading_table(path):
        table = ds.dataset(path).to_table(columns=["url"], filter=ds.field("reason") == CHANGED_REASON)
    return Replaced(frozenset(table["url"].to_pylist()), done.changed_folder)
