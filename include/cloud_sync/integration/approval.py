"""Plans that wait for a person, as the integration file sets them."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Self

from pydantic import Field, model_validator

from cloud_sync.integration.fields import Duration, Section, Share

Count = Annotated[int, Field(ge=0, strict=True)]
SHORTEST_WAIT = timedelta(minutes=1)


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
    removed_share: Share | None = None
    """Ask when the objects that are gone are more than this share of those registered."""
    wait: Duration = timedelta(hours=12)
    """How long a run waits for an answer. Then it fails, and nothing has changed."""

    @model_validator(mode="after")
    def _has_a_limit(self) -> Self:
        limits = {name for name in type(self).model_fields if name != "wait"}
        if all(getattr(self, name) is None for name in limits):
            raise ValueError("gives no limit: write one, such as new_count: 10000, or leave approval out")
        if self.wait < SHORTEST_WAIT:
            raise ValueError("wait is shorter than a minute: nobody could answer, make it longer")
        return self
