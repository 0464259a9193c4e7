"""Find what can be listed at the same time.

A store answers a page of 1,000 keys in 50 to 100 ms and gives pages one after another, so a listing is fast
only when many ranges are listed at once. The folders of the bucket are the natural borders: they are
discovered level by level with a delimiter, until there are enough of them, and a flat bucket pays two
requests for the attempt.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING

import numpy as np

from cloud_sync.objects.rows import indices
from cloud_sync.objects.stores import KEYS_PER_PAGE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa

    from cloud_sync.objects.s3_pages import Page
    from cloud_sync.objects.stores import ObjectStore
    from cloud_sync.objects.tally import Tally

DELIMITER = "/"
LAST_CHARACTER = "\U0010ffff"
FIRST_LOOK = 100
"""Entries asked for when a folder is first looked into: enough to see whether it holds folders."""
MAX_LEVELS = 12
SPANS_PER_FLIGHT = 8
"""At most so many ranges for each page in flight: small ones even out what large ones take."""


@dataclass(frozen=True, slots=True)
class Span:
    """A range of keys that is listed page after page.

    Attributes:
        prefix: Every key starts with it.
        folders: The neighbouring folders below the prefix that make up the range, in the order of keys;
            empty for everything below the prefix.
        after: With `folders`: where the store is asked to begin, the end of what stands before them.
        is_flat: It was looked into and holds objects rather than folders.
    """

    prefix: str
    folders: tuple[str, ...] = ()
    after: str | None = None
    is_flat: bool = False

    @property
    def may_hold_folders(self) -> bool:
        """Whether it is a whole folder that nobody has looked into."""
        return not self.folders and not self.is_flat and self.prefix.endswith(DELIMITER)


@dataclass(frozen=True, slots=True)
class Known:
    """Objects that the discovery has already seen, as rows of a listing."""

    rows: pa.RecordBatch


Unit = Span | Known


def find_units(store: ObjectStore, prefix: str, pages_in_flight: int, tally: Tally) -> list[Unit]:
    """Split what stands under a prefix into ranges, in the order of keys.

    Args:
        store: The bucket.
        prefix: A string prefix: `raw/cam` holds `raw/cam.jpg` and `raw/camera1/x.jpg`.
        pages_in_flight: How many ranges are listed at the same time.
        tally: Where requests are counted.

    Raises:
        ObjectStoreError: The store refused or failed.
    """
    discovery = Discovery(store, tally)
    units = discovery.look_into(prefix)
    with ThreadPoolExecutor(pages_in_flight, thread_name_prefix="discover") as pool:
        for _ in range(MAX_LEVELS):
            folders = [unit for unit in units if isinstance(unit, Span) and unit.may_hold_folders]
            if not folders or len(folders) >= 2 * pages_in_flight:
                break
            found = dict(
                zip(
                    folders, pool.map(lambda folder: discovery.look_into(folder.prefix), folders), strict=True
                )
            )
            units = [part for unit in units for part in _replaced(unit, found)]
    return _joined(prefix, units, SPANS_PER_FLIGHT * pages_in_flight)


def _replaced(unit: Unit, found: dict[Span, list[Unit]]) -> Sequence[Unit]:
    return found.get(unit, (unit,)) if isinstance(unit, Span) else (unit,)


class Discovery:
    """Looks into folders with a delimiter; its methods may run in many threads."""

    def __init__(self, store: ObjectStore, tally: Tally) -> None:
        self._store = store
        self._tally = tally

    def look_into(self, prefix: str) -> list[Unit]:
        """Return the folders and objects of one level; of one with mostly objects, the whole as one range."""
        pages = [self._page(prefix, FIRST_LOOK)]
        while token := pages[-1].next_token:
            if len(pages) > 1 and len(pages[-1].prefixes) < pages[-1].rows.num_rows:
                return [Span(prefix, is_flat=True)]
            pages.append(self._page(prefix, KEYS_PER_PAGE, token))
        return _units_of(pages)

    def _page(self, prefix: str, limit: int, token: str | None = None) -> Page:
        self._tally.add(requests=1)
        return self._store.page(prefix, delimiter=DELIMITER, token=token, limit=limit)


def _units_of(pages: Sequence[Page]) -> list[Unit]:
    """Return the entries of a level in the order of keys: objects that follow each other are one unit."""
    entries: list[tuple[str, Page | None, int]] = []
    for page in pages:
        entries += [(key, page, row) for row, key in enumerate(page.rows["key"].to_pylist())]
        entries += [(folder, None, 0) for folder in page.prefixes]
    units: list[Unit] = []
    for page, group in groupby(sorted(entries, key=itemgetter(0)), key=itemgetter(1)):
        if page is None:
            units += [Span(folder) for folder, _, _ in group]
        else:
            units.append(Known(page.rows.take(indices(np.array([row for _, _, row in group], np.int32)))))
    return units


def _joined(prefix: str, units: list[Unit], most: int) -> list[Unit]:
    """Join neighbouring folders into ranges, so that a million small folders are not a million requests."""
    size = max(1, -(-sum(_parent(unit) is not None for unit in units) // most))
    joined: list[Unit] = []
    previous: Unit | None = None
    for parent, neighbours in groupby(units, key=_parent):
        for group in _chunks(list(neighbours), size):
            if parent is None or len(group) == 1:
                joined += group
            else:
                # Below `raw/cam` nobody may list all of `raw/`: a policy may forbid it, and it may be huge.
                within = prefix if prefix.startswith(parent) else parent
                joined.append(_range(within, previous, group))
            previous = group[-1]
    return joined


def _chunks(units: list[Unit], size: int) -> Iterator[list[Unit]]:
    return (units[start : start + size] for start in range(0, len(units), size))


def _parent(unit: Unit) -> str | None:
    """Return the folder that a folder stands in, if it can be joined with its neighbours at all."""
    if not isinstance(unit, Span) or not unit.prefix.endswith(DELIMITER):
        return None
    return unit.prefix[: unit.prefix.rfind(DELIMITER, 0, -1) + 1]


def _range(within: str, previous: Unit | None, siblings: Sequence[Unit]) -> Span:
    """Return the range of some neighbouring folders."""
    folders = tuple(unit.prefix for unit in siblings if isinstance(unit, Span))
    return Span(within, folders, None if previous is None else _end_of(previous))


def _end_of(unit: Unit) -> str:
    if isinstance(unit, Known):
        last_key: str = unit.rows["key"][-1].as_py()
        return last_key
    return (unit.folders or (unit.prefix,))[-1] + LAST_CHARACTER
