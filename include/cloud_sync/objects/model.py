"""The nouns of this package: one object as the store lists it, and a listing in a run folder."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cloud_sync.run_folder import FileRef, RunFolder

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
class WrittenListing:
    """A listing that is in a run folder, whole and as it was written.

    Attributes:
        parts: Its Parquet files, in the order of keys.
        listed_at: When listing began.
    """

    parts: tuple[Path, ...]
    listed_at: datetime


def read_listing(folder: RunFolder, index: FileRef) -> WrittenListing:
    """Read which files a listing has, and check each against the index.

    Raises:
        StorageError: The index or a part is missing or not as it was written.
    """
    folder.verified(index)
    content = folder.read_json(index.path)
    parts = tuple(folder.verified(FileRef(part["path"], part["sha256"], {})) for part in content["parts"])
    return WrittenListing(parts, datetime.fromisoformat(content["listed_at"]))
