"""Find what can be listed at the same time.

A store answers a page of 1,000 keys in 50 to 100 ms and gives pages one after another, so a listing is fast
only when many ranges are listed at once. The folders of the bucket are the natural borders: they are
discovered level by level with a delimiter, until there are enough of them. What is seen on the way is not
listed again, unless it is too much: a flat bucket pays six requests for the attempt, or none if it is small.
"""

from __future__ import annotations

from bisect import bisect_right
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import pairwise, repeat
from os.path import commonprefix
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cloud_sync.objects.rows import indices, no_rows, strings
from cloud_sync.objects.windows import WHOLE, OutOfOrderError, is_rising

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from cloud_sync.objects.model import ObjectStore, Page
    from cloud_sync.objects.tally import Tally
    from cloud_sync.objects.windows import Window

DELIMITER = "/"
LAST_CHARACTER = "\U0010ffff"
FIRST_LOOK = 100
"""Entries asked for when a folder is first looked into: enough to see whether it holds folders."""
LOOSE_PAGES = 5
"""So many full pages of mostly objects are read in search of folders behind them, at one level in all; in
each folder at least one."""
MAX_LEVELS = 12
FOLDER: Final = -1
"""Stands for the page of an entry that is a folder."""
SPANS_PER_FLIGHT = 8
"""At most so many ranges for each page in flight: small ones even out what large ones take."""


@dataclass(frozen=True, slots=True)
class Span:
    """A range of keys that is listed page after page.

    Attributes:
        prefix: Every key starts with it.
        folders: The neighbouring folders below the prefix that make up the range, in the order of keys; None
            for everything below the prefix.
        after: With `folders`: where the store is asked to begin, the end of what stands before them; None
            where it cannot begin at a key.
    """

    prefix: str
    folders: pa.LargeStringArray | None = None
    after: str | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """Objects that the discovery has already seen, as rows of a listing."""

    rows: pa.RecordBatch


@dataclass(frozen=True, slots=True)
class Folders:
    """Neighbouring folders of one folder that nobody has looked into.

    Attributes:
        names: Their whole prefixes, in the order of keys. An array, because there may be millions of them,
            and each takes 30 bytes here instead of 200 as an object of its own.
    """

    names: pa.LargeStringArray


Unit = Span | Known


def find_units(
    store: ObjectStore,
    prefix: str,
    pages_in_flight: int,
    tally: Tally,
    *,
    window: Window = WHOLE,
    enough: int | None = None,
) -> list[Unit]:
    """Split what stands under a prefix into ranges, in the order of keys.

    Args:
        store: The bucket.
        prefix: A string prefix: `raw/cam` holds `raw/cam.jpg` and `raw/camera1/x.jpg`.
        pages_in_flight: How many ranges are listed at the same time.
        tally: Where requests are counted, and folders whose names came in another order.
        window: Which keys are wanted. Ranges may reach beyond it.
        enough: How many folders are enough to look for no more; twice the pages in flight if None.

    Raises:
        ObjectStoreError: The store refused or failed.
        OutOfOrderError: The store has another order of keys than the window says.
    """
    enough = enough or 2 * pages_in_flight
    discovery = Discovery(store, tally, window)
    found = discovery.look_into(prefix, LOOSE_PAGES)
    with ThreadPoolExecutor(pages_in_flight, thread_name_prefix="discover") as pool:
        for _ in range(MAX_LEVELS):
            names = _to_look_into(found, enough, window)
            if not names:
                break
            loose_pages = repeat(max(1, LOOSE_PAGES // len(names)))
            below = dict(zip(names, pool.map(discovery.look_into, names, loose_pages), strict=True))
            found = [part for unit in found for part in _replaced(unit, below)]
    if tally.out_of_order and window.in_order and not window.is_whole:
        raise OutOfOrderError
    size = max(1, -(-_count_folders(found) // (SPANS_PER_FLIGHT * enough // 2)))
    return _joined(prefix, found, size, has_start_after=store.has_start_after)


def _count_folders(found: Sequence[Unit | Folders]) -> int:
    return sum(len(unit.names) for unit in found if isinstance(unit, Folders))


def _to_look_into(found: Sequence[Unit | Folders], enough: int, window: Window) -> list[str]:
    """Return the folders to look into: all while they are few, then those that the window cuts."""
    levels = [unit.names for unit in found if isinstance(unit, Folders)]
    if sum(map(len, levels)) < enough:
        return [name for names in levels for name in names.to_pylist()]
    # Of folders in order only the first and the last can reach out of the window.
    ends = (names[place].as_py() for names in levels for place in _ends(names))
    return [name for name in ends if window.cuts(name)]


def _ends(names: pa.LargeStringArray) -> Sequence[int]:
    return (0, len(names) - 1) if len(names) > 1 else (0,)


def _replaced(
    unit: Unit | Folders, below: Mapping[str, Sequence[Unit | Folders]]
) -> Iterator[Unit | Folders]:
    """Put what was found in folders in their place."""
    if not isinstance(unit, Folders):
        yield unit
        return
    names = unit.names
    start = 0
    for place in range(len(names)) if len(names) <= len(below) else _ends(names):
        if (name := names[place].as_py()) in below:
            if start < place:
                yield Folders(names.slice(start, place - start))
            yield from below[name]
            start = place + 1
    if start < len(names):
        yield Folders(names.slice(start))


class Discovery:
    """Looks into folders with a delimiter; its methods may run in many threads."""

    def __init__(self, store: ObjectStore, tally: Tally, window: Window = WHOLE) -> None:
        self._store = store
        self._tally = tally
        self._window = window
        self._begins_at_key = store.has_start_after and window.in_order

    def look_into(self, prefix: str, loose_pages: int = 1) -> list[Unit | Folders]:
        """Return the folders and objects of one level; of one with mostly objects, the whole as one range.

        Args:
            prefix: What all of them begin with.
            loose_pages: How many full pages of mostly objects may come up before the level counts as one of
                mostly objects.
        """
        after, begun = self._beginning(prefix)
        level = [_Entries(no_rows(), strings([begun]))] if begun else []
        page = self._page(prefix, FIRST_LOOK, after)
        level.append(_entries_of(page, begun))
        is_first = True
        while (token := page.next_token) and not self._is_past(page):
            if not is_first and len(page.prefixes) < page.rows.num_rows:
                loose_pages -= 1
                if not loose_pages:
                    return [Span(prefix)]
            page, is_first = self._page(prefix, None, after, token), False
            level.append(_entries_of(page, begun))
        return self._inside(_units_of(level, self._tally))

    def _beginning(self, prefix: str) -> tuple[str | None, str | None]:
        """Return behind which key a level is listed, and the folder before it in which the window begins.

        Stores differ in whether they name a folder when they are asked to begin within it.
        """
        if not self._begins_at_key or not self._window.begins_in(prefix):
            return None, None
        begun = self._window.begun_folder(prefix, DELIMITER)
        return (begun + LAST_CHARACTER, begun) if begun else (self._window.after, None)

    def _page(self, prefix: str, limit: int | None, after: str | None, token: str | None = None) -> Page:
        self._tally.add(requests=1)
        return self._store.page(prefix, after=after, delimiter=DELIMITER, token=token, limit=limit)

    def _is_past(self, page: Page) -> bool:
        keys = page.rows["key"]
        last = max(*page.prefixes[-1:], keys[-1].as_py() if len(keys) else "", "")
        return self._window.in_order and self._window.ends_before(last)

    def _inside(self, found: Iterable[Unit | Folders]) -> list[Unit | Folders]:
        """Return what of a level may be in the window."""
        inside: list[Unit | Folders] = []
        for unit in found:
            if isinstance(unit, Known) and (rows := self._window.of(unit.rows)).num_rows:
                inside.append(Known(rows))
            elif isinstance(unit, Folders) and len(names := self._window.folders(unit.names)):
                inside.append(Folders(names))
        return inside


class _Entries(NamedTuple):
    """What stands on one page of a level: objects and folders."""

    rows: pa.RecordBatch
    folders: pa.StringArray


def _entries_of(page: Page, begun: str | None) -> _Entries:
    return _Entries(page.rows, strings([name for name in page.prefixes if name != begun]))


def _units_of(level: list[_Entries], tally: Tally) -> list[Unit | Folders]:
    """Return the entries of a level in the order of keys: what follows each other of one kind is one unit."""
    keys = pa.concat_arrays(
        [part.cast(pa.large_string()) for page in level for part in (page.rows["key"], page.folders)]
    )
    rows = [page.rows for page in level]
    pages, lines = _places(level)
    level.clear()  # the names stand in `keys`
    if not is_rising(keys):
        tally.add(out_of_order=int(not is_rising(keys, or_equal=True)))
        order = _order_of(keys)
        numbers = np.frombuffer(order.buffers()[1], np.uint64, len(order))
        keys, pages, lines = keys.take(order), pages[numbers], lines[numbers]
    starts = np.flatnonzero(np.diff(pages, prepend=FOLDER - 1)).tolist()
    units: list[Unit | Folders] = []
    for start, end in pairwise([*starts, len(keys)]):
        if pages[start] == FOLDER:
            units.append(Folders(keys.slice(start, end - start)))
        else:
            units.append(Known(rows[pages[start]].take(indices(lines[start:end]))))
    return units


def _places(level: Sequence[_Entries]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return of each entry the page, `FOLDER` for a folder, and the row on it."""
    pages, lines = [], []
    for number, page in enumerate(level):
        objects, folders = page.rows.num_rows, len(page.folders)
        pages += [np.full(objects, number, np.int32), np.full(folders, FOLDER, np.int32)]
        lines += [np.arange(objects, dtype=np.int32), np.zeros(folders, np.int32)]
    return np.concatenate(pages), np.concatenate(lines)


def _order_of(keys: pa.LargeStringArray) -> pa.UInt64Array:
    """Return the places of keys in the order of their bytes; of what is named twice, the first place.

    Some stores name a folder on more than one page.
    """
    order = pc.sort_indices(keys)
    in_order = keys.take(order)
    is_new = pc.not_equal(in_order.slice(1), in_order.slice(0, len(in_order) - 1))
    return pa.concat_arrays([order.slice(0, 1), order.slice(1).filter(is_new)])


def _joined(prefix: str, found: Sequence[Unit | Folders], size: int, *, has_start_after: bool) -> list[Unit]:
    """Join neighbouring folders into ranges, so that a million small folders are not a million requests."""
    joined: list[Unit] = []
    for unit in found:
        if not isinstance(unit, Folders):
            joined.append(unit)
        elif has_start_after:
            for start in range(0, len(unit.names), size):
                joined.append(_range(prefix, unit.names.slice(start, size), joined[-1] if joined else None))
        else:
            cuts = _cuts_alike(unit.names, -(-len(unit.names) // size))
            joined += [_range_alike(unit.names.slice(*cut)) for cut in cuts]
    return joined


def _range(prefix: str, folders: pa.LargeStringArray, previous: Unit | None) -> Span:
    """Return the range of some neighbouring folders."""
    first: str = folders[0].as_py()
    if len(folders) == 1:
        return Span(first)
    parent = first[: first.rfind(DELIMITER, 0, -1) + 1]
    # Below `raw/cam` nobody may list all of `raw/`: a policy may forbid it, and it may be huge.
    within = prefix if prefix.startswith(parent) else parent
    return Span(within, folders, None if previous is None else _end_of(previous))


def _range_alike(folders: pa.LargeStringArray) -> Span:
    """Return the range of some neighbouring folders: what begins as they all do, from its beginning on."""
    if len(folders) == 1:
        return Span(folders[0].as_py())
    return Span(_common_beginning(folders), folders)


def _cuts_alike(names: pa.LargeStringArray, parts: int) -> list[tuple[int, int]]:
    """Return start and length of some parts or a few more, in order, cut where names begin to differ.

    A store that cannot begin at a key reads each part from the first key on that begins as its names do.
    """
    largest_first = [(-len(names), 0)]
    while len(largest_first) < parts and largest_first[0][0] < -1:
        length, start = heappop(largest_first)
        for cut in _cuts_at_difference(names, start, start - length):
            heappush(largest_first, cut)
    return sorted((start, -length) for length, start in largest_first)


def _cuts_at_difference(names: pa.LargeStringArray, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield the parts of a part, as minus its length and its start: one for each next character."""
    length = len(_common_beginning(names.slice(start, end - start))) + 1
    while start < end:
        last = names[start].as_py()[:length] + LAST_CHARACTER
        behind = bisect_right(names, last, start + 1, end, key=lambda name: name.as_py())
        yield start - behind, start
        start = behind


def _common_beginning(names: pa.LargeStringArray) -> str:
    """Return what all of some sorted names begin with."""
    beginning: str = commonprefix((names[0].as_py(), names[-1].as_py()))  # noqa: RUF071 (characters are meant)
    return beginning


def _end_of(unit: Unit) -> str:
    last: str
    if isinstance(unit, Known):
        last = unit.rows["key"][-1].as_py()
        return last
    last = unit.prefix if unit.folders is None else unit.folders[-1].as_py()
    return last + LAST_CHARACTER
