"""How many requests in flight are worth it.

A store that answers in 80 ms wants many, since all of them wait together. One that answers in a
millisecond is limited by how fast answers are read, and threads would only take turns at that: half as much
CPU again and more memory for nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

READING_S: Final = 0.0015
"""CPU seconds that asking for a page of 1,000 keys and reading it take."""
SHORTEST_ROUND: Final = 3
"""Answers that are compared at least: new connections and a busy machine make single ones slow."""
BUSY: Final = 0.6
"""A process that uses this share of a processor has little to gain from more threads: Python runs one."""


class Pace:
    """Measures how long a store makes its callers wait; many threads may tell it.

    Args:
        most: Never more requests in flight than this.
        work_s: CPU seconds that one request and its answer take; of a page of a listing if left out.
        wall_s: The clock.
        cpu_s: CPU seconds that this process has used.
    """

    def __init__(
        self,
        most: int,
        *,
        work_s: float = READING_S,
        wall_s: Callable[[], float] = time.monotonic,
        cpu_s: Callable[[], float] = time.process_time,
    ) -> None:
        self._most = most
        self._work_s = work_s
        self._worth = 1
        self._wall_s, self._cpu_s = wall_s, cpu_s
        self._lock = threading.Lock()
        self._begin_round()

    def _begin_round(self) -> None:
        self._measured, self._shortest_s = 0, float("inf")
        self._began_s, self._used_s = self._wall_s(), self._cpu_s()

    def waited(self, seconds: float) -> None:
        """Take the time that one answer kept its caller waiting, the work of reading it left out."""
        with self._lock:
            self._measured += 1
            self._shortest_s = min(self._shortest_s, seconds)
            if self._measured >= max(SHORTEST_ROUND, 2 * self._worth):
                used = (self._cpu_s() - self._used_s) / max(self._wall_s() - self._began_s, self._work_s)
                if used < BUSY:
                    wanted = 1 + int(self._shortest_s / self._work_s)
                    self._worth = min(self._most, max(self._worth, wanted))
                self._begin_round()

    @property
    def worth(self) -> int:
        """How many requests in flight are worth it by now; never less than before."""
        return self._worth
