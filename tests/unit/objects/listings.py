"""What the tests of listings share: buckets, a store that dies, and what a listing holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import pyarrow.parquet as pq
from hypothesis import strategies as st

from cloud_sync.objects.listing import Listing, list_objects
from cloud_sync.objects.model import StoredObject, read_listing
from cloud_sync.run_folder import RunFolder

from .fake_store import FakeStore

if TYPE_CHECKING:
    from pathlib import Path

    from cloud_sync.objects.model import ObjectStore, Page
    from cloud_sync.run_folder import FileRef

SEGMENTS = st.sampled_from(
    ["a", "b", "cam", "cam1", "cam-1", "", ".", "..", "a b", "!", "-", "0", "~", "é", "\n", "\U0010ffff"]
)
KEYS = st.lists(SEGMENTS, min_size=1, max_size=5).map("/".join).filter(bool)
BUCKETS = st.dictionaries(KEYS, st.sampled_from([0, 5, 5, 5]), max_size=60)


class Died(BaseException):
    """What ends a process in the middle of a listing."""


@dataclass
class DyingStore(FakeStore):
    """Ends the process that lists it.

    Attributes:
        deaths: After so many requests, counted from the last death, it does so.
    """

    deaths: list[int] = field(default_factory=list)

    def page(self, prefix: str, **options: Any) -> Page:
        if self.deaths and self.requests >= self.deaths[0]:
            self.deaths.pop(0)
            self.requests = 0
            raise Died
        return super().page(prefix, **options)


def list_to_the_end(store: DyingStore, root: Path | str, **options: Any) -> Listing:
    """Try a listing again whenever its process has died."""
    while True:
        try:
            return list_objects(
                cast("ObjectStore", store),
                options.get("prefix", ""),
                RunFolder(root),
                attempt=options.get("attempt", "first"),
                pages_in_flight=options.get("pages_in_flight", 2),
                part_rows=options.get("part_rows", 7),
            )
        except Died:
            continue


def rows_of(root: Path | str, *indexes: FileRef) -> list[StoredObject]:
    """Return what a listing holds, as the next stage reads it."""
    parts = read_listing(RunFolder(root), *indexes).parts
    return [StoredObject(**row) for part in parts for row in pq.read_table(part).to_pylist()]
