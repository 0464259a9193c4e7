"""Write rows that arrive from many ranges at once as one sorted sequence of Parquet files.

The range that is next in the order of keys goes straight into the file; the others wait on disk,
uncompressed, until their turn. So memory stays flat, and the files do not depend on which page came first:
the same bucket gives the same bytes.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cloud_sync.objects.rows import LISTING_SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterator
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


class PartsWriter:
    """Writes `<folder>/part-<nnnn>.parquet`, each with `part_rows` rows but the last.

    Attributes:
        parts: Name and rows of each file written so far.
        total_bytes: Sum of the sizes of the objects written so far.
    """

    def __init__(self, run_folder: RunFolder, folder: str, part_rows: int) -> None:
        self.parts: list[tuple[str, int]] = []
        self.total_bytes = 0
        self._run_folder = run_folder
        self._folder = folder
        self._part_rows = part_rows
        self._open = ExitStack()
        self._writer: pq.ParquetWriter | None = None
        self._rows_in_part = 0
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
        """Add rows that follow those before."""
        while batch.num_rows:
            room = min(ROWS_PER_GROUP, self._part_rows - self._rows_in_part) - self._rows_waiting
            taken, batch = batch.slice(0, room), batch.slice(room)
            self._waiting.append(taken)
            self._rows_waiting += taken.num_rows
            if self._rows_waiting == min(ROWS_PER_GROUP, self._part_rows - self._rows_in_part):
                self._write_group()

    def _write_group(self) -> None:
        if not self._rows_waiting:
            return
        group = pa.Table.from_batches(self._waiting, LISTING_SCHEMA)
        self._parquet().write_table(group, row_group_size=ROWS_PER_GROUP)
        self.total_bytes += pc.sum(group["size_bytes"]).as_py()
        self._rows_in_part += self._rows_waiting
        self._waiting, self._rows_waiting = [], 0
        if self._rows_in_part == self._part_rows:
            self._close_part()

    def _parquet(self) -> pq.ParquetWriter:
        if self._writer is None:
            name = f"{self._folder}/part-{len(self.parts):04d}.parquet"
            path = self._open.enter_context(self._run_folder.writing(name))
            self._writer = self._open.enter_context(pq.ParquetWriter(path, LISTING_SCHEMA, **PARQUET_OPTIONS))
            self.parts.append((name, 0))
        return self._writer

    def _close_part(self) -> None:
        if self._writer is not None:
            self._open.close()
            self.parts[-1] = (self.parts[-1][0], self._rows_in_part)
            self._writer, self._rows_in_part = None, 0


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
