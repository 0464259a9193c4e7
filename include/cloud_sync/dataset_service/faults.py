"""Faults on request, for tests: delays, refusals and lost answers. Off unless the configuration asks."""

from __future__ import annotations

import asyncio
import re
import threading
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send


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


FaultRule = Annotated[Delay | Refusal | LostAnswer, Field(discriminator="fault")]


class _Switch:
    """One rule and how often it has matched."""

    def __init__(self, rule: Delay | Refusal | LostAnswer) -> None:
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

    def __init__(self, app: ASGIApp, rules: Iterable[Delay | Refusal | LostAnswer]) -> None:
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
