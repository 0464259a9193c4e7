"""An S3 that only gives objects, good and bad ones: what a key begins with says what becomes of a GET.

    python -m benchmarks.object_responder --port 9000 --delay-ms 20

`missing/` and `forbidden/` are refused, `empty/` has no bytes, `text/` holds text, `cut/` an image without
its end, everything else a whole image. Ranges are answered as AWS does. Signatures are not looked at.
`GET /count` gives how many requests there were.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import re
import subprocess
import sys
import urllib.request
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZE_BYTES: Final = 100_000
JPEG: Final = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + b"x" * (SIZE_BYTES - 13) + b"\xff\xd9"
CONTENTS: Final = {"empty": b"", "text": b"Dear all,\n" * (SIZE_BYTES // 10), "cut": JPEG[:-2] + b"xx"}
REFUSALS: Final = {"missing": ("404 Not Found", "NoSuchKey"), "forbidden": ("403 Forbidden", "AccessDenied")}
RANGE: Final = re.compile(rb"\r\nrange: *bytes=(\d*)-(\d*)", re.IGNORECASE)
LAST_MODIFIED: Final = "Sun, 01 Nov 2026 08:00:00 GMT"


def answer(key: str, byte_range: tuple[bytes, bytes] | None) -> bytes:
    """Return the whole HTTP answer to a GET of an object."""
    kind = key.split("/", 1)[0]
    if kind in REFUSALS:
        return _refusal(*REFUSALS[kind])
    content = CONTENTS.get(kind, JPEG)
    if byte_range is None:
        return _given("200 OK", content)
    if not content:
        return _refusal("416 Requested Range Not Satisfiable", "InvalidRange")
    first, last = byte_range
    start = int(first) if first else max(0, len(content) - int(last))
    stop = min(len(content), int(last) + 1) if first and last else len(content)
    return _given(
        "206 Partial Content",
        content[start:stop],
        f"Content-Range: bytes {start}-{stop - 1}/{len(content)}\r\n",
    )


def _given(status: str, body: bytes, more: str = "") -> bytes:
    head = (
        f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nLast-Modified: {LAST_MODIFIED}\r\n"
        f'ETag: "0123456789abcdef0123456789abcdef"\r\n{more}\r\n'
    )
    return head.encode() + body


def _refusal(status: str, code: str) -> bytes:
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code></Error>'
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}\r\n\r\n"
    return (head + body).encode()


class Connection(asyncio.Protocol):
    """One client: requests without bodies, answered in order."""

    requests = 0

    def __init__(self, delay_s: float) -> None:
        self.delay_s = delay_s
        self.received = b""
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer each whole request, now or after the delay."""
        self.received += data
        while b"\r\n\r\n" in self.received:
            request, _, self.received = self.received.partition(b"\r\n\r\n")
            path = unquote(urlsplit(request.split(b" ", 2)[1].decode()).path)
            if path == "/count":
                self.send(_given("200 OK", str(Connection.requests).encode()))
                continue
            Connection.requests += 1
            found = RANGE.search(request)
            # /<bucket>/<key>
            said = answer(path.split("/", 2)[-1], (found[1], found[2]) if found else None)
            if self.delay_s:
                asyncio.get_running_loop().call_later(self.delay_s, self.send, said)
            else:
                self.send(said)

    def send(self, said: bytes) -> None:
        """Send an answer, if there is still somebody."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(said)


async def serve(port: int, delay_s: float) -> None:
    """Serve until the process is ended."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(delay_s), "127.0.0.1", port)
    print(f"ready {server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


@contextlib.contextmanager
def running_objects(*, delay_ms: float = 0) -> Iterator[str]:
    """Run the server in a process of its own, and yield its address."""
    command = [sys.executable, "-m", "benchmarks.object_responder", "--delay-ms", str(delay_ms)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{process.stdout.readline().split()[1]}"
    finally:
        process.terminate()
        process.wait()


def requests_so_far(endpoint_url: str) -> int:
    """Ask the server how many requests there were."""
    with urllib.request.urlopen(f"{endpoint_url}/count") as reply:  # noqa: S310 (loopback)
        return int(reply.read())


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one and prints it")
    parser.add_argument("--delay-ms", type=float, default=0)
    options = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(options.port, options.delay_ms / 1000))


if __name__ == "__main__":
    main()
