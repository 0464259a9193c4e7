"""List the objects under a prefix to Parquet files: streamed, in parallel, exactly, in the order of keys."""

from __future__ import annotations

import queue
import shutil
import tempfile
import threading
import time
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from cloud_sync.errors import StorageError
from cloud_sync.objects.parts import PartsWriter, Spill
from cloud_sync.objects.range_reader import RangeReader
from cloud_sync.objects.rows import without_folder_markers
from cloud_sync.objects.spans import Known, find_units
from cloud_sync.objects.tally import Tally
from cloud_sync.pace import Pace
from cloud_sync.run_folder import FileRef, sha256_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from cloud_sync.objects.model import ObjectStore
    from cloud_sync.objects.spans import Unit
    from cloud_sync.run_folder import RunFolder

FOLDER = "listing"
INDEX = f"{FOLDER}/index.json"
PART_ROWS = 250_000
PAGES_IN_FLIGHT = 32
BATCHES_WAITING = 8
"""Pages between the listing threads and the writer: bounds memory, evens out pauses."""
POLL_S = 0.2
LONGEST_FAREWELL_S = 5.0


@dataclass(frozen=True, slots=True)
class Listing:
    """What a listing found; the rows stand in the Parquet files that the index names.

    Attributes:
        index: `listing/index.json`, with the counts `objects` and `bytes`.
        objects: Objects listed.
        total_bytes: Sum of their sizes.
        requests: Pages asked of the store.
        folder_markers: Objects of no content whose key ends with a slash; they are left out.
        seconds: Wall time.
    """

    index: FileRef
    objects: int
    total_bytes: int
    requests: int
    folder_markers: int
    seconds: float


def list_objects(
    store: ObjectStore,
    prefix: str,
    folder: RunFolder,
    *,
    pages_in_flight: int = PAGES_IN_FLIGHT,
    part_rows: int = PART_ROWS,
    on_objects: Callable[[int], None] | None = None,
) -> Listing:
    """List every object whose key starts with `prefix` into `listing/part-<nnnn>.parquet`.

    Files of an earlier try are removed first. Keys are exact; folder markers (no content, key ends with a
    slash) are left out and counted.

    Args:
        store: The bucket.
        prefix: A string prefix: `raw/cam` also lists `raw/camera1/x.jpg`. Empty for the whole bucket.
        folder: The run folder.
        pages_in_flight: How many pages are asked for at the same time at most; as many as the store's
            answers are slow.
        part_rows: Rows of a Parquet file.
        on_objects: Called with the number of objects of each page that has arrived.

    Raises:
        ObjectStoreError: The store refused, or failed for longer than the retries last.
        StorageError: The run folder cannot be written.
    """
    try:
        with _system_memory():
            return _listed(store, prefix, folder, pages_in_flight, part_rows, on_objects=on_objects)
    except OSError as error:
        raise StorageError(
            f"the listing cannot be written: {error.strerror or type(error).__name__}.",
            where=str(folder.path(FOLDER)),
            remedy="Check the disk and the permissions of the state folder.",
            transient=True,
        ) from error


def _listed(
    store: ObjectStore,
    prefix: str,
    folder: RunFolder,
    pages_in_flight: int,
    part_rows: int,
    *,
    on_objects: Callable[[int], None] | None,
) -> Listing:
    started, listed_at = time.monotonic(), datetime.now(UTC)
    _remove_old_files(folder)
    tally = Tally()
    units = find_units(store, prefix, pages_in_flight, tally)
    with PartsWriter(folder, FOLDER, part_rows) as writer, _spill_folder(folder) as spills:
        turns = Turns(writer, Path(spills))
        with Crew(store, units, tally, pages_in_flight) as crew:
            for unit, batch in crew.arriving():
                turns.take(unit, batch)
                if on_objects and batch is not None:
                    on_objects(batch.num_rows)
    return _indexed(folder, prefix, writer, tally, listed_at=listed_at, seconds=time.monotonic() - started)


class Turns:
    """Puts what arrives into the order of keys: a range writes when all ranges before it are complete."""

    def __init__(self, writer: PartsWriter, spill_folder: Path) -> None:
        self._writer = writer
        self._spill_folder = spill_folder
        self._spills: dict[int, Spill] = {}
        self._complete: set[int] = set()
        self._turn = 0

    def take(self, unit: int, batch: pa.RecordBatch | None) -> None:
        """Take rows of a range, or None when it is complete."""
        if batch is None:
            self._complete.add(unit)
            if spill := self._spills.get(unit):
                spill.close()
            self._advance()
        elif unit == self._turn:
            self._writer.write(batch)
        else:
            if unit not in self._spills:
                self._spills[unit] = Spill(self._spill_folder / f"{unit}.arrow")
            self._spills[unit].write(batch)

    def _advance(self) -> None:
        while self._turn in self._complete:
            self._complete.discard(self._turn)
            self._turn += 1
            if spill := self._spills.pop(self._turn, None):
                for batch in spill.drained():
                    self._writer.write(batch)


class Crew:
    """Reads the ranges: the caller itself while the store is fast, then threads beside it.

    Threads that take turns at the interpreter's lock cost half as much CPU again, so they must be worth it.
    What they read arrives in one bounded queue.
    """

    def __init__(self, store: ObjectStore, units: Sequence[Unit], tally: Tally, size: int) -> None:
        self._store = store
        self._tally = tally
        self._stopped = threading.Event()
        self._pace = Pace(min(size, len(units)))
        self._left = len(units)
        self._to_do = deque(enumerate(map(self._batches, units)))
        self._arrived: queue.Queue[tuple[int, pa.RecordBatch | BaseException | None]] = queue.Queue(
            BATCHES_WAITING
        )
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Crew:
        """Begin; nothing is read before somebody asks for what arrives."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop reading. Each thread ends with the page that it is at; after an error nobody waits for all."""
        self._stopped.set()
        deadline = time.monotonic() + LONGEST_FAREWELL_S
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def arriving(self) -> Iterator[tuple[int, pa.RecordBatch | None]]:
        """Yield (range, rows) as they arrive, and (range, None) when a range is complete.

        Raises:
            ObjectStoreError: The first error of any range.
        """
        yield from self._alone()
        while self._left:
            self._grow()
            unit, arrived = self._arrived.get()
            if isinstance(arrived, BaseException):
                raise arrived
            self._left -= arrived is None
            yield unit, arrived

    def _alone(self) -> Iterator[tuple[int, pa.RecordBatch | None]]:
        """Read in the caller's thread, one page at a time, until more are worth it."""
        while self._to_do:
            unit, batches = self._to_do.popleft()
            for batch in batches:
                yield unit, batch
                if self._pace.worth > 1:
                    self._to_do.appendleft((unit, batches))
                    return
            self._left -= 1
            yield unit, None

    def _grow(self) -> None:
        """Start the threads that are worth it by now, as long as there are ranges for them."""
        while len(self._threads) < self._pace.worth and self._to_do:
            thread = threading.Thread(target=self._work, name=f"list-{len(self._threads)}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _work(self) -> None:
        while not self._stopped.is_set():
            try:
                unit, batches = self._to_do.popleft()
            except IndexError:
                return
            try:
                for batch in batches:
                    self._hand_over(unit, batch)
                    if self._stopped.is_set():
                        return
                self._hand_over(unit, None)
            except BaseException as error:
                self._hand_over(unit, error)
                return

    def _batches(self, unit: Unit) -> Iterator[pa.RecordBatch]:
        for page in self._pages(unit):
            rows = without_folder_markers(page)
            self._tally.add(folder_markers=page.num_rows - rows.num_rows)
            if rows.num_rows:
                yield rows

    def _pages(self, unit: Unit) -> Iterator[pa.RecordBatch]:
        if isinstance(unit, Known):
            return iter((unit.rows,))
        reader = RangeReader(self._store, tally=self._tally, pace=self._pace, stopped=self._stopped)
        return reader.pages(unit)

    def _hand_over(self, unit: int, what: pa.RecordBatch | BaseException | None) -> None:
        while not self._stopped.is_set():
            try:
                self._arrived.put((unit, what), timeout=POLL_S)
            except queue.Full:
                continue
            return


@contextmanager
def _system_memory() -> Iterator[None]:
    """Let Arrow use the system's allocator: its own keeps what many threads have freed, 30 MB at the peak."""
    before = pa.default_memory_pool()
    pa.set_memory_pool(pa.system_memory_pool())
    try:
        yield
    finally:
        pa.set_memory_pool(before)


def _remove_old_files(folder: RunFolder) -> None:
    """Remove what an earlier try left, the index first, so that no index names a missing part."""
    folder.path(INDEX).unlink(missing_ok=True)
    if folder.path(FOLDER).exists():
        shutil.rmtree(folder.path(FOLDER))


def _spill_folder(folder: RunFolder) -> tempfile.TemporaryDirectory[str]:
    folder.path(FOLDER).mkdir(parents=True, exist_ok=True)
    return tempfile.TemporaryDirectory(prefix=".waiting-", dir=folder.path(FOLDER))


def _indexed(
    folder: RunFolder, prefix: str, writer: PartsWriter, tally: Tally, *, listed_at: datetime, seconds: float
) -> Listing:
    parts = [
        {"path": name, "rows": rows, "sha256": sha256_of(folder.path(name))} for name, rows in writer.parts
    ]
    objects = sum(rows for _, rows in writer.parts)
    index: dict[str, Any] = {
        "prefix": prefix,
        "listed_at": listed_at.isoformat(),
        "parts": parts,
        "objects": objects,
        "bytes": writer.total_bytes,
        "requests": tally.requests,
        "folder_markers": tally.folder_markers,
        "resumed": tally.resumed,
        "seconds": round(seconds, 3),
    }
    folder.write_json(INDEX, index)
    return Listing(
        index=folder.ref(INDEX, objects=objects, bytes=writer.total_bytes),
        objects=objects,
        total_bytes=writer.total_bytes,
        requests=tally.requests,
        folder_markers=tally.folder_markers,
        seconds=seconds,
    )
