"""Write rows that arrive from many ranges at once as one sorted sequence of Parquet files.

The range that is next in the order of keys goes straight into the file; the others wait on disk,
uncompressed, until their turn. So memory stays flat, and the files do not depend on which page came first:
the same bucket gives the same bytes.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cloud_sync.objects.rows import LISTING_SCHEMA, without_folder_markers
from cloud_sync.objects.windows import is_rising

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path
    from types import TracebackType

    from cloud_sync.run_folder import RunFolder

ROWS_PER_GROUP = 20_000

PARQUET_OPTIONS: dict[str, Any] = {
    # Sorted keys share their beginnings and times lie close together: delta encodings halve the file and cost
    # less CPU than dictionaries, which unique keys and etags fill in vain.
    "use_dictionary": False,
    "column_encoding": {
        "key": "DELTA_BYTE_ARRAY",
        "size_bytes": "DELTA_BINARY_PACKED",
        "last_modified": "DELTA_BINARY_PACKED",
        "etag": "DELTA_LENGTH_BYTE_ARRAY",
    },
    "compression": "zstd",
    "compression_level": 1,
}


@dataclass(frozen=True, slots=True)
class Part:
    """One file of a listing.

    Attributes:
        path: Its name in the run folder.
        sha256: Hex digest of its bytes.
        rows: Objects in it.
        total_bytes: Sum of their sizes.
        folder_markers: Objects left out of it: of no content, with a key that ends with a slash.
        last_key: The key of its last row.
    """

    path: str
    sha256: str
    rows: int
    total_bytes: int
    folder_markers: int
    last_key: str


class PartsWriter:
    """Writes `<folder>/part-<nnnn>.parquet`, each with `part_rows` rows but the last.

    Args:
        run_folder: Where to.
        folder: A folder in it.
        part_rows: Rows of a file.
        parts: Files of an earlier try, to go on behind.
        on_full: Called with this writer when a file with all its rows is written durably.

    Attributes:
        parts: The files written so far.
        folder_markers: Objects left out since the last file.
        in_order: Whether all keys so far stand in the order of their bytes.
    """

    def __init__(
        self,
        run_folder: RunFolder,
        folder: str,
        part_rows: int,
        *,
        parts: Sequence[Part] = (),
        on_full: Callable[[PartsWriter], None] | None = None,
    ) -> None:
        self.parts = list(parts)
        self.folder_markers = 0
        self.in_order = True
        self._run_folder = run_folder
        self._folder = folder
        self._part_rows = part_rows
        self._on_full = on_full
        self._open = ExitStack()
        self._writer: pq.ParquetWriter | None = None
        self._rows_in_part = 0
        self._bytes_in_part = 0
        self._last_key = self.parts[-1].last_key if self.parts else ""
        self._waiting: list[pa.RecordBatch] = []
        self._rows_waiting = 0

    def __enter__(self) -> Self:
        """Start; nothing is written yet."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Finish the last file, or drop it if something went wrong."""
        if kind is None:
            self._write_group()
            self._close_part()
        else:
            self._open.__exit__(kind, error, trace)

    def write(self, batch: pa.RecordBatch) -> None:
        """Add rows that follow those before; folder markers among them are left out and counted."""
        rows = without_folder_markers(batch)
        left_out = batch.num_rows - rows.num_rows
        if left_out and self._rows_in_part + self._rows_waiting + rows.num_rows >= self._part_rows:
            # A file ends in here, and what is left out behind its last row counts with the next.
            for place in range(batch.num_rows):
                row = without_folder_markers(batch.slice(place, 1))
                self.folder_markers += 1 - row.num_rows
                self._add(row)
            return
        self.folder_markers += left_out
        self._add(rows)

    def _add(self, rows: pa.RecordBatch) -> None:
        while rows.num_rows:
            room = min(ROWS_PER_GROUP, self._part_rows - self._rows_in_part) - self._rows_waiting
            taken, rows = rows.slice(0, room), rows.slice(room)
            self._waiting.append(taken)
            self._rows_waiting += taken.num_rows
            if self._rows_waiting == min(ROWS_PER_GROUP, self._part_rows - self._rows_in_part):
                self._write_group()

    def _write_group(self) -> None:
        if not self._rows_waiting:
            return
        group = pa.Table.from_batches(self._waiting, LISTING_SCHEMA)
        keys = pa.concat_arrays(group["key"].chunks)
        self.in_order = self.in_order and keys[0].as_py() > self._last_key and is_rising(keys)
        self._last_key = keys[-1].as_py()
        self._parquet().write_table(group, row_group_size=ROWS_PER_GROUP)
        self._bytes_in_part += pc.sum(group["size_bytes"]).as_py()
        self._rows_in_part += self._rows_waiting
        self._waiting, self._rows_waiting = [], 0
        if self._rows_in_part == self._part_rows:
            self._close_part()
            if self._on_full is not None:
                self._on_full(self)

    def _parquet(self) -> pq.ParquetWriter:
        if self._writer is None:
            path = self._open.enter_context(self._run_folder.writing(self._next_name()))
            self._writer = self._open.enter_context(pq.ParquetWriter(path, LISTING_SCHEMA, **PARQUET_OPTIONS))
        return self._writer

    def _next_name(self) -> str:
        return f"{self._folder}/part-{len(self.parts):04d}.parquet"

    def _close_part(self) -> None:
        if self._writer is None:
            return
        self._open.close()
        # Many threads leave their memory in pieces; without this a listing of ten million grows by 10 MB.
        pa.default_memory_pool().release_unused()
        name = self._next_name()
        self.parts.append(
            Part(
                name,
                self._run_folder.digest(name),
                self._rows_in_part,
                self._bytes_in_part,
                self.folder_markers,
                self._last_key,
            )
        )
        self._writer, self._rows_in_part, self._bytes_in_part, self.folder_markers = None, 0, 0, 0


class Spill:
    """Rows of one range that wait on disk for their turn."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._sink = pa.OSFile(str(path), "wb")
        self._writer = pa.ipc.new_stream(self._sink, LISTING_SCHEMA)

    def write(self, batch: pa.RecordBatch) -> None:
        """Add rows."""
        self._writer.write_batch(batch)

    def close(self) -> None:
        """Finish writing: many ranges may wait, and open files are limited."""
        if not self._sink.closed:
            self._writer.close()
            self._sink.close()

    def drained(self) -> Iterator[pa.RecordBatch]:
        """Yield all rows, then remove the file."""
        self.close()
        source = pa.OSFile(str(self._path), "rb")
        with source, pa.ipc.open_stream(source) as reader:
            yield from reader
        self._path.unlink()
