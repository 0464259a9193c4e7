"""Ask the store about objects: a few small requests each, many side by side, within a budget."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, Literal, Protocol

from cloud_sync.errors import StorageError
from cloud_sync.failures.model import Evidence
from cloud_sync.media.completeness import TAIL_BYTES, has_end_mark, is_whole
from cloud_sync.media.sniff import HEAD_BYTES, sniff
from cloud_sync.pace import Pace

REQUESTS_AT_MOST: Final = 20_000
"""How many requests one diagnosis may make if nothing else is said: some minutes of a real store."""

FIRST_IN_FLIGHT: Final = 8
MOST_IN_FLIGHT: Final = 64
"""Objects that are asked about at the same time: at first, and where the store takes its time. They wait for
the network, not for this machine; 64 is how many connections a store is given."""

LOOKING_S: Final = 0.0005
"""CPU seconds that asking about one object takes."""

OUTAGE: Final = FIRST_IN_FLIGHT
"""So many objects in a row for which the store cannot be reached, each after the retries of its requests, and
the others are not waited for."""


class ObjectReader(Protocol):
    """What diagnosis needs of an object store (`cloud_sync.objects.model.ObjectStore`).

    Each method raises a StorageError with an attribute `reason`: missing, no_bucket, forbidden, unreachable,
    other.
    """

    def read_start(self, key: str, length: int) -> tuple[int, bytes]:
        """Return the size of an object, and its first `length` bytes."""

    def read_tail(self, key: str, length: int) -> bytes:
        """Return the last `length` bytes."""


class BudgetSpent(Exception):  # noqa: N818 (no error: what was allowed has been used)
    """There is no request left."""


class _Counted:
    """A reader that makes so many requests and no more; for many threads."""

    def __init__(self, reader: ObjectReader, requests_at_most: int) -> None:
        self._reader = reader
        self._lock = threading.Lock()
        self.left = requests_at_most

    def _count(self) -> None:
        with self._lock:
            if self.left <= 0:
                raise BudgetSpent
            self.left -= 1

    def read_start(self, key: str, length: int) -> tuple[int, bytes]:
        self._count()
        return self._reader.read_start(key, length)

    def read_tail(self, key: str, length: int) -> bytes:
        self._count()
        return self._reader.read_tail(key, length)


class Inquiry:
    """Asks a store about objects until the budget is spent or the store is gone.

    Args:
        reader: The store; its methods are called from many threads.
        requests_at_most: The budget.

    Attributes:
        ended: Why nothing more is asked: `unasked` when the budget is spent, `unreachable` when the store
            is gone; None while it goes on.
    """

    def __init__(self, reader: ObjectReader, requests_at_most: int) -> None:
        self.ended: Literal["unasked", "unreachable"] | None = None
        self._reader = _Counted(reader, requests_at_most)
        self._pace = Pace(MOST_IN_FLIGHT, work_s=LOOKING_S)
        self._lock = threading.Lock()
        self._slots = threading.Semaphore(FIRST_IN_FLIGHT)
        self._granted = FIRST_IN_FLIGHT
        self._unreachable_in_a_row = 0

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
        finally:
            self._slots.release(1 + self._grow())

    def _take_note(self, found: Evidence) -> None:
        with self._lock:
            reached = found.refusal != "unreachable"
            self._unreachable_in_a_row = 0 if reached else self._unreachable_in_a_row + 1
            if self._unreachable_in_a_row >= OUTAGE:
                self.ended = "unreachable"

    def _grow(self) -> int:
        """Return how many more objects may be asked about at the same time than until now."""
        with self._lock:
            more = max(0, self._pace.worth - self._granted)
            self._granted += more
            return more


def gather(reader: ObjectReader, key: str | None) -> Evidence:
    """Ask the store about one object: one small request, two if its end tells whether it is whole."""
    if key is None:
        return Evidence(refusal="other")
    try:
        size_bytes, start = reader.read_start(key, HEAD_BYTES)
        mime = sniff(start)
        whole = not has_end_mark(mime) or is_whole(mime, _tail(reader, key, size_bytes, start))
    except StorageError as error:
        return Evidence(refusal=getattr(error, "reason", "other"))
    return Evidence(size_bytes=size_bytes, mime=mime, whole=whole)


def _tail(reader: ObjectReader, key: str, size_bytes: int, start: bytes) -> bytes:
    return start if size_bytes <= len(start) else reader.read_tail(key, TAIL_BYTES)
