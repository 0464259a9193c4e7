"""The noun of this package: one object as the store lists it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

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
