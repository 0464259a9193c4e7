"""Waits out a pause that Encord asked for, or the one before a retry round, without holding a worker."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

SPREAD = 0.1


class PauseTrigger(BaseTrigger):
    """Fires when a pause is over, a little later for each task, so that they do not come back at once.

    However the clock of the machine is moved, the wait is never longer than the pause was.

    Args:
        until: When the pause is over, in seconds since 1970 UTC.
        pause_s: How long it is.
    """

    def __init__(self, *, until: float, pause_s: float) -> None:
        super().__init__()
        self.until = until
        self.pause_s = pause_s

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments, as Airflow stores them."""
        return (
            "cloud_sync_airflow.triggers.pause.PauseTrigger",
            {"until": self.until, "pause_s": self.pause_s},
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, and yield the one event."""
        left_s = min(max(self.until - time.time(), 0.0), self.pause_s)
        spread_s = random.uniform(0, SPREAD * self.pause_s)  # noqa: S311 (spreads load, guards nothing)
        await asyncio.sleep(left_s + spread_s)
        yield TriggerEvent({"event": "over"})
