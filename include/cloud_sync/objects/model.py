"""The nouns of this package: a store, one object and one page as it lists them, a listing in a run folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from cloud_sync.errors import StorageError
from cloud_sync.run_folder import FileRef, RunFolder

if TYPE_CHECKING:
    import pyarrow as pa

LISTING_COLUMNS = ("key", "size_bytes", "last_modified", "etag")
"""The columns of a listing, in order: string, int64, timestamp[us, UTC], string."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One stored object.

    Attributes:
        key: The key exactly as the store has it: never normalised, never percent-encoded.
        size_bytes: Size of the object's content.
        last_modified: When the content was last written, in UTC.
        etag: The store's tag of this content, without the quotes of the HTTP header; empty if the
            store gives none. It changes with the content; it is not always a hash of it.
    """

    key: str
    size_bytes: int
    last_modified: datetime
    etag: str


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a listing.

    Attributes:
        rows: The objects in the store's order, with the columns of a listing.
        prefixes: Common prefixes, each with its final `/`, when the page was asked for with a delimiter.
        next_token: What continues the listing; None on the last page. A page may be empty and not the last.
    """

    rows: pa.RecordBatch
    prefixes: tuple[str, ...]
    next_token: str | None


class ObjectStore(Protocol):
    """One bucket of any object store. All methods are safe to call from many threads.

    Keys are exact, whatever characters they hold: a store never normalises or renames one. Every method
    raises ObjectStoreError and nothing else.

    Attributes:
        bucket: The bucket's name; on Azure the container's.
        where: The place named in errors, `bucket <name>`.
        has_start_after: The store can begin a listing behind a key. Without it `after` costs all pages before
            that, and tokens never expire.
        keys_per_shared_page: How many keys to ask for in a page while others are in flight; None for as many
            as the store gives.
    """

    @property
    def has_start_after(self) -> bool:
        """Whether the store can begin a listing behind a key."""

    @property
    def keys_per_shared_page(self) -> int | None:
        """How many keys to ask for in a page while others are in flight."""

    @property
    def bucket(self) -> str:
        """The bucket's name."""

    @property
    def where(self) -> str:
        """The place named in errors."""

    def page(
        self,
        prefix: str,
        *,
        after: str | None = None,
        token: str | None = None,
        delimiter: str = "",
        limit: int | None = None,
    ) -> Page:
        """List one page.

        Args:
            prefix: A string prefix, of any form.
            after: List what stands behind this key.
            token: `next_token` of the page before; wins over `after`. All else is asked as for that page.
            delimiter: Fold keys that contain this behind the prefix into common prefixes.
            limit: At most so many entries; as many as the store gives if None.
        """

    def read_range(self, key: str, start: int, length: int) -> bytes:
        """Return up to `length` bytes from offset `start`: fewer at the end, none behind it."""

    def read_start(self, key: str, length: int) -> tuple[int, bytes]:
        """Return an object's size in bytes and its first `length` bytes: all there is of a shorter one."""

    def read_tail(self, key: str, length: int) -> bytes:
        """Return the last `length` bytes, or all of a shorter object."""

    def head(self, key: str) -> StoredObject:
        """Return what the store says of an object without reading it."""

    def is_listed(self, key: str) -> bool:
        """Tell whether an object is there, by a listing."""

    def check_access(self, prefix: str = "") -> None:
        """Make one cheap request that tells a missing bucket and refused credentials apart.

        Args:
            prefix: Where to look. A policy may allow listing below a prefix only.
        """


@dataclass(frozen=True, slots=True)
class WrittenListing:
    """A listing that is in a run folder, whole and as it was written.

    Attributes:
        parts: Its Parquet files, in the order of keys.
        listed_at: When listing began.
    """

    parts: tuple[Path, ...]
    listed_at: datetime


def read_listing(folder: RunFolder, *indexes: FileRef) -> WrittenListing:
    """Read which files a listing has, and check each against its index.

    Args:
        folder: The run folder.
        indexes: The listing's index, or those of all of its shards, in order.

    Raises:
        StorageError: An index or a part is missing or not as it was written, or a shard is left out.
    """
    contents = []
    for index in indexes:
        folder.verified(index)
        contents.append(folder.read_json(index.path))
    _check_covers_all(folder, contents)
    parts = tuple(
        folder.verified(FileRef(part["path"], part["sha256"], {}))
        for content in contents
        for part in content["parts"]
    )
    return WrittenListing(parts, min(datetime.fromisoformat(content["listed_at"]) for content in contents))


def _check_covers_all(folder: RunFolder, contents: Sequence[Mapping[str, Any]]) -> None:
    """See that each range of keys begins where the one before ends, from the first key to the last."""
    ends = ["", *(content.get("to") for content in contents)]
    begins = [*(content.get("after", "") for content in contents), None]
    if ends != begins or len({content["prefix"] for content in contents}) > 1:
        raise StorageError(
            "the listing is not whole: a shard of it is missing, or from another listing.",
            where=folder.address("listing"),
            remedy="Clear the run from its first task.",
        )
