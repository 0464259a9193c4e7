"""The rows of a listing as Arrow arrays.

`pa.array()`, `pa.scalar()` and every kernel that is given a Python value import pandas where it is installed:
45 MB and half a second of CPU. So arrays are built from buffers, and kernels are given arrays.
"""

from __future__ import annotations

from array import array
from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cloud_sync.objects.model import LISTING_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

TIMESTAMP = pa.timestamp("us", "UTC")
LISTING_SCHEMA = pa.schema(
    list(zip(LISTING_COLUMNS, (pa.string(), pa.int64(), TIMESTAMP, pa.string()), strict=True))
)


def strings(values: Sequence[str]) -> pa.StringArray:
    """Return text as an array."""
    text = "".join(values)
    # Where no character takes two bytes, the values need not be encoded one by one.
    lengths = map(len, values if text.isascii() else [value.encode() for value in values])
    offsets = array("i", accumulate(lengths, initial=0))
    return pa.StringArray.from_buffers(len(values), pa.py_buffer(offsets), pa.py_buffer(text.encode()))


def no_rows() -> pa.RecordBatch:
    """Return a listing's columns without a row."""
    nothing = pa.py_buffer(b"")
    numbers = [pa.Array.from_buffers(kind, 0, [None, nothing]) for kind in (pa.int64(), TIMESTAMP)]
    return pa.RecordBatch.from_arrays([strings([]), *numbers, strings([])], schema=LISTING_SCHEMA)


def indices(values: NDArray[np.int32]) -> pa.Int32Array:
    """Return row numbers as an array."""
    numbers = np.ascontiguousarray(values, np.int32)
    return pa.Array.from_buffers(pa.int32(), len(numbers), [None, pa.py_buffer(numbers)])


def without_folder_markers(rows: pa.RecordBatch) -> pa.RecordBatch:
    """Leave out objects of no content whose key ends with a slash: consoles make them to show folders."""
    has_content = rows["size_bytes"].cast(pa.bool_())
    if has_content.true_count == len(has_content):
        return rows
    return rows.filter(pc.or_(has_content, pc.invert(pc.ends_with(rows["key"], "/"))))
