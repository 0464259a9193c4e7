"""Find what can be listed at the same time.

A store answers a page of 1,000 keys in 50 to 100 ms and gives pages one after another, so a listing is fast
only when many ranges are listed at once. The folders of the bucket are the natural borders: they are
discovered level by level with a delimiter, until there are enough of them, and a flat bucket pays one small
request for the attempt.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from cloud_sync.objects.stores import KEYS_PER_PAGE, is_expressible

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cloud_sync.objects.model import StoredObject
    from cloud_sync.objects.stores import ExactPage, ObjectStore
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
        after: Keys stand behind this one; None from the start.
        skip: Keys that start with this are left out, at the beginning of the range only.
        before: Keys stand before this one; None to the end.
        exact: obstore would give wrong keys here, so only the provider's client may be asked.
    """

    prefix: str
    after: str | None = None
    skip: str | None = None
    before: str | None = None
    exact: bool = False

    @property
    def folder(self) -> str:
        """The longest folder that holds the range: what obstore can list."""
        return self.prefix[: self.prefix.rfind(DELIMITER) + 1]

    @property
    def needs_exact_client(self) -> bool:
        """Whether obstore cannot be used for this range."""
        if self.exact:
            return True
        return bool(self.folder) and not is_expressible(self.folder.removesuffix(DELIMITER))

    @property
    def is_folder(self) -> bool:
        """Whether it is a whole folder, which may hold folders in turn."""
        return self.after is None and self.before is None and self.prefix.endswith(DELIMITER)


@dataclass(frozen=True, slots=True)
class Known:
    """Objects that the discovery has already seen."""

    objects: tuple[StoredObject, ...]


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
            folders = [unit for unit in units if isinstance(unit, Span) and unit.is_folder]
            if not folders or len(folders) >= 2 * pages_in_flight:
                break
            found = dict(
                zip(
                    folders, pool.map(lambda folder: discovery.look_into(folder.prefix), folders), strict=True
                )
            )
            units = [part for unit in units for part in _replaced(unit, found)]
    return _joined(units, SPANS_PER_FLIGHT * pages_in_flight)


def _replaced(unit: Unit, found: dict[Span, list[Unit]]) -> Sequence[Unit]:
    return found.get(unit, (unit,)) if isinstance(unit, Span) else (unit,)


class Discovery:
    """Looks into folders with a delimiter; its methods may run in many threads."""

    def __init__(self, store: ObjectStore, tally: Tally) -> None:
        self._store = store
        self._tally = tally

    def look_into(self, prefix: str) -> list[Unit]:
        """List one level, as far as that shows folders rather than objects."""
        page = self._page(prefix, FIRST_LOOK)
        units = _units_of(page)
        while page.next_token and len(page.prefixes) > len(page.objects):
            page = self._page(prefix, KEYS_PER_PAGE, page.next_token)
            units += _units_of(page)
        return units + (self._rest(prefix, units) if page.next_token else [])

    def _page(self, prefix: str, limit: int, token: str | None = None) -> ExactPage:
        self._tally.add(requests=1)
        return self._store.exact_page(prefix, delimiter=DELIMITER, token=token, limit=limit)

    def _rest(self, prefix: str, seen: Sequence[Unit]) -> list[Unit]:
        """Return what stands behind the part of a level that was seen."""
        after, skip = _end_of(seen[-1]) if seen else (None, None)
        if prefix or (after or "") >= DELIMITER or not self._has_leading_slashes():
            return [Span(prefix, after, skip)]
        # obstore would drop the leading slash of keys in the root, and say nothing.
        behind = Span("", DELIMITER + LAST_CHARACTER, skip=DELIMITER)
        return [Span("", after, skip, before=DELIMITER, exact=True), Span(DELIMITER), behind]

    def _has_leading_slashes(self) -> bool:
        self._tally.add(requests=1)
        return bool(self._store.exact_page(DELIMITER, limit=1).objects)


def _units_of(page: ExactPage) -> list[Unit]:
    """Return the entries of a page in the order of keys: objects that follow each other are one unit."""
    entries: list[tuple[str, StoredObject | None]] = [(found.key, found) for found in page.objects]
    entries += [(folder, None) for folder in page.prefixes]
    units: list[Unit] = []
    for is_object, group in groupby(sorted(entries, key=_name), key=lambda entry: entry[1] is not None):
        if is_object:
            units.append(Known(tuple(found for _, found in group if found is not None)))
        else:
            units += [Span(folder) for folder, _ in group]
    return units


def _name(entry: tuple[str, StoredObject | None]) -> str:
    return entry[0]


def _end_of(unit: Unit) -> tuple[str, str | None]:
    """Return where a listing continues behind a unit: the key to start after, and the prefix to skip."""
    if isinstance(unit, Known):
        return unit.objects[-1].key, None
    return unit.prefix + LAST_CHARACTER, unit.prefix


def _joined(units: list[Unit], most: int) -> list[Unit]:
    """Join neighbouring folders into ranges, so that a million small folders are not a million requests."""
    folders = sum(_parent(unit) is not None for unit in units)
    size = max(1, -(-folders // most))
    joined: list[Unit] = []
    previous: Unit | None = None
    for parent, neighbours in groupby(units, key=_parent):
        for group in _chunks(list(neighbours), size):
            joined += group if parent is None or len(group) == 1 else [_range(parent, previous, group)]
            previous = group[-1]
    return joined


def _chunks(units: list[Unit], size: int) -> Iterator[list[Unit]]:
    return (units[start : start + size] for start in range(0, len(units), size))


def _parent(unit: Unit) -> str | None:
    """Return the folder that a folder stands in, if it can be joined with its neighbours at all."""
    if not isinstance(unit, Span) or not unit.is_folder or unit.needs_exact_client:
        return None
    return unit.prefix[: unit.prefix.rfind(DELIMITER, 0, -1) + 1]


def _range(parent: str, previous: Unit | None, siblings: Sequence[Unit]) -> Span:
    """Return the range from behind `previous` to the end of the last of some neighbouring folders."""
    after, skip = _end_of(previous) if previous is not None else (None, None)
    last = siblings[-1]
    assert isinstance(last, Span)  # noqa: S101 (only folders have a parent)
    # "0" follows "/": nothing stands between the last key of a folder `a/` and the string `a0`.
    return Span(parent, after, skip, before=last.prefix.removesuffix(DELIMITER) + "0")
