"""The attempts of a call to a store: how many, how long apart and until when, for every provider alike."""

from __future__ import annotations

import random
import threading
import time
from typing import TYPE_CHECKING, Final, TypeVar

from cloud_sync.objects.errors import OVERLOADED, ObjectStoreError, made

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

ATTEMPTS: Final = 5
"""How often a request is made at most, the first time included."""
CALL_WITHIN_S: Final = 60.0
"""How long a call may take, with all of its attempts and the waits between them. A store that asks for a
longer pause is not asked again: the error says how long to leave it alone."""
FIRST_BACKOFF_S: Final = 0.5
LONGEST_BACKOFF_S: Final = 8.0
SPREAD: Final = 0.1
"""By up to this share of it a pause lasts longer than the store asked for, so that not all threads come back
at one moment."""


class Attempts:
    """Makes calls to one store, and tries again what may pass. One for all threads that ask the store.

    A pause that one call is asked for counts for all of them.

    Args:
        clock: Seconds by a clock that never goes back.
        sleep: Waits so many seconds.
        draw: A random number between two.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        draw: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.clock = clock
        self._sleep = sleep
        self._draw = draw
        self._lock = threading.Lock()
        self._not_before = 0.0

    def make(self, call: Callable[[float], T], where: str) -> T:
        """Return what a call returns.

        Args:
            call: Makes one request. It is given the time, by `clock`, when it has to have ended; every error
                of it is an ObjectStoreError, and one with `retry_after_s` asks for a pause.
            where: The place named in errors.

        Raises:
            ObjectStoreError: The call failed for good or in its last attempt, or the next one would come too
                late.
        """
        deadline = self.clock() + CALL_WITHIN_S
        failures = 0
        while True:
            self._sit_out_pause(deadline, where)
            try:
                return call(deadline)
            except ObjectStoreError as error:
                failures += 1
                asked_s = error.retry_after_s or 0.0
                self._keep_pause(asked_s)
                wait_s = max(asked_s, self._backoff_s(failures))
                is_last = failures >= ATTEMPTS or self.clock() + wait_s >= deadline
                if not error.transient or is_last:
                    raise
            self._sleep(wait_s)

    def _keep_pause(self, asked_s: float) -> None:
        with self._lock:
            self._not_before = max(self._not_before, self.clock() + asked_s)

    def _sit_out_pause(self, deadline: float, where: str) -> None:
        # Another call may be asked for a longer pause while this one waits.
        while (left_s := self._not_before - (now := self.clock())) > 0:
            if now + left_s >= deadline:
                raise made(OVERLOADED, where, left_s, is_sent=False)
            # What is left of the time is for the request.
            longest_s = min(left_s * SPREAD, (deadline - now - left_s) / 2)
            self._sleep(left_s + self._draw(0, longest_s))

    def _backoff_s(self, failures: int) -> float:
        return self._draw(0, min(LONGEST_BACKOFF_S, FIRST_BACKOFF_S * 2**failures))
