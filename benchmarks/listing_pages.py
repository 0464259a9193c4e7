"""What the pages of all stores have in common: a range of sorted keys, or the folders among them."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from benchmarks.responder import Parts

LAST_CHARACTER: Final = "\U0010ffff"


class Pages(Protocol):
    """Pages in the language of one API.

    Attributes:
        kind: Their content type.
    """

    kind: str

    def page(self, query: Mapping[str, str]) -> Parts:
        """Return the answer to one request for a page, in parts."""


class Cut(NamedTuple):
    """One page: keys from `start` to `last`, and where the next page starts, if there is one."""

    start: int
    last: int
    following: int | None


class Folded(NamedTuple):
    """One page of one level: folders, numbers of keys, and where the next page starts, if there is one."""

    folders: Sequence[str]
    numbers: Sequence[int]
    following: int | None


class Keys:
    """Every key of a bucket, in listing order; cuts pages."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._keys = keys
        self.folded = lru_cache(maxsize=4096)(self._folded)

    def __getitem__(self, number: int) -> str:
        """Return one key."""
        return self._keys[number]

    def first_from(self, key: str) -> int:
        """Return the number of the first key that is not less than this one."""
        return bisect_left(self._keys, key)

    def first_behind(self, key: str) -> int:
        """Return the number of the first key that is greater than this one."""
        return bisect_right(self._keys, key)

    def cut(self, prefix: str, start: int, limit: int) -> Cut:
        """Return one page of the keys below a prefix, beginning at `start` or at the first of them."""
        start, stop = self._bounds(prefix, start)
        last = min(start + limit, stop)
        return Cut(start, last, last if last < stop else None)

    def _folded(self, prefix: str, start: int, limit: int) -> Folded:
        """Return one page in which all keys of a folder below the prefix stand for one entry."""
        position, stop = self._bounds(prefix, start)
        folders, numbers = [], []
        while position < stop and len(folders) + len(numbers) < limit:
            name, slash, _ = self._keys[position][len(prefix) :].partition("/")
            if slash:
                folders.append(f"{prefix}{name}/")
                position = bisect_right(self._keys, folders[-1] + LAST_CHARACTER, lo=position)
            else:
                numbers.append(position)
                position += 1
        return Folded(folders, numbers, position if position < stop else None)

    def _bounds(self, prefix: str, start: int) -> tuple[int, int]:
        start = max(start, self.first_from(prefix))
        return start, bisect_right(self._keys, prefix + LAST_CHARACTER, lo=start)


class Block:
    """The entries of all keys, one behind the other."""

    def __init__(self, entries: Iterable[str]) -> None:
        block = bytearray()
        self._offsets = array("Q", [0])
        for entry in entries:
            block += entry.encode()
            self._offsets.append(len(block))
        self._block = memoryview(block)

    def cut(self, start: int, last: int) -> memoryview:
        """Return the entries from `start` to `last`."""
        return self._block[self._offsets[start] : self._offsets[last]]


def etag_of(number: int) -> int:
    """Return 128 bits that look random."""
    return number * 0x9E3779B97F4A7C15F39CC0605CEDC835 % (1 << 128)


def size_of(number: int) -> int:
    """Return the size of an object in bytes."""
    return number % 5_000_000 + 1


def day_of(number: int) -> int:
    """Return the day of a November past on which an object was written: s5cmd leaves out what is of later."""
    return number % 28 + 1


def minute_of(number: int) -> int:
    """Return the minute after eight."""
    return number % 60
