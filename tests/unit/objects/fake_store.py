"""A bucket in memory that answers with pages as S3 writes them."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cloud_sync.objects.model import Page, StoredObject
from cloud_sync.objects.s3_pages import read_page

from .s3_xml import answer, page_xml

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MODIFIED = datetime(2026, 11, 20, 8, tzinfo=UTC)


def as_paths(key: str) -> str:
    """Order keys as stores do that keep them as files in folders: a folder comes before its longer names."""
    return key.replace("/", "\0")


def as_utf16(key: str) -> str:
    """Order keys as stores do that hold text in units of two bytes."""
    return key.encode("utf-16-be").hex()


def stored(key: str, size_bytes: int) -> StoredObject:
    """Return an object whose other fields follow from its key."""
    return StoredObject(key, size_bytes, MODIFIED + timedelta(seconds=len(key)), f"etag{len(key)}")


@dataclass
class FakeStore:
    """Implements what a listing needs of ObjectStore.

    Attributes:
        sizes: Size of each object by key.
        page_size: Entries a page, at most.
        failures: Errors that requests for whole pages end with, each after one page.
        down_after: So many whole pages, after which each request ends with the last of `failures`.
        order: By what the store orders keys; S3 does by their bytes.
        has_start_after: Whether it may be asked to begin behind a key.
        keys_per_shared_page: How many keys it wants to be asked for while other pages are in flight.
        requests: Pages asked for so far.
        prefixes_asked: Their prefixes.
    """

    sizes: Mapping[str, int]
    page_size: int = 1000
    failures: list[Exception] = field(default_factory=list)
    down_after: int | None = None
    order: Callable[[str], str] = str
    has_start_after: bool = True
    keys_per_shared_page: int | None = None
    requests: int = 0
    whole_pages: int = 0
    prefixes_asked: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.keys = sorted(self.sizes, key=self.order)

    def listed(self, prefix: str) -> list[StoredObject]:
        """Return what a listing must hold, in the order of S3."""
        kept = [key for key in sorted(self.keys) if key.startswith(prefix)]
        return [stored(key, self.sizes[key]) for key in kept if self.sizes[key] or not key.endswith("/")]

    def page(
        self,
        prefix: str,
        *,
        after: str | None = None,
        token: str | None = None,
        delimiter: str = "",
        limit: int | None = None,
    ) -> Page:
        """List as S3 does."""
        assert self.has_start_after or after is None, "asked to begin behind a key"
        self.requests += 1
        self.prefixes_asked.append(prefix)
        if not delimiter:
            self.whole_pages += 1
            if self.down_after is not None and self.whole_pages > self.down_after:
                raise self.failures[-1]
            if self.down_after is None and self.failures and self.whole_pages % 2 == 0:
                raise self.failures.pop()
        objects: list[StoredObject] = []
        prefixes: list[str] = []
        last = ""
        for key in self._range(prefix, token or after or ""):
            if not (prefixes and key.startswith(prefixes[-1])):
                if len(objects) + len(prefixes) == min(limit or 1000, self.page_size):
                    return read_page(answer(page_xml(objects, prefixes=prefixes, token=last)))
                name, found, _ = key[len(prefix) :].partition(delimiter) if delimiter else ("", "", "")
                if found:
                    prefixes.append(prefix + name + delimiter)
                else:
                    objects.append(stored(key, self.sizes[key]))
            last = key
        return read_page(answer(page_xml(objects, prefixes=prefixes)))

    def _range(self, prefix: str, after: str) -> list[str]:
        start = bisect_right(self.keys, self.order(after), key=self.order) if after else 0
        return [key for key in self.keys[start:] if key.startswith(prefix)]
