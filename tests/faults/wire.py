"""HTTP/1.1 messages, read as the bytes that they are: with content-length, chunked, or up to the end."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Mapping


@dataclass(frozen=True, slots=True)
class Message:
    """An HTTP message, its bytes as they came."""

    head: bytes
    body: bytes
    first_line: str
    headers: Mapping[str, str]

    @property
    def status(self) -> int:
        """The status of an answer."""
        return int(self.first_line.split(" ")[1])

    @property
    def keeps_alive(self) -> bool:
        """Whether the connection goes on after it."""
        return self.headers.get("connection", "").lower() != "close"


def half_of(answer: Message) -> Message:
    """Return a JSON answer whose second half is missing, and which says that it is whole."""
    if "json" not in answer.headers.get("content-type", "") or "content-length" not in answer.headers:
        return answer
    body = answer.body[: len(answer.body) // 2]
    head = re.sub(rb"(?i)(content-length: *)\d+", rb"\g<1>%d" % len(body), answer.head)
    return Message(head, body, answer.first_line, answer.headers)


async def _read_head(reader: asyncio.StreamReader) -> tuple[bytes, str, dict[str, str]]:
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in lines if line)
    return head, first, {name.strip().lower(): value.strip() for name, _, value in pairs}


async def read_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Message:
    """Read a request; a client that asks whether it may send the body is told to go on."""
    head, first, headers = await _read_head(reader)
    if headers.get("expect", "").lower() == "100-continue":
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    return Message(head, await _read_body(reader, headers, until_end=False), first, headers)


async def read_answer(reader: asyncio.StreamReader, method: str) -> Message:
    """Read the answer to a request of this method."""
    head, first, headers = await _read_head(reader)
    while first.split(" ")[1].startswith("1"):  # 100 Continue, which the client has had from us
        head, first, headers = await _read_head(reader)
    without_body = method == "HEAD" or first.split(" ")[1] in {"204", "304"}
    body = b"" if without_body else await _read_body(reader, headers, until_end=True)
    if not without_body and "content-length" not in headers and "transfer-encoding" not in headers:
        headers["connection"] = "close"  # its end is the end of the connection
    return Message(head, body, first, headers)


async def _read_body(reader: asyncio.StreamReader, headers: Mapping[str, str], *, until_end: bool) -> bytes:
    """Read a body as it is on the wire, chunks with their lengths."""
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return b"".join([part async for part in _chunks(reader)])
    if "content-length" in headers:
        return await reader.readexactly(int(headers["content-length"]))
    return await reader.read() if until_end else b""


async def _chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while True:
        line = await reader.readuntil(b"\r\n")
        size = int(line.split(b";")[0], 16)
        yield line
        while size == 0 and (line := await reader.readuntil(b"\r\n")) != b"\r\n":
            yield line  # a trailer
        if size == 0:
            yield b"\r\n"
            return
        yield await reader.readexactly(size + 2)
