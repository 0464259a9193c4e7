"""Held polls: a request waits for the end of its job without a thread, a query or a timer of its own."""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID


class JobEnds:
    """Who waits for the end of which job. `announce` and `close` may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: defaultdict[UUID, set[_Waiter]] = defaultdict(set)
        self._closed = False

    @contextmanager
    def watch(self, job_uuid: UUID) -> Iterator[_Waiter]:
        """Watch a job. Look at its state only inside, so that its end cannot slip between."""
        waiter = _Waiter()
        with self._lock:
            self._waiting[job_uuid].add(waiter)
            if self._closed:
                waiter.ring()
        try:
            yield waiter
        finally:
            with self._lock:
                self._waiting[job_uuid].discard(waiter)
                if not self._waiting[job_uuid]:
                    del self._waiting[job_uuid]

    def announce(self, job_uuid: UUID) -> None:
        """Tell that a job has ended."""
        with self._lock:
            for waiter in self._waiting.get(job_uuid, ()):
                waiter.ring()

    def close(self) -> None:
        """Let everybody go: the service stops."""
        with self._lock:
            self._closed = True
            for waiters in self._waiting.values():
                for waiter in waiters:
                    waiter.ring()


class _Waiter:
    """One held request."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._rung = asyncio.Event()

    def ring(self) -> None:
        self._loop.call_soon_threadsafe(self._rung.set)

    async def wait(self, timeout_s: float) -> None:
        """Wait for the ring, at most so long."""
        try:
            await asyncio.wait_for(self._rung.wait(), timeout_s)
        except TimeoutError:
            return
