"""Which keys a listing is to have: all below its prefix, or those between two keys."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pyarrow.compute as pc

from cloud_sync.objects.rows import strings

if TYPE_CHECKING:
    import pyarrow as pa


class OutOfOrderError(Exception):
    """A store that was taken to list keys in the order of their bytes has another order."""


@dataclass(frozen=True, slots=True)
class Window:
    """The keys behind one and up to another, in the order of their bytes.

    Windows whose ends are the beginnings of the next leave out no key, and share none.

    Attributes:
        after: Keys are greater than this; all are greater than the empty text.
        to: The last key, included, whether or not there is such an object; None for no end.
        in_order: The store lists keys in the order of their bytes, as far as is known. Only then is it asked
            to begin in the middle, and left before its end. Otherwise all is read, and what lies outside is
            dropped.
    """

    after: str = ""
    to: str | None = None
    in_order: bool = True

    @property
    def is_whole(self) -> bool:
        """Whether every key is in it."""
        return not self.after and self.to is None

    def of(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        """Return the rows whose keys are in the window."""
        if self.after:
            rows = _kept(rows, pc.greater(rows["key"], strings([self.after])[0]))
        if self.to is not None:
            rows = _kept(rows, pc.less_equal(rows["key"], strings([self.to])[0]))
        return rows

    def folders(self, names: pa.LargeStringArray) -> pa.LargeStringArray:
        """Return the folders of one level, in order, that may hold keys of the window."""
        first = bisect_right(names, self.after, key=lambda name: name.as_py())
        if first and self.after.startswith(names[first - 1].as_py()):
            first -= 1
        end = len(names)
        if self.to is not None:
            end = bisect_right(names, self.to, lo=first, key=lambda name: name.as_py())
        return names.slice(first, end - first)

    def begins_in(self, prefix: str) -> bool:
        """Tell whether some keys with this prefix lie before the window, and others perhaps in it."""
        return bool(self.after) and self.after.startswith(prefix)

    def cuts(self, folder: str) -> bool:
        """Tell whether the window begins or ends within a folder."""
        return self.begins_in(folder) or (self.to is not None and self.to.startswith(folder))

    def begun_folder(self, prefix: str, delimiter: str) -> str | None:
        """Return the folder right below a prefix in which the window begins; None if it begins in none."""
        if not self.begins_in(prefix):
            return None
        name, found, _ = self.after[len(prefix) :].partition(delimiter)
        return f"{prefix}{name}{found}" if found else None

    def ends_before(self, key: str) -> bool:
        """Tell whether a key lies behind the window."""
        return self.to is not None and key > self.to


WHOLE: Final = Window()


def is_rising(keys: pa.Array, *, or_equal: bool = False) -> bool:
    """Tell whether each key is greater than the one before it, or equal if it may, by their bytes."""
    compare = pc.less_equal if or_equal else pc.less
    rising = compare(keys.slice(0, max(0, len(keys) - 1)), keys.slice(1))
    return bool(rising.true_count == len(rising))


def _kept(rows: pa.RecordBatch, mask: pa.BooleanArray) -> pa.RecordBatch:
    return rows if mask.true_count == len(mask) else rows.filter(mask)
