"""Counts what a listing costs, from many threads."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field


@dataclass(slots=True)
class Tally:
    """What a listing has cost so far.

    Attributes:
        requests: Pages asked for.
        resumed: How often a range was taken up again after the store failed.
        out_of_order: How often keys came in another order than that of their bytes.
    """

    requests: int = 0
    resumed: int = 0
    out_of_order: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, *, requests: int = 0, resumed: int = 0, out_of_order: int = 0) -> None:
        """Count."""
        with self._lock:
            self.requests += requests
            self.resumed += resumed
            self.out_of_order += out_of_order
