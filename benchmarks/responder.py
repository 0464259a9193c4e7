"""The frame of the servers that answer from memory: requests without bodies in, whole answers out.

A responder is a module that is run with `--port`, builds what it answers from and calls `serve`; benchmarks
run it beside themselves with `running`.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    Parts = Sequence[bytes | memoryview]
    Answer = Callable[[bytes], Parts]
    """Gets the head of a request, and returns the parts of an answer, its head first."""

HEAD: Final = "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {size}\r\n{more}\r\n"


def target_of(request: bytes) -> str:
    """Return path and query of a request."""
    return request.split(b" ", 2)[1].decode()


def whole(
    *body: bytes | memoryview, kind: str = "application/xml", status: str = "200 OK", more: str = ""
) -> Parts:
    """Return an answer; `more` are further header lines."""
    size = sum(map(len, body))
    return HEAD.format(status=status, kind=kind, size=size, more=more).encode(), *body


class Connection(asyncio.Protocol):
    """One client: requests without bodies, answered in order, each at once or after a delay."""

    def __init__(self, answer: Answer, delay_s: float) -> None:
        self.answer = answer
        self.delay_s = delay_s
        self.received = b""
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Take each whole request."""
        self.received += data
        while b"\r\n\r\n" in self.received:
            request, _, self.received = self.received.partition(b"\r\n\r\n")
            if self.delay_s:
                asyncio.get_running_loop().call_later(self.delay_s, self.send, request)
            else:
                self.send(request)

    def send(self, request: bytes) -> None:
        """Send the answer, if there is still somebody."""
        parts = self.answer(request)
        if request.startswith(b"HEAD "):
            parts = parts[:1]
        if self.transport is not None and not self.transport.is_closing():
            self.transport.writelines(parts)


def serve(port: int, answer: Answer, delay_ms: float) -> None:
    """Serve on loopback until the process is ended; print the port once it is open."""

    async def run() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Connection(answer, delay_ms / 1000), "127.0.0.1", port)
        print(f"ready {server.sockets[0].getsockname()[1]}", flush=True)
        await server.serve_forever()

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run())


@contextlib.contextmanager
def running(module: str, *arguments: object) -> Iterator[str]:
    """Run a responder in a process of its own, and yield its address."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{process.stdout.readline().split()[1]}"
    finally:
        process.terminate()
        process.wait()
