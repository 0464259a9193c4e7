"""Ask the store about objects: a few small requests each, many side by side, within a budget."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, Protocol, TypeVar

from cloud_sync.errors import StorageError
from cloud_sync.failures.model import Evidence
from cloud_sync.media.completeness import TAIL_BYTES, has_end_mark, is_whole
from cloud_sync.media.sniff import HEAD_BYTES, sniff
from cloud_sync.pace import Pace

T = TypeVar("T")

GENERAL: Final = frozenset({"unreachable", "connection"})
"""Refusals of whatever is asked."""

REQUESTS_AT_MOST: Final = 20_000
"""How many requests one diagnosis may make if nothing else is said: some minutes of a real store."""

FIRST_IN_FLIGHT: Final = 8
MOST_IN_FLIGHT: Final = 64
"""Objects that are asked about at the same time: at first, and where the store takes its time. They wait for
the network, not for this machine; 64 is how many connections a store is given."""

LOOKING_S: Final = 0.0005
"""CPU seconds that asking about one object takes."""

OUTAGE: Final = FIRST_IN_FLIGHT
"""So many objects in a row for which the store cannot be reached, each after the retries of its requests, or
refuses whoever asks, and the others are not waited for."""

PAUSES_S: Final = 900.0
"""How long one diagnosis waits in all while the store asks to be left alone; a listing waits as long for one
pause. If the store asks for more, nothing more is asked, and the next run tries again."""
PAUSES_AT_MOST: Final = 4
"""How often a request that was answered with a pause is made again after it."""


class ObjectReader(Protocol):
    """What diagnosis needs of an object store (`cloud_sync.objects.model.ObjectStore`).

    Each method raises a StorageError with the attributes `reason` (missing, no_bucket, forbidden, archived,
    unreachable, other), `is_general` (about the connection, whatever is asked) and `is_sent` (False if the
    request was not made, because the store asked for a pause).
    """

    def read_start(self, key: str, length: int) -> tuple[int, bytes]:
        """Return the size of an object, and its first `length` bytes."""

    def read_tail(self, key: str, length: int) -> bytes:
        """Return the last `length` bytes."""

    def is_listed(self, key: str) -> bool:
        """Tell whether the store lists an object."""


class BudgetSpent(Exception):  # noqa: N818 (no error: what was allowed has been used)
    """There is no request left."""


class PauseTooLong(Exception):  # noqa: N818 (no error of the object: it was not asked about)
    """The store asked to be left alone for longer than is waited here."""


class Pauses:
    """Waits while a store asks to be left alone, up to `PAUSES_S` in all; for many threads.

    Args:
        clock: Seconds by a clock that never goes back.
        sleep: Waits so many seconds.
    """

    def __init__(
        self, *, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._left_s = PAUSES_S
        self._until = clock()

    def wait_out(self, asked_s: float) -> bool:
        """Wait until a pause is over; return False at once if that is too long.

        What several threads wait at the same time counts once.
        """
        with self._lock:
            now = self._clock()
            until = max(self._until, now + asked_s)
            more_s = until - max(self._until, now)
            if more_s > self._left_s:
                return False
            self._left_s -= more_s
            self._until = until
        self._sleep(until - now)
        return True


class _Counted:
    """A reader that makes so many requests and no more, and waits out pauses; for many threads."""

    def __init__(self, reader: ObjectReader, requests_at_most: int, pauses: Pauses) -> None:
        self._reader = reader
        self._lock = threading.Lock()
        self._pauses = pauses
        self.left = requests_at_most

    def read_start(self, key: str, length: int) -> tuple[int, bytes]:
        return self._made(lambda: self._reader.read_start(key, length))

    def read_tail(self, key: str, length: int) -> bytes:
        return self._made(lambda: self._reader.read_tail(key, length))

    def is_listed(self, key: str) -> bool:
        return self._made(lambda: self._reader.is_listed(key))

    def _made(self, request: Callable[[], T]) -> T:
        refusals = 0
        while True:
            self._count(1)
            try:
                return request()
            except StorageError as error:
                is_sent = getattr(error, "is_sent", True)
                if is_sent:
                    refusals += 1
                else:
                    self._count(-1)
                if not error.retry_after_s or refusals > PAUSES_AT_MOST:
                    raise
                if not self._pauses.wait_out(error.retry_after_s):
                    if is_sent:
                        raise
                    raise PauseTooLong from None

    def _count(self, requests: int) -> None:
        with self._lock:
            if self.left < requests:
                raise BudgetSpent
            self.left -= requests


class Inquiry:
    """Asks a store about objects until the budget is spent or the store is gone.

    Args:
        reader: The store; its methods are called from many threads.
        requests_at_most: The budget.
        pauses: Waits while the store asks to be left alone.

    Attributes:
        ended: Why nothing more is asked: `unasked` when the budget is spent, `unreachable` when the store
            is gone or asks for a long pause, `connection` when it refuses whoever asks; None while it goes
            on.
    """

    def __init__(self, reader: ObjectReader, requests_at_most: int, pauses: Pauses | None = None) -> None:
        self.ended: str | None = None
        self._reader = _Counted(reader, requests_at_most, pauses or Pauses())
        self._pace = Pace(MOST_IN_FLIGHT, work_s=LOOKING_S)
        self._lock = threading.Lock()
        self._slots = threading.Semaphore(FIRST_IN_FLIGHT)
        self._granted = FIRST_IN_FLIGHT
        self._in_vain = 0

    def ask(self, keys: Iterable[str]) -> dict[str, Evidence]:
        """Return the evidence by key; without the keys that were not asked about any more."""
        asked: dict[str, Future[Evidence | None]] = {}
        with ThreadPoolExecutor(MOST_IN_FLIGHT, thread_name_prefix="diagnose") as pool:
            for key in keys:
                self._slots.acquire()
                if self.ended is not None:
                    self._slots.release()
                    break
                asked[key] = pool.submit(self._look_at, key)
        answers = ((key, future.result()) for key, future in asked.items())
        return {key: found for key, found in answers if found is not None}

    def _look_at(self, key: str) -> Evidence | None:
        began_s, worked_s = time.monotonic(), time.thread_time()
        try:
            if self.ended is not None:
                return None
            found = gather(self._reader, key)
            self._pace.waited(time.monotonic() - began_s - (time.thread_time() - worked_s))
            self._take_note(found)
            return found
        except BudgetSpent:
            self.ended = self.ended or "unasked"
            return None
        except PauseTooLong:
            self.ended = self.ended or "unreachable"
            return None
        finally:
            self._slots.release(1 + self._grow())

    def _take_note(self, found: Evidence) -> None:
        with self._lock:
            self._in_vain = self._in_vain + 1 if found.refusal in GENERAL else 0
            if self._in_vain >= OUTAGE:
                self.ended = found.refusal

    def _grow(self) -> int:
        """Return how many more objects may be asked about at the same time than until now."""
        with self._lock:
            more = max(0, self._pace.worth - self._granted)
            self._granted += more
            return more


def gather(reader: ObjectReader, key: str | None) -> Evidence:
    """Ask the store about one object: one small request.

    Two if its end tells whether it is whole, or if it is refused.
    """
    if key is None:
        return Evidence(refusal="other")
    try:
        size_bytes, start = reader.read_start(key, HEAD_BYTES)
        mime = sniff(start)
        whole = not has_end_mark(mime) or is_whole(mime, _tail(reader, key, size_bytes, start))
    except StorageError as error:
        refusal = _refusal_of(error)
        if refusal == "missing" or (refusal == "forbidden" and _is_gone(reader, key)):
            return Evidence(refusal="missing")  # no more can be said of it
        return Evidence(refusal=refusal, detail=error.message, remedy=error.remedy or "")
    return Evidence(size_bytes=size_bytes, mime=mime, whole=whole)


def _refusal_of(error: StorageError) -> str:
    return "connection" if getattr(error, "is_general", False) else getattr(error, "reason", "other")


def _is_gone(reader: ObjectReader, key: str) -> bool:
    """Tell whether an object that is refused is not there: a store may not say so to whom it refuses it."""
    try:
        return not reader.is_listed(key)
    except StorageError:
        return False


def _tail(reader: ObjectReader, key: str, size_bytes: int, start: bytes) -> bytes:
    return start if size_bytes <= len(start) else reader.read_tail(key, TAIL_BYTES)
