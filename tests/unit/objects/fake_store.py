"""A bucket in memory that lists as S3 does, and that obstore sees as obstore sees S3."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pyarrow as pa
from obstore.exceptions import InvalidPathError

from cloud_sync.objects.model import StoredObject
from cloud_sync.objects.stores import ExactPage

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MODIFIED = datetime(2026, 11, 20, 8, tzinfo=UTC)
FAST_SCHEMA = pa.schema(
    [
        ("path", pa.string()),
        ("last_modified", pa.timestamp("us", "UTC")),
        ("size", pa.uint64()),
        ("e_tag", pa.string()),
        ("version", pa.string()),
    ]
)


def stored(key: str, size_bytes: int) -> StoredObject:
    """Return an object whose other fields follow from its key."""
    return StoredObject(key, size_bytes, MODIFIED + timedelta(seconds=len(key)), f"etag{len(key)}")


@dataclass
class FakeStore:
    """Implements what a listing needs of ObjectStore.

    Attributes:
        sizes: Size of each object by key.
        page_size: Keys a page, at most.
        blind: obstore sees nothing, as with a wrong address style.
        failures: Errors that the next streams end with, each after one page.
    """

    sizes: Mapping[str, int]
    page_size: int = 1000
    blind: bool = False
    failures: list[Exception] = field(default_factory=list)
    exact_requests: int = 0

    def __post_init__(self) -> None:
        self.keys = sorted(self.sizes)

    def listed(self, prefix: str) -> list[StoredObject]:
        """Return what a listing must hold."""
        kept = [key for key in self.keys if key.startswith(prefix)]
        return [stored(key, self.sizes[key]) for key in kept if self.sizes[key] or not key.endswith("/")]

    def stream(self, folder: str, after: str | None = None) -> Iterator[pa.RecordBatch]:
        """List as obstore does: slashes at both ends dropped, a page with an odd key refused."""
        keys = [] if self.blind else self._range(folder, after or "")
        for start in range(0, len(keys), self.page_size):
            page = keys[start : start + self.page_size]
            if any(_refused(key) for key in page):
                raise InvalidPathError("odd key")
            objects = [stored(key, self.sizes[key]) for key in page]
            columns = [
                [key.removeprefix("/").removesuffix("/") for key in page],
                [each.last_modified for each in objects],
                [each.size_bytes for each in objects],
                [f'"{each.etag}"' for each in objects],
                [None] * len(page),
            ]
            yield pa.RecordBatch.from_arrays(
                [pa.array(values, kind.type) for values, kind in zip(columns, FAST_SCHEMA, strict=True)],
                schema=FAST_SCHEMA,
            )
            if self.failures:
                raise self.failures.pop()

    def exact_page(
        self,
        prefix: str,
        *,
        after: str | None = None,
        token: str | None = None,
        delimiter: str = "",
        limit: int = 1000,
    ) -> ExactPage:
        """List as S3 does."""
        self.exact_requests += 1
        limit = min(limit, self.page_size)
        keys = self._range(prefix, token or after or "")
        objects: list[StoredObject] = []
        prefixes: list[str] = []
        last = ""
        for key in keys:
            if prefixes and key.startswith(prefixes[-1]):
                last = key
                continue
            if len(objects) + len(prefixes) == limit:
                return ExactPage(tuple(objects), tuple(prefixes), last)
            name, found, _ = key[len(prefix) :].partition(delimiter) if delimiter else ("", "", "")
            if found:
                prefixes.append(prefix + name + delimiter)
            else:
                objects.append(stored(key, self.sizes[key]))
            last = key
        return ExactPage(tuple(objects), tuple(prefixes), None)

    def _range(self, prefix: str, after: str) -> list[str]:
        return [key for key in self.keys[bisect_right(self.keys, after) :] if key.startswith(prefix)]


def _refused(key: str) -> bool:
    path = key.removeprefix("/").removesuffix("/")
    segments = path.split("/") if path else []
    return any(part in {"", ".", ".."} for part in segments) or any(ord(c) < 32 or ord(c) == 127 for c in key)
