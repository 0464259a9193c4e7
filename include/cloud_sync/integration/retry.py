"""The retry rounds of a run, as the integration file sets them."""

from __future__ import annotations

from datetime import timedelta
from typing import Self

from pydantic import Field, model_validator

from cloud_sync.encord_limits import ITEMS_AT_ONE_TIME
from cloud_sync.integration.fields import Duration, Section

MOST_ROUNDS = 5


class Retry(Section):
    """Retry rounds: what failed for a passing reason is sent again in the same run."""

    rounds: int = Field(default=2, ge=0, le=MOST_ROUNDS, strict=True)
    """How many times at most. 0: the next run tries again."""
    first_wait: Duration = timedelta(seconds=30)
    """Longest wait before the first round; it doubles with each round. Each wait is drawn from 0 to that."""
    longest_wait: Duration = timedelta(minutes=15)
    """Longest wait before any round."""
    items_per_manifest: int = Field(default=100, ge=1, le=ITEMS_AT_ONE_TIME, strict=True)
    """Items in one manifest of a round. Grows by itself when very many items are sent again."""

    @model_validator(mode="after")
    def _waits_grow(self) -> Self:
        if self.longest_wait < self.first_wait:
            raise ValueError("longest_wait is shorter than first_wait: make it at least as long")
        return self
