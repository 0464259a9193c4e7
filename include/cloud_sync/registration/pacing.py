"""How long to leave Encord alone: what one request was told counts for every process that asks."""

from __future__ import annotations

import fcntl
import logging
import math
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from cloud_sync.errors import CloudSyncError, StorageError
from cloud_sync.retry_after import LONGEST_PAUSE_S
from cloud_sync.run_folder import RunFolder
from cloud_sync.run_folder.files import Tag

log = logging.getLogger(__name__)

FIRST_BACKOFF_S = 1.0
LONGEST_BACKOFF_S = 60.0
CLOCK_SKEW_S = 60.0  # as far apart the clocks of two workers may be
MOST_REFUSALS = 16  # beyond that the power is only a large number
SPREAD_S = 2.0
LOCK_TRIES, LOCK_PAUSE_S = 20, 0.01
# Of a pace in a bucket: how old what was read may be, and how often to write against others.
READ_EVERY_S, SWAP_TRIES = 1.0, 5


@dataclass(frozen=True, slots=True)
class PaceState:
    """What the file holds.

    Attributes:
        not_before: When the next request may be made, in seconds since 1970 UTC.
        written_at: When that was decided, by the same clock.
        refusals: Refusals in a row, less the answers since.
    """

    not_before: float
    written_at: float
    refusals: int

    @classmethod
    def from_json(cls, data: Any) -> PaceState:
        """Inverse of `dataclasses.asdict`.

        Raises:
            ValueError: It is not one; also TypeError and KeyError.
        """
        not_before, written_at = float(data["not_before"]), float(data["written_at"])
        if not (math.isfinite(not_before) and math.isfinite(written_at)):
            raise ValueError("not a time")
        return cls(not_before, written_at, min(max(int(data["refusals"]), 0), MOST_REFUSALS))


NO_PACE = PaceState(not_before=0.0, written_at=0.0, refusals=0)


class SharedPace:
    """Asked before each request to Encord, told after it; may be shared by threads and processes.

    A refusal (429 or 503) sets the moment before which nobody asks again: the one that Encord names,
    at most 6 hours away, or else one drawn between now and a limit that doubles with each refusal and
    halves with each answer. Whoever shares the file keeps to it, on whatever worker; the process that was
    refused keeps to it by its own steady clock as well, wherever the wall clock is moved. A file that
    cannot be read or written, or that is from the future, sets no pace: pacing is never an error.

    Args:
        file: The file, one for each Encord connection, or such a file of a folder in a bucket; None for a
            pace that only this object keeps.
        wall: Seconds since 1970 UTC.
        steady: Seconds of a clock that is never moved.
        draw: Draws a number between two others.
    """

    def __init__(
        self,
        file: Path | PaceFile | None = None,
        *,
        wall: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
        draw: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._file = FileOnDisk(file) if isinstance(file, Path) else file
        self._wall = wall
        self._steady = steady
        self._draw = draw
        self._own: Any = None
        self._own_not_before = -math.inf
        self._lock = threading.Lock()

    def wait_s(self) -> float:
        """Return the seconds until a request may be made; 0 if it may be made now."""
        left_s = max(self._state_now().not_before - self._wall(), self._own_not_before - self._steady())
        return min(max(left_s, 0.0), LONGEST_PAUSE_S)

    def spread_s(self, wait_s: float) -> float:
        """Return a wait a little longer than it need be, so that those who wait do not come back at once."""
        return wait_s + self._draw(0.0, min(SPREAD_S, wait_s / 4))

    def refused(self, retry_after_s: float | None) -> None:
        """Note that Encord asked for fewer requests.

        Args:
            retry_after_s: For how long; None if it did not say.
        """

        def slower(state: PaceState, now: float) -> PaceState | None:
            if retry_after_s is None and now < state.not_before:
                return None  # asked before the present pause was known
            pause_s = self._backoff_s(state.refusals) if retry_after_s is None else retry_after_s
            pause_s = min(max(pause_s, 0.0), LONGEST_PAUSE_S)
            self._own_not_before = max(self._own_not_before, self._steady() + pause_s)
            refusals = min(state.refusals + 1, MOST_REFUSALS)
            return PaceState(max(state.not_before, now + pause_s), now, refusals)

        self._change(slower)

    def answered(self) -> None:
        """Note that Encord answered, so that the next refusal costs less."""
        if not self._state_now().refusals:
            return

        def faster(state: PaceState, now: float) -> PaceState | None:
            if now < state.not_before:
                return None
            return PaceState(state.not_before, now, max(state.refusals - 1, 0))

        self._change(faster)

    def _change(self, change: Callable[[PaceState, float], PaceState | None]) -> None:
        """Replace what holds by what `change` makes of it; None leaves it as it is."""

        def changed(value: Any) -> Any:
            now = self._wall()
            state = change(_holding(value, now), now)
            return None if state is None else asdict(state)

        with self._lock:
            if self._file is None:
                self._own = changed(self._own) or self._own
                return
            try:
                self._file.change(changed)
            except CloudSyncError as error:
                log.debug("The pace is not shared: %s", error)

    def _backoff_s(self, refusals: int) -> float:
        return self._draw(0.0, min(LONGEST_BACKOFF_S, FIRST_BACKOFF_S * 2.0**refusals))

    def _state_now(self) -> PaceState:
        value = self._own
        if self._file is not None:
            try:
                value = self._file.read()
            except CloudSyncError:
                value = None
        return _holding(value, self._wall())


def _holding(value: Any, now: float) -> PaceState:
    """Return what holds now: of a file from the future, or one that asks for too long, nothing does."""
    try:
        state = PaceState.from_json(value)
    except (ValueError, TypeError, KeyError, OverflowError):
        return NO_PACE
    moved = state.written_at > now + CLOCK_SKEW_S
    too_long = state.not_before > state.written_at + LONGEST_PAUSE_S + CLOCK_SKEW_S
    return NO_PACE if moved or too_long else state


class PaceFile(Protocol):
    """Where a pace is kept. May raise StorageError."""

    def read(self) -> Any:
        """Return the value."""

    def change(self, change: Callable[[Any], Any]) -> None:
        """Replace the value by what `change` makes of it; None leaves it as it is."""


class FileOnDisk:
    """A pace in a file on a disk that all workers share."""

    def __init__(self, path: Path) -> None:
        self._folder = RunFolder(path.parent)
        self._path = path

    def read(self) -> Any:
        """Return the value."""
        return self._folder.read_json(self._path.name)

    def change(self, change: Callable[[Any], Any]) -> None:
        """Replace the value, alone for a moment if that can be had, so that no pause is overwritten."""
        with self._alone():
            try:
                value = self.read()
            except StorageError:
                value = None
            if (changed := change(value)) is not None:
                self._folder.write_json(self._path.name, changed)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            file = self._path.with_suffix(".lock").open("ab")
        except OSError:
            yield
            return
        with file:
            _try_to_lock(file.fileno())
            yield


class FileInBucket:
    """A pace in an object. It is read once in a while only, as it is asked for before each request to Encord.

    Args:
        folder: Its folder.
        name: Its name there.
        steady: Seconds of a clock that is never moved.
    """

    def __init__(self, folder: RunFolder, name: str, *, steady: Callable[[], float] = time.monotonic) -> None:
        self._folder = folder
        self._name = name
        self._steady = steady
        self._value: Any = None
        self._fresh_until = -math.inf

    def read(self) -> Any:
        """Return the value, as it was a second ago at most."""
        if self._steady() >= self._fresh_until:
            self._read_now()
        return self._value

    def change(self, change: Callable[[Any], Any]) -> None:
        """Replace the value, unless others are faster again and again."""
        for _ in range(SWAP_TRIES):
            try:
                tag = self._read_now()
            except CloudSyncError:
                change(None)  # this process at least keeps to it
                raise
            if (changed := change(self._value)) is None:
                return
            if self._folder.swap_json(self._name, changed, tag):
                self._value = changed
                return

    def _read_now(self) -> Tag | None:
        self._fresh_until = self._steady() + READ_EVERY_S
        found = self._folder.read_tagged_json(self._name)
        self._value = found[0] if found is not None else None
        return found[1] if found is not None else None


def _try_to_lock(handle: int) -> None:
    for _ in range(LOCK_TRIES):
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(LOCK_PAUSE_S)
        except OSError:  # a file system without locks
            return
        else:
            return
