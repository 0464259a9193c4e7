"""List the objects under a prefix to Parquet files: streamed, in parallel, exactly, in the order of keys."""

from __future__ import annotations

import logging
import queue
import shutil
import tempfile
import threading
import time
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from cloud_sync.errors import StorageError
from cloud_sync.objects.parts import PartsWriter, Spill
from cloud_sync.objects.progress import Progress, ProgressFile
from cloud_sync.objects.range_reader import RangeReader
from cloud_sync.objects.spans import Known, find_units
from cloud_sync.objects.tally import Tally
from cloud_sync.objects.windows import WHOLE, OutOfOrderError
from cloud_sync.pace import Pace
from cloud_sync.run_folder import FileRef

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from cloud_sync.objects.model import ObjectStore
    from cloud_sync.objects.parts import Part
    from cloud_sync.objects.spans import Unit
    from cloud_sync.objects.windows import Window
    from cloud_sync.run_folder import RunFolder

log = logging.getLogger(__name__)

FOLDER = "listing"
PART_ROWS = 250_000
PAGES_IN_FLIGHT = 32
BATCHES_WAITING = 8
"""Pages between the listing threads and the writer: bounds memory, evens out pauses."""
POLL_S = 0.2
LONGEST_FAREWELL_S = 5.0
SPILLS = ".waiting-"


@dataclass(frozen=True, slots=True)
class Listing:
    """What a listing found; the rows stand in the Parquet files that the index names.

    Attributes:
        index: `listing/index.json`, with the counts `objects` and `bytes`.
        objects: Objects listed.
        total_bytes: Sum of their sizes.
        requests: Pages asked of the store.
        folder_markers: Objects of no content whose key ends with a slash; they are left out.
        seconds: Wall time, with that of earlier tries up to where this one took over.
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
    window: Window = WHOLE,
    name: str = FOLDER,
    attempt: str | None = None,
    pages_in_flight: int = PAGES_IN_FLIGHT,
    part_rows: int = PART_ROWS,
    on_objects: Callable[[int], None] | None = None,
) -> Listing:
    """List every object whose key starts with `prefix` into `listing/part-<nnnn>.parquet`.

    Keys are exact; folder markers (no content, key ends with a slash) are left out and counted.

    With an attempt, the progress is kept after each full file. The next try of the same attempt checks these
    files and lists what lies behind the last of them; objects that came meanwhile before that key are for the
    next run. Another attempt removes all of them first, and so does one where the store has another order of
    keys than that of their bytes. A store that cannot begin a listing at a key lists the folder again in
    which the last file ends.

    Args:
        store: The bucket.
        prefix: A string prefix: `raw/cam` also lists `raw/camera1/x.jpg`. Empty for the whole bucket.
        folder: The run folder.
        window: Which of the keys.
        name: The folder in the run folder.
        attempt: What tries of one listing have in common; None to keep no progress.
        pages_in_flight: How many pages are asked for at the same time at most; as many as the store's
            answers are slow.
        part_rows: Rows of a Parquet file.
        on_objects: Called with the number of entries of each page that has arrived, folder markers included.

    Raises:
        ObjectStoreError: The store refused, or failed for longer than the retries last.
        StorageError: The run folder cannot be written.
    """
    what = {"attempt": attempt, "prefix": prefix, "after": window.after, "to": window.to, "rows": part_rows}
    progress = ProgressFile(folder, f"{name}/progress.json", what) if attempt is not None else None
    job = _Job(store, prefix, folder, name, pages_in_flight, part_rows, on_objects, progress)
    try:
        with _system_memory():
            return _listed_on(job, window)
    except OSError as error:
        raise StorageError(
            f"the listing cannot be written: {error.strerror or type(error).__name__}.",
            where=folder.address(name),
            remedy="Check the disk and the permissions of the state folder.",
            transient=True,
        ) from error


@dataclass(frozen=True, slots=True)
class _Job:
    """What is listed, how, and to where."""

    store: ObjectStore
    prefix: str
    folder: RunFolder
    name: str
    pages_in_flight: int
    part_rows: int
    on_objects: Callable[[int], None] | None
    progress: ProgressFile | None

    @property
    def index(self) -> str:
        return f"{self.name}/index.json"


def _listed_on(job: _Job, window: Window) -> Listing:
    """List what earlier tries have not listed."""
    before = (job.progress.load() if job.progress else None) or Progress(datetime.now(UTC))
    rest = window
    if before.parts:
        rest = replace(window, after=before.parts[-1].last_key)
        log.info(
            "Going on behind %s files of an earlier try, after the key %r", len(before.parts), rest.after
        )
    try:
        return _listed(job, rest, before, window)
    except OutOfOrderError:
        log.info("The store orders keys otherwise than by their bytes: beginning anew, without relying on it")
        anew = replace(window, in_order=False)
        return _listed(job, anew, Progress(before.listed_at), anew)


def _listed(job: _Job, rest: Window, before: Progress, window: Window) -> Listing:
    started = time.monotonic()
    _remove_old_files(job.folder, job.name, keep=before.parts)
    tally = Tally(requests=before.requests, resumed=before.resumed)

    # Given the writer: a function that held it would keep it, and the copies of its files, in a cycle.
    def so_far(writer: PartsWriter) -> Progress:
        seconds = before.seconds + time.monotonic() - started
        return Progress(before.listed_at, tuple(writer.parts), tally.requests, tally.resumed, seconds)

    def keep(writer: PartsWriter) -> None:
        if job.progress is None:
            return
        if rest.in_order and writer.in_order and not tally.out_of_order:
            job.progress.save(so_far(writer))
        else:
            job.progress.forget()

    units = find_units(job.store, job.prefix, job.pages_in_flight, tally, window=rest)
    writer = PartsWriter(job.folder, job.name, job.part_rows, parts=before.parts, on_full=keep)
    with writer, _spill_folder(job.folder, job.name) as spills:
        turns = Turns(writer, Path(spills))
        with Crew(job.store, units, tally, job.pages_in_flight, rest) as crew:
            for unit, batch in crew.arriving():
                turns.take(unit, batch)
                if job.on_objects and batch is not None:
                    job.on_objects(batch.num_rows)
    return _indexed(job, window, so_far(writer), folder_markers=writer.folder_markers)


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

    def __init__(
        self, store: ObjectStore, units: Sequence[Unit], tally: Tally, size: int, window: Window = WHOLE
    ) -> None:
        self._store = store
        self._window = window
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
        return (rows for rows in self._pages(unit) if rows.num_rows)

    def _pages(self, unit: Unit) -> Iterator[pa.RecordBatch]:
        if isinstance(unit, Known):
            return iter((unit.rows,))
        reader = RangeReader(
            self._store, tally=self._tally, pace=self._pace, stopped=self._stopped, window=self._window
        )
        return reader.pages(unit)

    def _hand_over(self, unit: int, what: pa.RecordBatch | BaseException | None) -> None:
        while not self._stopped.is_set():
            try:
                self._arrived.put((unit, what), timeout=POLL_S)
            except queue.Full:
                continue
            return


def remove_listing(folder: RunFolder) -> None:
    """Remove a listing from the run folder, with all of its shards."""
    _remove_old_files(folder, FOLDER, keep=())


@contextmanager
def _system_memory() -> Iterator[None]:
    """Let Arrow use the system's allocator: its own keeps what many threads have freed, 30 MB at the peak."""
    before = pa.default_memory_pool()
    pa.set_memory_pool(pa.system_memory_pool())
    try:
        yield
    finally:
        pa.set_memory_pool(before)


def _remove_old_files(folder: RunFolder, name: str, *, keep: Sequence[Part]) -> None:
    """Remove what an earlier try left, the index first, so that no index names a missing part."""
    folder.remove(f"{name}/index.json")
    if not keep:
        folder.remove_folder(name)
        return
    found = {path for pattern in ("part-*", ".part-*") for path in folder.names(f"{name}/{pattern}")}
    for path in found - {part.path for part in keep}:
        folder.remove(path)


def _spill_folder(folder: RunFolder, name: str) -> tempfile.TemporaryDirectory[str]:
    root = folder.scratch(name)
    for left_by_a_killed_try in root.glob(f"{SPILLS}*"):
        shutil.rmtree(left_by_a_killed_try, ignore_errors=True)
    return tempfile.TemporaryDirectory(prefix=SPILLS, dir=root)


def _indexed(job: _Job, window: Window, done: Progress, *, folder_markers: int) -> Listing:
    objects = sum(part.rows for part in done.parts)
    total_bytes = sum(part.total_bytes for part in done.parts)
    folder_markers += sum(part.folder_markers for part in done.parts)
    index: dict[str, Any] = {
        "prefix": job.prefix,
        "after": window.after,
        "to": window.to,
        "listed_at": done.listed_at.isoformat(),
        "parts": [{"path": part.path, "rows": part.rows, "sha256": part.sha256} for part in done.parts],
        "objects": objects,
        "bytes": total_bytes,
        "requests": done.requests,
        "folder_markers": folder_markers,
        "resumed": done.resumed,
        "seconds": round(done.seconds, 3),
    }
    job.folder.write_json(job.index, index)
    return Listing(
        index=job.folder.ref(job.index, objects=objects, bytes=total_bytes),
        objects=objects,
        total_bytes=total_bytes,
        requests=done.requests,
        folder_markers=folder_markers,
        seconds=done.seconds,
    )
