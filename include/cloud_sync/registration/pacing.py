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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cloud_sync.errors import StorageError
from cloud_sync.retry_after import LONGEST_PAUSE_S
from cloud_sync.run_folder import RunFolder

log = logging.getLogger(__name__)

FIRST_BACKOFF_S = 1.0
LONGEST_BACKOFF_S = 60.0
CLOCK_SKEW_S = 60.0  # as far apart the clocks of two workers may be
MOST_REFUSALS = 16  # beyond that the power is only a large number
SPREAD_S = 2.0
LOCK_TRIES, LOCK_PAUSE_S = 20, 0.01


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
        path: The file, one for each Encord connection; None for a pace that only this object keeps.
        wall: Seconds since 1970 UTC.
        steady: Seconds of a clock that is never moved.
        draw: Draws a number between two others.
    """

    def __init__(
        self,
        path: Path | None = None,
        *,
        wall: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
        draw: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.path = path
        self._wall = wall
        self._steady = steady
        self._draw = draw
        self._own_state = NO_PACE
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
        with self._lock, self._file_lock():
            state, now = self._state_now(), self._wall()
            if retry_after_s is None and now < state.not_before:
                return  # asked before the present pause was known
            pause_s = self._backoff_s(state.refusals) if retry_after_s is None else retry_after_s
            pause_s = min(max(pause_s, 0.0), LONGEST_PAUSE_S)
            self._own_not_before = max(self._own_not_before, self._steady() + pause_s)
            refusals = min(state.refusals + 1, MOST_REFUSALS)
            self._keep(PaceState(max(state.not_before, now + pause_s), now, refusals))

    def answered(self) -> None:
        """Note that Encord answered, so that the next refusal costs less."""
        if not self._state_now().refusals:
            return
        with self._lock, self._file_lock():
            state, now = self._state_now(), self._wall()
            if now >= state.not_before:
                self._keep(PaceState(state.not_before, now, max(state.refusals - 1, 0)))

    def _backoff_s(self, refusals: int) -> float:
        return self._draw(0.0, min(LONGEST_BACKOFF_S, FIRST_BACKOFF_S * 2.0**refusals))

    def _state_now(self) -> PaceState:
        """Return what holds now: of a file from the future, or one that asks for too long, nothing does."""
        state, now = self._read(), self._wall()
        moved = state.written_at > now + CLOCK_SKEW_S
        too_long = state.not_before > state.written_at + LONGEST_PAUSE_S + CLOCK_SKEW_S
        return NO_PACE if moved or too_long else state

    def _read(self) -> PaceState:
        if self.path is None:
            return self._own_state
        try:
            return PaceState.from_json(RunFolder(self.path.parent).read_json(self.path.name))
        except (StorageError, ValueError, TypeError, KeyError, OverflowError):
            return NO_PACE

    def _keep(self, state: PaceState) -> None:
        if self.path is None:
            self._own_state = state
            return
        value = {
            "not_before": state.not_before,
            "written_at": state.written_at,
            "refusals": state.refusals,
        }
        try:
            RunFolder(self.path.parent).write_json(self.path.name, value)
        except StorageError as error:
            log.debug("The pace is not shared: %s", error)

    @contextmanager
    def _file_lock(self) -> Iterator[None]:
        """Have the file alone for a moment if that can be had, so that no pause is overwritten."""
        if self.path is None:
            yield
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            file = self.path.with_suffix(".lock").open("ab")
        except OSError:
            yield
            return
        with file:
            _try_to_lock(file.fileno())
            yield


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
