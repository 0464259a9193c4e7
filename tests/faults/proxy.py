"""A proxy on loopback that does to HTTP what networks, gateways and busy servers do.

It forwards requests byte by byte, the Host header included, so that every signature stays valid. What happens
to a request follows from the seed, the request and how often it was made before, not from the order in which
threads come: the same seed gives the same faults.

    with running_proxy("http://127.0.0.1:9000", seed=7, faults=at(0.3)) as proxy:
        EncordClient(domain=proxy.url, ...)
        assert proxy.requests[0].status == 200
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import re
import socket
import struct
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from email.utils import formatdate
from enum import StrEnum
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tests.faults.wire import Message, half_of, read_answer, read_request

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

LOOPBACK = "127.0.0.1"
HEAD_BYTES = 1 << 16
LONGEST_LATENCY_S = 0.3
SLOW_BODY_S = 0.3
PIECES = 6
RETRY_AFTER_S = 1
BAD_GATEWAY_PAGE = b"<html><body><h1>502 Bad Gateway</h1><p>nginx</p></body></html>"
# As FastAPI, and so Encord, says what is wrong with a request.
BODIES = {422: b'{"detail": [{"loc": ["body", "images"], "msg": "Field required", "type": "missing"}]}'}
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
RESET_ON_CLOSE = struct.pack("ii", 1, 0)
"""SO_LINGER on, zero seconds: closing the socket sends a reset instead of a farewell."""


class Fault(StrEnum):
    """What can happen to a request."""

    LATENCY = "latency"
    RESET = "reset"  # before the request arrives anywhere
    SLOW_BODY = "slow body"
    CUT_BODY = "cut body"  # the connection breaks in the middle of the answer
    CUT_JSON = "cut JSON"  # a gateway hands on half of a JSON answer as if it were whole
    BAD_GATEWAY = "502"  # as HTML
    UNAVAILABLE = "503"
    BUSY = "429"  # with Retry-After in seconds
    BUSY_UNTIL = "429 with a date"  # with Retry-After as an HTTP date
    LOST_ANSWER = "lost answer"  # the request is carried out, its answer dropped


STATUSES = {Fault.BAD_GATEWAY: 502, Fault.UNAVAILABLE: 503, Fault.BUSY: 429, Fault.BUSY_UNTIL: 429}


def at(probability: float, *kinds: Fault) -> dict[Fault, float]:
    """Return faults of some kinds, of all if none is named, that together have this probability."""
    kinds = kinds or tuple(Fault)
    return dict.fromkeys(kinds, probability / len(kinds))


@dataclass(slots=True)
class Request:
    """One request as it reached the proxy. Times are seconds since 1970 UTC.

    Attributes:
        at: When all of it had arrived.
        method: GET, POST, ...
        path: Path and query.
        fault: What was done to it.
        status: What the client is answered; None if it gets no whole head of an answer.
        not_before: Until when the client is asked to make no further request.
        answered_at: When its answer, or what was left of it, had been sent; None before.
    """

    at: float
    method: str
    path: str
    fault: Fault | None = None
    status: int | None = None
    not_before: float | None = None
    answered_at: float | None = None


@dataclass(slots=True)
class Refusal:
    """An answer that requests to a path get instead of what they ask for.

    Attributes:
        path: Regular expression, searched in method, space, path and query.
        status: Of the answer; 200 lets the request pass, so that `fault` alone is what happens.
        fault: A fault instead of a status.
        times: How often; None for always.
    """

    path: str
    status: int = 200
    fault: Fault | None = None
    times: int | None = None


@dataclass
class FaultProxy:
    """The proxy; made by `running_proxy`.

    Attributes:
        upstream: Address of the real server.
        seed: Where the faults come from.
        faults: The probability of each; may be changed while it runs.
        refusals: Come before `faults`; the first that fits decides.
        requests: All requests so far, in the order in which they came.
    """

    upstream: str
    seed: int = 0
    faults: Mapping[Fault, float] = field(default_factory=dict)
    refusals: list[Refusal] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    port: int = 0
    _seen: Counter[str] = field(default_factory=Counter)
    _connections: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def url(self) -> str:
        """Where clients reach it."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def counts(self) -> Counter[Fault]:
        """How often each fault struck."""
        return Counter(request.fault for request in self.requests if request.fault is not None)

    def to(self, pattern: str) -> list[Request]:
        """Return the requests whose method, space, path and query hold a regular expression."""
        return [one for one in self.requests if re.search(pattern, f"{one.method} {one.path}")]

    def too_early(self, tolerance_s: float = 0.05) -> list[Request]:
        """Return the requests that were made although the client had been asked to wait.

        Args:
            tolerance_s: Requests that were on their way when the answer arrived are nobody's fault.
        """
        asked = [
            (one.answered_at, one.not_before) for one in self.requests if one.answered_at and one.not_before
        ]
        return [
            one
            for one in self.requests
            if any(told + tolerance_s < one.at < until - tolerance_s for told, until in asked)
        ]

    async def serve(self, listener: socket.socket) -> asyncio.Server:
        """Take connections."""
        return await asyncio.start_server(self._connected, sock=listener, limit=HEAD_BYTES)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        exchange = _Exchange(self, reader, writer)
        try:
            with contextlib.suppress(OSError, EOFError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await exchange.run()
        finally:
            exchange.close()
            self._connections.discard(task)

    def end_connections(self) -> None:
        """End what is under way."""
        for task in self._connections:
            task.cancel()

    def decide(self, method: str, path: str) -> tuple[Fault | None, int | None, random.Random]:
        """Return what happens to a request: a fault, a status, or neither; and a source for its details."""
        called = f"{method} {UUID.sub('*', path)}"
        self._seen[called] += 1
        source = random.Random(f"{self.seed} {called} {self._seen[called]}")
        for refusal in self.refusals:
            if refusal.times != 0 and re.search(refusal.path, f"{method} {path}"):
                refusal.times = None if refusal.times is None else refusal.times - 1
                return refusal.fault, refusal.status if refusal.status != 200 else None, source
        drawn = source.random()
        for fault, probability in self.faults.items():
            drawn -= probability
            if drawn < 0:
                return fault, None, source
        return None, None, source


class _Exchange:
    """One connection of a client, and the one to the server behind it."""

    def __init__(self, proxy: FaultProxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.proxy, self.reader, self.writer = proxy, reader, writer
        self.server: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def run(self) -> None:
        """Handle requests until one side ends the connection."""
        while True:
            message = await read_request(self.reader, self.writer)
            method, path, _ = message.first_line.split(" ", 2)
            request = Request(time.time(), method, path)
            self.proxy.requests.append(request)
            request.fault, refused, source = self.proxy.decide(method, path)
            try:
                goes_on = await self._answer(message, request, refused, source)
            finally:
                request.answered_at = time.time()
            if not goes_on or not message.keeps_alive:
                return

    async def _answer(
        self, message: Message, request: Request, refused: int | None, source: random.Random
    ) -> bool:
        """Answer a request; return whether the connection goes on."""
        fault = request.fault
        if status := refused or (STATUSES.get(fault) if fault else None):
            request.status, request.not_before = status, _not_before(fault, request.at)
            self.writer.write(_refusal(request))
            await self.writer.drain()
            return True
        if fault is Fault.RESET:
            return self._reset()
        if fault is Fault.LATENCY:
            await asyncio.sleep(source.uniform(0, LONGEST_LATENCY_S))
        answer = await self._forward(message, request.method)
        if fault is Fault.LOST_ANSWER:
            return self._reset()
        if fault is Fault.CUT_BODY:
            return await self._cut(answer)
        if fault is Fault.CUT_JSON:
            answer = half_of(answer)
        request.status = answer.status
        self.writer.write(answer.head)
        await self._send(answer.body, PIECES if fault is Fault.SLOW_BODY else 1)
        return answer.keeps_alive

    async def _forward(self, request: Message, method: str) -> Message:
        if self.server is None:
            parts = urlsplit(self.proxy.upstream)
            self.server = await asyncio.open_connection(parts.hostname, parts.port, limit=HEAD_BYTES)
        reader, writer = self.server
        writer.write(request.head + request.body)
        await writer.drain()
        answer = await read_answer(reader, method)
        if not answer.keeps_alive:
            writer.close()
            self.server = None
        return answer

    async def _send(self, body: bytes, pieces: int) -> None:
        size = max(1, math.ceil(len(body) / pieces))
        for start in range(0, len(body), size):
            if start:
                await asyncio.sleep(SLOW_BODY_S / pieces)
            self.writer.write(body[start : start + size])
            await self.writer.drain()

    async def _cut(self, answer: Message) -> bool:
        whole = answer.head + answer.body
        self.writer.write(whole[: len(whole) - max(1, len(answer.body) // 2)])
        await self.writer.drain()
        return False

    def _reset(self) -> bool:
        connection = self.writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        self.writer.transport.abort()
        return False

    def close(self) -> None:
        """Close both connections."""
        self.writer.close()
        if self.server is not None:
            self.server[1].close()


def _not_before(fault: Fault | None, at: float) -> float | None:
    if fault is Fault.BUSY:
        return at + RETRY_AFTER_S
    if fault is Fault.BUSY_UNTIL:
        return float(math.ceil(at) + RETRY_AFTER_S)  # a date has whole seconds
    return None


def _refusal(request: Request) -> bytes:
    """Return an answer that no server has given."""
    fault, body, kind = (
        request.fault,
        BODIES.get(request.status or 0, b'{"message": "no"}'),
        "application/json",
    )
    if fault is Fault.BAD_GATEWAY:
        body, kind = BAD_GATEWAY_PAGE, "text/html"
    lines = [f"HTTP/1.1 {request.status} Refused", f"Content-Type: {kind}"]
    if fault is Fault.BUSY:
        lines.append(f"Retry-After: {RETRY_AFTER_S}")
    if fault is Fault.BUSY_UNTIL:
        lines.append(f"Retry-After: {formatdate(request.not_before, usegmt=True)}")
    lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + (b"" if request.method == "HEAD" else body)


@contextlib.contextmanager
def running_proxy(
    upstream: str,
    *,
    seed: int = 0,
    faults: Mapping[Fault, float] | None = None,
    refusals: Sequence[Refusal] = (),
) -> Iterator[FaultProxy]:
    """Run a proxy in a thread of its own, on a free port.

    Args:
        upstream: `http://host:port` of the real server.
        seed: Same seed, same faults.
        faults: The probability of each.
        refusals: What certain requests are answered.
    """
    listener = socket.create_server((LOOPBACK, 0))
    proxy = FaultProxy(upstream, seed, faults or {}, list(refusals), port=listener.getsockname()[1])
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(proxy.serve(listener))
    thread = threading.Thread(target=loop.run_forever, name="fault-proxy", daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        loop.call_soon_threadsafe(proxy.end_connections)
        loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(lambda: loop.call_later(0.05, loop.stop))
        thread.join(5)
        loop.close()
