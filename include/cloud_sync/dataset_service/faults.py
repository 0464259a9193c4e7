"""Faults on request, for tests and the demo. Off unless the configuration asks.

Requests can be delayed, refused, or lose their answers; objects can fail to be fetched.
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from cloud_sync.dataset_service.reader import SENTENCE_BY_REASON, FetchError
from cloud_sync.safe_url import without_secrets

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from cloud_sync.dataset_service.reader import ObjectReader


class _Rule(BaseModel):
    """Which requests a fault strikes: a pattern searched in the path, a method, a count."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str = Field("", description="Regular expression, searched in the path.")
    methods: list[str] = Field(default_factory=list, description="Empty: all.")
    after: int = Field(0, ge=0, description="Let so many matching requests pass first.")
    times: int | None = Field(None, ge=1, description="Strike so often, then no more; omitted: for ever.")


class Delay(_Rule):
    """Answer late."""

    fault: Literal["delay"]
    delay_s: float = Field(gt=0)


class Refusal(_Rule):
    """Answer with a status and do nothing."""

    fault: Literal["refuse"]
    status: int = Field(ge=400, le=599)
    retry_after_s: int | None = Field(None, ge=0)


class LostAnswer(_Rule):
    """Do the work, then drop the connection instead of answering."""

    fault: Literal["lose_answer"]


class FailedFetch(BaseModel):
    """Fail the first fetches of each matching object, as a store does that cannot be reached for a moment."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    fault: Literal["fail_fetch"]
    url: str = Field(min_length=1, description="Regular expression, searched in the object URL.")
    times: int = Field(1, ge=1, description="How often each of these objects fails; then no more.")


RequestFault = Delay | Refusal | LostAnswer
FaultRule = Annotated[RequestFault | FailedFetch, Field(discriminator="fault")]


class _Switch:
    """One rule and how often it has matched."""

    def __init__(self, rule: RequestFault) -> None:
        self.rule = rule
        self._pattern = re.compile(rule.path)
        self._matches = 0
        self._lock = threading.Lock()

    def strikes(self, scope: Scope) -> bool:
        rule = self.rule
        if rule.methods and scope["method"] not in rule.methods:
            return False
        if not self._pattern.search(scope["path"]):
            return False
        with self._lock:
            self._matches += 1
            nth = self._matches - rule.after
        return nth > 0 and (rule.times is None or nth <= rule.times)


class FaultsMiddleware:
    """The outermost layer: a fault strikes before signatures are looked at, as one on the way would."""

    def __init__(self, app: ASGIApp, rules: Iterable[RequestFault]) -> None:
        self._app = app
        self._switches = [_Switch(rule) for rule in rules]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or strike; the first refusal or loss that matches decides."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        for switch in self._switches:
            if not switch.strikes(scope):
                continue
            if isinstance(switch.rule, Delay):
                await asyncio.sleep(switch.rule.delay_s)
            elif isinstance(switch.rule, Refusal):
                await _refuse(switch.rule, send)
                return
            else:
                await self._app(scope, receive, _nowhere)
                _hang_up(send)
                return
        await self._app(scope, receive, send)


class FaultyReader:
    """A reader of objects that fails where a rule says so; thread-safe. A look at a size begins a fetch."""

    def __init__(self, reader: ObjectReader, rules: Iterable[FailedFetch]) -> None:
        self._reader = reader
        self._rules = [(re.compile(rule.url), rule.times) for rule in rules]
        self._begun: Counter[str] = Counter()
        self._lock = threading.Lock()
        self.storage_location = reader.storage_location
        self.writable = reader.writable

    def size(self, url: str) -> int:
        """Return the size in bytes, or fail as the rules say.

        Raises:
            FetchError: It was asked for in the configuration; or as of the reader itself.
        """
        with self._lock:
            self._begun[url] += 1
            nth = self._begun[url]
        if any(nth <= times and pattern.search(url) for pattern, times in self._rules):
            raise FetchError(f"{SENTENCE_BY_REASON['unreachable']}: {without_secrets(url)}")
        return self._reader.size(url)

    def read(self, url: str, start: int, length: int) -> bytes:
        """Read a range."""
        return self._reader.read(url, start, length)


async def _refuse(rule: Refusal, send: Send) -> None:
    body = b'{"message": "This refusal was asked for in the configuration."}'
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if rule.retry_after_s is not None:
        headers.append((b"retry-after", str(rule.retry_after_s).encode()))
    await send({"type": "http.response.start", "status": rule.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _nowhere(message: Message) -> None:
    """Swallow an answer."""


def _hang_up(send: Send) -> None:
    # ASGI has no word for this. uvicorn's `send` is a method of its request cycle, which holds the
    # connection; ending it there is what a client sees when a server dies.
    cycle = getattr(send, "__self__", None)
    transport = getattr(cycle, "transport", None)
    if cycle is None or transport is None:
        raise RuntimeError("lose_answer needs uvicorn to serve the application")
    cycle.disconnected = True
    transport.abort()
