"""Plans that wait for a person, as the integration file sets them."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import Field, ValidationInfo, field_validator

from cloud_sync.integration.fields import Duration, FieldError, Section, Share

Count = Annotated[int, Field(ge=0, strict=True)]
SHORTEST_WAIT = timedelta(minutes=1)
LIMITS_BEFORE = ("new_count", "new_share", "changed_count", "changed_share", "removed_count")
"""The limits that stand before the last one, which is checked when all are known."""


class Approval(Section):
    """Limits of a plan: one that is above any of them waits until a person approves it in Airflow."""

    new_count: Count | None = None
    """Ask when more items than this would be registered. Left out: the number does not count."""
    new_share: Share | None = None
    """Ask when the objects to register are more than this share of those registered so far, as `20%` or 0.2.
    The first run, before which nothing is registered, is not measured by it."""
    changed_count: Count | None = None
    """Ask when more registered items than this have changed."""
    changed_share: Share | None = None
    """Ask when the changed objects are more than this share of those registered."""
    removed_count: Count | None = None
    """Ask when more registered items than this are gone from the storage."""
    removed_share: Share | None = Field(None, validate_default=True)
    """Ask when the objects that are gone are more than this share of those registered."""
    wait: Duration = timedelta(hours=12)
    """How long a run waits for an answer. Then it fails, and nothing has changed."""

    @field_validator("removed_share")
    @classmethod
    def _has_a_limit(cls, last: float | None, info: ValidationInfo) -> float | None:
        # One that is wrong is there as well, and is an error of its own.
        limits = [*(info.data.get(name, ...) for name in LIMITS_BEFORE), last]
        if all(limit is None for limit in limits):
            raise FieldError(
                "gives no limit: write one, such as new_count: 10000, or leave approval out", at=()
            )
        return last

    @field_validator("wait")
    @classmethod
    def _can_be_answered(cls, wait: timedelta) -> timedelta:
        if wait < SHORTEST_WAIT:
            raise ValueError("wait is shorter than a minute: nobody could answer, make it longer")
        return wait
