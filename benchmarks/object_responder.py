"""An S3 that only gives objects, good and bad ones: what a key begins with says what becomes of a GET.

    python -m benchmarks.object_responder --port 9000 --delay-ms 20

`missing/` and `forbidden/` are refused, `empty/` has no bytes, `text/` holds text, `cut/` an image without
its end, everything else a whole image. Ranges are answered as AWS does. A listing has the one key that its
prefix is, unless that is missing. Signatures are not looked at.
`GET /count` gives how many requests there were.
"""

from __future__ import annotations

import argparse
import re
import urllib.request
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from benchmarks.responder import running, serve, target_of, whole

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from benchmarks.responder import Parts

SIZE_BYTES: Final = 100_000
JPEG: Final = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + b"x" * (SIZE_BYTES - 13) + b"\xff\xd9"
CONTENTS: Final = {"empty": b"", "text": b"Dear all,\n" * (SIZE_BYTES // 10), "cut": JPEG[:-2] + b"xx"}
REFUSALS: Final = {"missing": ("404 Not Found", "NoSuchKey"), "forbidden": ("403 Forbidden", "AccessDenied")}
RANGE: Final = re.compile(rb"\r\nrange: *bytes=(\d*)-(\d*)", re.IGNORECASE)
LISTING: Final = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><EncodingType>url</EncodingType>'
    "<IsTruncated>false</IsTruncated>{body}</ListBucketResult>"
)
LISTED: Final = (
    "<Contents><Key>{key}</Key><LastModified>2026-11-01T08:00:00.000Z</LastModified>"
    "<ETag>&quot;0123456789abcdef0123456789abcdef&quot;</ETag><Size>100000</Size></Contents>"
)
ALWAYS: Final = 'Last-Modified: Sun, 01 Nov 2026 08:00:00 GMT\r\nETag: "0123456789abcdef0123456789abcdef"\r\n'


def answer(key: str, byte_range: tuple[bytes, bytes] | None) -> Parts:
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


def _given(status: str, body: bytes, more: str = "") -> Parts:
    return whole(body, kind="image/jpeg", status=status, more=f"{ALWAYS}{more}")


def _refusal(status: str, code: str) -> Parts:
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code></Error>'
    return whole(body.encode(), status=status)


def listing(key: str) -> Parts:
    """Return the whole HTTP answer to a request for a page of the keys that begin with a key."""
    body = LISTED.format(key=quote(key)) if not key.startswith("missing/") else ""
    return whole(LISTING.format(body=body).encode())


class Objects:
    """Answers requests for objects, and counts them."""

    def __init__(self) -> None:
        self.requests = 0

    def answer(self, request: bytes) -> Parts:
        """Return the answer to one request."""
        target = urlsplit(target_of(request))
        path, query = unquote(target.path), dict(parse_qsl(target.query))
        if path == "/count":
            return whole(str(self.requests).encode())
        self.requests += 1
        if "list-type" in query:
            return listing(query["prefix"])
        found = RANGE.search(request)
        # /<bucket>/<key>
        return answer(path.split("/", 2)[-1], (found[1], found[2]) if found else None)


def running_objects(*, delay_ms: float = 0) -> AbstractContextManager[str]:
    """Run the server in a process of its own, and yield its address."""
    return running("benchmarks.object_responder", "--delay-ms", delay_ms)


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
    serve(options.port, Objects().answer, options.delay_ms)


if __name__ == "__main__":
    main()
