"""Counts what a listing costs and drops, from many threads."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field


@dataclass(slots=True)
class Tally:
    """What a listing has cost and dropped so far.

    Attributes:
        requests: Pages asked for.
        folder_markers: Entries of no content whose key ends with a slash; they are not listed.
        resumed: How often a range was taken up again after the store failed.
    """

    requests: int = 0
    folder_markers: int = 0
    resumed: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, *, requests: int = 0, folder_markers: int = 0, resumed: int = 0) -> None:
        """Count."""
        with self._lock:
            self.requests += requests
            self.folder_markers += folder_markers
            self.resumed += resumed
