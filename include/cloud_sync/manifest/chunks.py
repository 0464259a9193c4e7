"""Cut the files to register into chunks of whole items, one chunk a manifest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cloud_sync.encord_limits import MAX_TITLE_CHARACTERS
from cloud_sync.manifest.items import Item, VideoMetadata
from cloud_sync.manifest.model import reading_table
from cloud_sync.titles import short_title

if TYPE_CHECKING:
    from numpy.typing import NDArray

# A manifest is held in memory, so it also ends when it has so many files, or so much client metadata. Encord
# takes 1,000,000 URLs and 100 MB.
MAX_FILES: Final = 100_000
MAX_METADATA_BYTES: Final = 16_000_000

ROWS_AT_ONCE: Final = 1000

# The columns of `register.parquet`.
FILE_COLUMNS: Final = ("key", "size_bytes", "last_modified", "etag", "item_type", "item_key", "position")

_DECODE_VIDEO: Final = msgspec.json.Decoder(VideoMetadata).decode


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some whole items.

    Attributes:
        files: Their files, the columns `FILE_COLUMNS`.
        starts: The row of each item's first file.
        described: Title and metadata of each item, as the plan stage writes them; None if it wrote none.
    """

    files: pa.Table
    starts: NDArray[np.int64]
    described: pa.Table | None

    def titles(self) -> list[str | None] | None:
        """Return the title of each item, with which it is sent; None if no item has one."""
        titles: list[str | None]
        if self.described is not None:
            titles = self.described["title"].to_pylist()
        else:
            titles = [None] * len(self.starts)
        longest = pc.max(pc.binary_length(self.files["key"])).as_py()
        if longest > MAX_TITLE_CHARACTERS:
            keys = self.files["key"].take(pa.array(self.starts)).to_pylist()
            titles = [title or short_title(key) for title, key in zip(titles, keys, strict=True)]
        return titles if any(titles) else None

    def per_file(self, values: Sequence[Any]) -> pa.Array:
        """Return the values of items as a column of their files."""
        counts = np.diff(self.starts, append=self.files.num_rows)
        return pa.array(values, pa.string()).take(pa.array(np.repeat(np.arange(len(self.starts)), counts)))

    def items(self, urls: Sequence[str], titles: Sequence[str | None] | None) -> Iterator[Item]:
        """Yield the items.

        Args:
            urls: The object URL of each file.
            titles: The title of each item, or None.
        """
        titles = titles or [None] * len(self.starts)
        types = self.files["item_type"].take(pa.array(self.starts)).to_pylist()
        if len(self.starts) == len(urls):
            files: Iterator[tuple[str, ...]] = zip(urls)
        else:
            ends = [*self.starts[1:].tolist(), len(urls)]
            files = (tuple(urls[a:b]) for a, b in zip(self.starts.tolist(), ends, strict=True))
        if self.described is None:
            return map(Item, types, files, titles)
        return map(Item, types, files, titles, *self._metadata())

    def _metadata(self) -> tuple[Iterator[Any], Iterator[Any]]:
        assert self.described is not None  # noqa: S101 (only called then)
        client, video = (self.described[name].to_pylist() for name in ("client_metadata", "video_metadata"))
        return (
            (msgspec.json.decode(text) if text else None for text in client),
            (_DECODE_VIDEO(text) if text else None for text in video),
        )


def open_rows(path: Path) -> pq.ParquetFile:
    """Open a Parquet file that an earlier stage wrote.

    Raises:
        StorageError: It is missing, or its end is.
    """
    with reading_table(path):
        return pq.ParquetFile(path)


def count_items(rows: pq.ParquetFile) -> int:
    """Return how many items a file of files to register has."""
    batches = rows.iter_batches(columns=["position"])
    return sum(pc.sum(pc.equal(batch["position"], 0)).as_py() or 0 for batch in batches)


def chunks(rows: pq.ParquetFile, metadata_path: Path | None, size: int) -> Iterator[Chunk]:
    """Yield chunks of `size` items and a last smaller one, whatever the file's row groups are.

    A chunk ends earlier at `MAX_FILES` files or `MAX_METADATA_BYTES` bytes of client metadata, but always has
    an item.

    Args:
        rows: `register.parquet`.
        metadata_path: `metadata.parquet`; None if there is none.
        size: Items in a chunk.
    """
    described = _Described(metadata_path) if metadata_path is not None else None
    rest = rows.schema_arrow.empty_table().select(FILE_COLUMNS)
    for batch in rows.iter_batches(batch_size=size, columns=list(FILE_COLUMNS)):
        rest = pa.concat_tables([rest, pa.Table.from_batches([batch], rest.schema)])
        starts = _starts(rest)
        # The last item may go on in the next batch.
        while len(starts) > size or (len(starts) > 1 and rest.num_rows > MAX_FILES):
            yield (chunk := _first_items(rest, starts[:size], starts[1:], described))
            rest = rest.slice(chunk.files.num_rows)
            starts = starts[len(chunk.starts) :] - chunk.files.num_rows
    while rest.num_rows:
        starts = _starts(rest)
        yield (chunk := _first_items(rest, starts[:size], np.append(starts[1:], rest.num_rows), described))
        rest = rest.slice(chunk.files.num_rows)


def _starts(files: pa.Table) -> NDArray[np.int64]:
    return np.flatnonzero(files["position"].to_numpy() == 0)


def _first_items(
    files: pa.Table, starts: NDArray[np.int64], ends: NDArray[np.int64], described: _Described | None
) -> Chunk:
    """Return the first items that fit into one chunk."""
    items = min(len(starts), len(ends), max(1, int(np.searchsorted(ends, MAX_FILES, "right"))))
    metadata = described.take(items) if described else None
    items = metadata.num_rows if metadata else items
    return Chunk(files.slice(0, int(ends[items - 1])), starts[:items], metadata)


class _Described:
    """Reads `metadata.parquet` in step with the items."""

    def __init__(self, path: Path) -> None:
        self._file = open_rows(path)
        self._batches = self._file.iter_batches(batch_size=ROWS_AT_ONCE)
        self._rest = self._file.schema_arrow.empty_table()

    def take(self, most: int) -> pa.Table:
        """Return the next items: so many at most, and fewer where their client metadata is large."""
        while self._rest.num_rows < most and (batch := next(self._batches, None)):
            self._rest = pa.concat_tables([self._rest, pa.Table.from_batches([batch])])
        sizes = pc.fill_null(pc.binary_length(self._rest["client_metadata"].slice(0, most)), 0)
        fitting = int(np.searchsorted(np.cumsum(sizes.to_numpy()), MAX_METADATA_BYTES, "right"))
        taken = self._rest.slice(0, min(most, max(1, fitting)))
        self._rest = self._rest.slice(taken.num_rows)
        return taken
