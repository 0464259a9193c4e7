"""The retry rounds of a run, as the integration file sets them."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field, ValidationInfo, field_validator

from cloud_sync.encord_limits import ITEMS_AT_ONE_TIME
from cloud_sync.integration.fields import Duration, FieldError, Section

MOST_ROUNDS = 5
# The task that waits has 12 hours, and work to do besides.
MOST_WAIT = timedelta(hours=6)


class Retry(Section):
    """Retry rounds: what failed for a passing reason is sent again in the same run."""

    rounds: int = Field(default=2, ge=0, le=MOST_ROUNDS, strict=True)
    """How many times at most. 0: the next run tries again."""
    first_wait: Duration = timedelta(seconds=30)
    """Longest wait before the first round; it doubles with each round. Each wait is drawn from 0 to that."""
    longest_wait: Duration = Field(timedelta(minutes=15), validate_default=True)
    """Longest wait before any round, up to 6h."""
    items_per_manifest: int = Field(default=100, ge=1, le=ITEMS_AT_ONE_TIME, strict=True)
    """Items in one manifest of a round. Grows by itself when very many items are sent again."""

    @field_validator("longest_wait")
    @classmethod
    def _waits_grow(cls, longest: timedelta, info: ValidationInfo) -> timedelta:
        if longest < info.data.get("first_wait", timedelta(0)):
            raise FieldError("longest_wait is shorter than first_wait: make it at least as long", at=())
        if longest > MOST_WAIT:
            raise FieldError(
                "longest_wait is more than 6h: make it shorter, the next run tries again as well", at=()
            )
        return longest
