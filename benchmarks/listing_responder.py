"""A store that only lists: ListObjectsV2 pages cut from memory, faster than every client.

    python -m benchmarks.listing_responder --port 9000 --objects 1000000 --delay-ms 80

Answers GET /<bucket>?list-type=2 with prefix, delimiter `/`, start-after, continuation-token and max-keys
(and the older form without list-type, with marker), in the XML that AWS sends. Signatures are not looked at.
With `--api gcs` pages are those of Google Cloud Storage (benchmarks/gcs_responder.py). With a delay every
page takes that long, as from a real store.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import subprocess
import sys
from array import array
from bisect import bisect_left, bisect_right
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol
from urllib.parse import parse_qs, quote, urlsplit
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FOLDERS_PER_CAMERA = 20
CAMERAS = 10
LAST_CHARACTER = "\U0010ffff"
HEAD = b'<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
ENTRY = (
    "<Contents><Key>{key}</Key><LastModified>2026-11-{day:02d}T08:{minute:02d}:00.000Z</LastModified>"
    "<ETag>&quot;{etag:032x}&quot;</ETag>{checksum}<Size>{size}</Size><StorageClass>STANDARD</StorageClass></Contents>"
)
# What AWS adds for objects that were uploaded with a checksum, as its SDKs do since 2025.
CHECKSUM = "<ChecksumAlgorithm>CRC64NVME</ChecksumAlgorithm><ChecksumType>FULL_OBJECT</ChecksumType>"


def camera_keys(count: int, *, flat: bool = False, in_each: int | None = None) -> list[str]:
    """Return keys in listing order: 10 cameras x 20 days, all in one folder, or so many in each folder."""
    if in_each is not None:
        return [f"raw/scene_{number // in_each:09d}/{number % in_each:05d}.jpg" for number in range(count)]
    if flat:
        return [f"raw/frame_{number:09d}.jpg" for number in range(count)]
    folders = [
        f"raw/camera-{camera:02d}/2026-11-{day + 1:02d}/"
        for camera in range(CAMERAS)
        for day in range(FOLDERS_PER_CAMERA)
    ]
    bounds = [count * number // len(folders) for number in range(len(folders) + 1)]
    return [
        f"{folder}frame_{number:09d}.jpg"
        for folder, (first, last) in zip(folders, pairwise(bounds), strict=True)
        for number in range(first, last)
    ]


class Pages:
    """Cuts pages from one block of XML that holds every entry.

    Args:
        keys: Every key of the bucket, in listing order.
        checksums: Whether the objects have checksums, which a listing names.
    """

    def __init__(self, keys: list[str], *, checksums: bool = False) -> None:
        self.keys = keys
        entries = bytearray()
        self.offsets = array("Q", [0])
        for number, key in enumerate(keys):
            entries += ENTRY.format(
                key=escape(key),
                checksum=CHECKSUM if checksums else "",
                day=number % 28 + 1,
                minute=number % 60,
                etag=number * 0x9E3779B97F4A7C15F39CC0605CEDC835 % (1 << 128),
                size=number % 5_000_000 + 1,
            ).encode()
            self.offsets.append(len(entries))
        self.entries = bytes(entries)
        self.cached = lru_cache(maxsize=4096)(self._folded)

    def page(self, query: Mapping[str, str]) -> bytes:
        """Return the answer to one ListObjectsV2 request."""
        prefix = query.get("prefix", "")
        limit = min(int(query.get("max-keys", "1000")), 1000)
        url_encoded = query.get("encoding-type") == "url"
        start = self._start(prefix, query)
        if query.get("delimiter"):
            return self.cached(prefix, start, limit, url_encoded)
        stop = bisect_right(self.keys, prefix + LAST_CHARACTER, lo=start)
        last = min(start + limit, stop)
        # The keys need no encoding, so the same entries serve encoding-type=url.
        body = memoryview(self.entries)[self.offsets[start] : self.offsets[last]]
        return b"".join(
            (
                HEAD,
                _summary(prefix, limit, last - start, last if last < stop else None, url_encoded),
                body,
                b"</ListBucketResult>",
            )
        )

    def _start(self, prefix: str, query: Mapping[str, str]) -> int:
        if token := query.get("continuation-token"):
            return int(token)
        start = bisect_left(self.keys, prefix)
        # `marker` is what the first version of ListObjects has, which boto3's resources still ask for.
        after = query.get("start-after") or query.get("marker", "")
        return max(start, bisect_right(self.keys, after))

    def _folded(self, prefix: str, start: int, limit: int, url_encoded: bool) -> bytes:
        stop = bisect_right(self.keys, prefix + LAST_CHARACTER, lo=start)
        parts: list[bytes] = []
        position = start
        while position < stop and len(parts) < limit:
            name, slash, _ = self.keys[position][len(prefix) :].partition("/")
            if slash:
                folder = f"{prefix}{name}/"
                shown = quote(folder) if url_encoded else escape(folder)
                parts.append(f"<CommonPrefixes><Prefix>{shown}</Prefix></CommonPrefixes>".encode())
                position = bisect_right(self.keys, folder + LAST_CHARACTER, lo=position)
            else:
                parts.append(self.entries[self.offsets[position] : self.offsets[position + 1]])
                position += 1
        following = position if position < stop else None
        return b"".join(
            (
                HEAD,
                _summary(prefix, limit, len(parts), following, url_encoded),
                *parts,
                b"</ListBucketResult>",
            )
        )


def _summary(prefix: str, limit: int, count: int, following: int | None, url_encoded: bool) -> bytes:
    shown = quote(prefix) if url_encoded else escape(prefix)
    encoding = "<EncodingType>url</EncodingType>" if url_encoded else ""
    more = "false" if following is None else "true"
    token = "" if following is None else f"<NextContinuationToken>{following}</NextContinuationToken>"
    return (
        f"<Name>bench</Name><Prefix>{shown}</Prefix>{encoding}<KeyCount>{count}</KeyCount>"
        f"<MaxKeys>{limit}</MaxKeys><IsTruncated>{more}</IsTruncated>{token}"
    ).encode()


class SomePages(Protocol):
    """Pages of any API."""

    def page(self, query: Mapping[str, str]) -> bytes:
        """Return the answer to one request."""


class Connection(asyncio.Protocol):
    """One client: requests without bodies, answered in order."""

    def __init__(self, pages: SomePages, delay_s: float) -> None:
        self.pages = pages
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
            target = request.split(b" ", 2)[1].decode()
            if self.delay_s:
                asyncio.get_running_loop().call_later(self.delay_s, self.answer, target)
            else:
                self.answer(target)

    def answer(self, target: str) -> None:
        """Send the page that a request asks for."""
        query = {name: values[0] for name, values in parse_qs(urlsplit(target).query).items()}
        body = self.pages.page(query)
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}\r\n\r\n"
        if self.transport is not None and not self.transport.is_closing():
            self.transport.writelines((head.encode(), body))


async def serve(port: int, pages: SomePages, delay_s: float) -> None:
    """Serve until the process is ended."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(pages, delay_s), "127.0.0.1", port)
    print(f"ready {server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


@contextlib.contextmanager
def running_responder(
    objects: int,
    *,
    delay_ms: float = 0,
    checksums: bool = False,
    in_each: int | None = None,
    api: str = "s3",
) -> Iterator[str]:
    """Run the server in a process of its own, and yield its address."""
    command = [sys.executable, "-m", "benchmarks.listing_responder"]
    command += [
        "--objects",
        str(objects),
        "--delay-ms",
        str(delay_ms),
        "--api",
        api,
        *(["--checksums"] if checksums else []),
        *(["--in-each", str(in_each)] if in_each else []),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{process.stdout.readline().split()[1]}"
    finally:
        process.terminate()
        process.wait()


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one and prints it")
    parser.add_argument("--objects", type=int, default=1_000_000)
    parser.add_argument("--delay-ms", type=float, default=0)
    parser.add_argument("--flat", action="store_true", help="all keys in one folder")
    parser.add_argument("--in-each", type=int, help="so many keys in each folder, for very many folders")
    parser.add_argument("--checksums", action="store_true", help="objects with checksums")
    parser.add_argument("--api", choices=["s3", "gcs"], default="s3", help="whose pages to give")
    options = parser.parse_args()
    keys = camera_keys(options.objects, flat=options.flat, in_each=options.in_each)
    if options.api == "gcs":
        from benchmarks.gcs_responder import GcsPages

        pages: SomePages = GcsPages(keys)
    else:
        pages = Pages(keys, checksums=options.checksums)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(options.port, pages, options.delay_ms / 1000))


if __name__ == "__main__":
    main()
