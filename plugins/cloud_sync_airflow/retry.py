"""Tells Airflow which failures to try again, and when."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self

from airflow.sdk.definitions.retry_policy import RetryDecision, RetryPolicy

from cloud_sync.errors import CloudSyncError

if TYPE_CHECKING:
    from airflow.sdk import Context


class CloudSyncRetryPolicy(RetryPolicy):
    """Fails at once what a person must change, and tries again later what may pass by itself.

    The wait doubles with each try, from `first_delay_s` to `longest_delay_s`, and is drawn from its
    upper half, so that tasks that failed together do not come back together. A wait that the remote side
    asked for is kept in full. Other exceptions follow the task's own settings.

    Args:
        first_delay_s: The longest wait after the first try.
        longest_delay_s: The longest wait after any try.
    """

    def __init__(self, *, first_delay_s: float = 30, longest_delay_s: float = 900) -> None:
        self.first_delay_s = first_delay_s
        self.longest_delay_s = longest_delay_s

    def evaluate(
        self,
        exception: BaseException,
        try_number: int,
        max_tries: int,
        context: Context | None = None,
    ) -> RetryDecision:
        """Decide by the error's class; called in the task's process when a try failed."""
        if not isinstance(exception, CloudSyncError):
            return RetryDecision.default()
        if not exception.transient:
            return RetryDecision.fail(reason=str(exception))
        return RetryDecision.retry(delay=self._delay(exception, try_number), reason=str(exception))

    def _delay(self, error: CloudSyncError, try_number: int) -> timedelta:
        doublings = min(max(try_number - 1, 0), 30)  # beyond that the power is only a large number
        longest_s = min(self.first_delay_s * 2**doublings, self.longest_delay_s)
        drawn_s = random.uniform(longest_s / 2, longest_s)  # noqa: S311 (spreads load, guards nothing)
        asked_s = error.retry_after_s or 0
        return timedelta(seconds=max(drawn_s, asked_s + drawn_s / 10))

    def serialize(self) -> dict[str, Any]:
        """Return the arguments as JSON."""
        return {
            "__type": type(self).__name__,
            "first_delay_s": self.first_delay_s,
            "longest_delay_s": self.longest_delay_s,
        }

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> Self:
        """Inverse of `serialize`."""
        return cls(first_delay_s=data["first_delay_s"], longest_delay_s=data["longest_delay_s"])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CloudSyncRetryPolicy) and self.serialize() == other.serialize()

    def __hash__(self) -> int:
        return hash((self.first_delay_s, self.longest_delay_s))
