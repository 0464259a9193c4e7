"""How each request to Encord is made: not before its turn, not too often, and again where that is harmless.

| answer                                       | a call that may be repeated | start of a job, new folder |
|----------------------------------------------|-----------------------------|----------------------------|
| 429                                          | again, after the pause      | again, after the pause     |
| 503                                          | again, after the pause      | once: it may be done       |
| 408, 500, 502, 504                           | again, after a short wait   | once: it may be done       |
| no connection                                | again, after a short wait   | again: nothing was sent    |
| none in time, connection lost, half an answer | again, after a short wait   | once: it may be done       |
| 400, 401, 403, 404, 405, 409, 413, 422       | once                        | once                       |

At most 5 attempts a call; the SDK makes none of its own. A call waits for at most a minute in all: a longer
pause is an error at once, which says how long to stay away. After five minutes a call is not repeated, so
that a service which hangs shows. Polls are one request and never wait.
"""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec
import requests
from requests.adapters import HTTPAdapter

from cloud_sync.registration.pacing import SharedPace
from cloud_sync.retry_after import retry_after_s

ATTEMPTS = 5
LONGEST_WAIT_S = 60.0
LONGEST_CALL_S = 300.0
FIRST_BACKOFF_S = 1.0
LONGEST_BACKOFF_S = 8.0

TOO_MANY, UNAVAILABLE = 429, 503
FAILED_BY_CHANCE = frozenset({408, 500, 502, 503, 504})
OK = 200

# By their names, as in `cloud_sync.registration.errors`: some are urllib3's.
NEVER_SENT = frozenset({"ConnectTimeout", "NewConnectionError", "NameResolutionError"})
LASTING = (
    requests.exceptions.SSLError,
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidSchema,
    requests.exceptions.MissingSchema,
)

CreateSession = Callable[..., Any]


class PausedError(requests.RequestException):
    """Encord asked to be left alone for longer than a call may wait: nothing was sent."""


@dataclass(slots=True)
class Transport:
    """Makes the requests of one client.

    Attributes:
        pace: When a request may be made.
        attempts: How often a call is made at most.
        longest_wait_s: How long a call waits, in all its attempts together.
    """

    pace: SharedPace
    attempts: int = ATTEMPTS
    longest_wait_s: float = LONGEST_WAIT_S
    _repeating: threading.local = field(default_factory=threading.local)

    @contextmanager
    def repeating(self) -> Iterator[None]:
        """Repeat what is called inside, though the SDK does not know that this is harmless."""
        self._repeating.on = True
        try:
            yield
        finally:
            self._repeating.on = False

    def trace_id(self) -> str:
        """Return an id for a request's trace; the session that this thread opens next is ours.

        The SDK asks for it before each request, and opens a session for each.
        """
        _next_session.transport = self
        return f"{uuid.uuid4().hex}/1;o=1"

    def adapter(self, *, may_repeat: bool) -> HTTPAdapter:
        """Return what makes one call's requests."""
        return _Adapter(self, may_repeat=may_repeat or getattr(self._repeating, "on", False))


_next_session = threading.local()


def with_transport(create_session: CreateSession) -> CreateSession:
    """Return the SDK's maker of sessions, of which those of a `Transport` make their requests through it.

    Those of others in the process stay as they are.
    """
    if getattr(create_session, "has_transport", False):
        return create_session

    @contextmanager
    def create_new_session(
        max_retries: int | None, *args: Any, **settings: Any
    ) -> Iterator[requests.Session]:
        transport = _next_session.__dict__.pop("transport", None)
        with create_session(max_retries, *args, **settings) as session:
            if transport is not None:
                # The SDK allows retries where it knows that a second request does no harm.
                adapter = transport.adapter(may_repeat=bool(max_retries))
                session.mount("https://", adapter)
                session.mount("http://", adapter)
            yield session

    create_new_session.has_transport = True  # type: ignore[attr-defined]
    return create_new_session


class _Adapter(HTTPAdapter):
    """Makes the requests of one call."""

    def __init__(self, transport: Transport, *, may_repeat: bool) -> None:
        super().__init__(max_retries=0)
        self._transport = transport
        self._may_repeat = may_repeat
        self._waited_s = 0.0

    def send(self, request: requests.PreparedRequest, **settings: Any) -> requests.Response:  # type: ignore[override]
        """Make a request, as often as the table above says."""
        ends = time.monotonic() + LONGEST_CALL_S
        for attempt in range(1, self._transport.attempts + 1):
            last = attempt == self._transport.attempts
            self._wait_for_turn()
            try:
                response = super().send(request, **settings)
                _ = response.content  # a body that breaks off is a failure of this request
            except requests.RequestException as error:
                if last or time.monotonic() > ends or not self._again_after(error):
                    raise
            else:
                self._tell_pace(response)
                if last or time.monotonic() > ends or not self._again(response):
                    return response
            if not self._transport.pace.wait_s():
                self._wait(_backoff_s(attempt))
        raise AssertionError("the last attempt returns or raises")

    def _wait_for_turn(self) -> None:
        pace = self._transport.pace
        while (wait_s := pace.wait_s()) > 0:
            if self._waited_s + wait_s > self._transport.longest_wait_s:
                raise PausedError("Encord asked for a pause.")
            self._wait(pace.spread_s(wait_s))

    def _wait(self, seconds: float) -> None:
        self._waited_s += seconds
        time.sleep(seconds)

    def _tell_pace(self, response: requests.Response) -> None:
        asked_s = retry_after_s(response.headers)
        if response.status_code in (TOO_MANY, UNAVAILABLE):
            self._transport.pace.refused(asked_s)
        elif response.status_code in FAILED_BY_CHANCE:
            if asked_s:
                self._transport.pace.refused(asked_s)
        else:
            self._transport.pace.answered()

    def _again(self, response: requests.Response) -> bool:
        if self._transport.pace.wait_s() + self._waited_s > self._transport.longest_wait_s:
            return False
        if response.status_code == TOO_MANY:
            return True
        broken = response.status_code in FAILED_BY_CHANCE or _is_half(response)
        return self._may_repeat and broken

    def _again_after(self, error: requests.RequestException) -> bool:
        if isinstance(error, LASTING):
            return False
        return self._may_repeat or never_sent(error)


def never_sent(error: BaseException) -> bool:
    """Tell whether a request failed before a connection was there, so that nothing can have been done."""
    reasons: list[Any] = [error, *error.args, *(getattr(one, "reason", None) for one in error.args)]
    return any(base.__name__ in NEVER_SENT for one in reasons for base in type(one).__mro__)


def _is_half(response: requests.Response) -> bool:
    """Tell whether a good answer is not the JSON that Encord sends: broken off, or from something else."""
    if response.status_code != OK:
        return False
    try:
        msgspec.json.decode(response.content, type=msgspec.Raw)
    except msgspec.DecodeError:
        return True
    return False


def _backoff_s(attempt: int) -> float:
    longest_s = min(LONGEST_BACKOFF_S, FIRST_BACKOFF_S * 2 ** (attempt - 1))
    return random.uniform(0, longest_s)  # noqa: S311 (spreads load, guards nothing)
