"""How many pages in flight are worth it.

A store that answers in 80 ms wants many, since all of them wait together. One that answers in a
millisecond is limited by how fast pages are read, and many threads would only take turns at that: twice the
CPU and more memory for nothing.
"""

from __future__ import annotations

import threading

READING_S = 0.0015
"""CPU seconds that asking for a page of 1,000 keys and reading it take."""
FEWEST = 2
"""One page is read while the store makes another."""


class Pace:
    """Measures how long a store makes its callers wait; many threads may tell it.

    Args:
        most: Never more pages in flight than this.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._worth = min(FEWEST, most)
        self._shortest_s = float("inf")
        self._measured = 0
        self._lock = threading.Lock()

    def waited(self, seconds: float) -> None:
        """Take the time that one page kept its caller waiting, the work of reading it left out."""
        with self._lock:
            self._measured += 1
            self._shortest_s = min(self._shortest_s, seconds)
            # The shortest of two rounds: new connections and a busy machine make single pages slow.
            if self._measured >= 2 * self._worth:
                wanted = FEWEST + int(self._shortest_s / READING_S)
                self._worth = min(self._most, max(self._worth, wanted))
                self._measured, self._shortest_s = 0, float("inf")

    @property
    def worth(self) -> int:
        """How many pages in flight are worth it by now; never less than before."""
        return self._worth
