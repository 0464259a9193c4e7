"""Google Cloud Storage's XML API, as far as obstore speaks it, with objects in memory.

fake-gcs-server has the JSON API only. What counts here is generations: a write with a condition that does not
hold is refused, and each write makes a new one.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import ClassVar
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

LOOPBACK = "127.0.0.1"


@dataclass
class Kept:
    """An object as it is kept."""

    data: bytes
    generation: int
    metadata: dict[str, str]
    modified: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def headers(self) -> dict[str, str]:
        return {
            "ETag": f'"{hashlib.md5(self.data).hexdigest()}"',  # noqa: S324 (as Google does)
            "x-goog-generation": str(self.generation),
            "Last-Modified": format_datetime(self.modified, usegmt=True),
            **self.metadata,
        }


class Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    protocol_version = "HTTP/1.1"
    objects: ClassVar[dict[str, Kept]]
    uploads: ClassVar[dict[str, dict[int, bytes]]]
    metadata: ClassVar[dict[str, dict[str, str]]]
    lock = threading.Lock()
    generations = count(1)

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def target(self) -> tuple[str, dict[str, str]]:
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        return unquote(parts.path.strip("/").partition("/")[2]), query

    def reply(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def given_metadata(self) -> dict[str, str]:
        return {
            name: value for name, value in self.headers.items() if name.lower().startswith("x-goog-meta-")
        }

    def keep(self, key: str, data: bytes) -> None:
        wanted = self.headers.get("x-goog-if-generation-match")
        with self.lock:
            present = self.objects.get(key)
            if wanted is not None and int(wanted) != (present.generation if present else 0):
                self.reply(412)
                return
            kept = Kept(data, next(self.generations), self.given_metadata())
            self.objects[key] = kept
        self.reply(200, **kept.headers)

    def do_PUT(self) -> None:
        key, query = self.target()
        data = self.body()
        if "uploadId" not in query:
            self.keep(key, data)
            return
        self.uploads[query["uploadId"]][int(query["partNumber"])] = data
        self.reply(200, ETag=f'"{query["partNumber"]}"')

    def do_POST(self) -> None:
        key, query = self.target()
        self.body()
        if "uploads" in query:
            upload = f"upload-{next(self.generations)}"
            self.uploads[upload], self.metadata[upload] = {}, self.given_metadata()
            self.reply(200, f"<X><UploadId>{upload}</UploadId></X>".encode())
            return
        upload = query["uploadId"]
        parts = self.uploads.pop(upload)
        with self.lock:
            data = b"".join(parts[number] for number in sorted(parts))
            kept = self.objects[key] = Kept(data, next(self.generations), self.metadata.pop(upload))
        self.reply(200, f"<X><ETag>{escape(kept.headers['ETag'])}</ETag></X>".encode(), **kept.headers)

    def do_GET(self) -> None:
        key, query = self.target()
        if not key:
            self.reply(200, listing(self.objects, query).encode())
            return
        kept = self.objects.get(key)
        if kept is None:
            self.reply(404, b"<Error><Code>NoSuchKey</Code></Error>")
        elif self.headers.get("If-None-Match") == kept.headers["ETag"]:
            self.reply(304)
        else:
            self.reply(200, kept.data, **kept.headers)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_DELETE(self) -> None:
        key, query = self.target()
        found = (
            self.uploads.pop(query["uploadId"], None) if "uploadId" in query else self.objects.pop(key, None)
        )
        self.reply(404 if found is None else 204)


def listing(objects: dict[str, Kept], query: dict[str, str]) -> str:
    """Return a page with all that there is below a prefix."""
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    keys = sorted(key for key in list(objects) if key.startswith(prefix))
    folders = {
        prefix + key.removeprefix(prefix).partition(delimiter)[0] + delimiter
        for key in keys
        if delimiter and delimiter in key.removeprefix(prefix)
    }
    entries = "".join(
        f"<Contents><Key>{escape(key)}</Key><LastModified>{kept.modified.isoformat()}</LastModified>"
        f"<ETag>{escape(kept.headers['ETag'])}</ETag><Size>{len(kept.data)}</Size></Contents>"
        for key in keys
        if not (delimiter and delimiter in key.removeprefix(prefix)) and (kept := objects.get(key))
    )
    prefixes = "".join(
        f"<CommonPrefixes><Prefix>{escape(name)}</Prefix></CommonPrefixes>" for name in sorted(folders)
    )
    return f"<ListBucketResult><IsTruncated>false</IsTruncated>{entries}{prefixes}</ListBucketResult>"


@contextlib.contextmanager
def running_gcs_xml() -> Iterator[str]:
    """Serve one bucket; gives the address."""
    handler = type("Server", (Handler,), {"objects": {}, "uploads": {}, "metadata": {}})
    server = ThreadingHTTPServer((LOOPBACK, 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://{LOOPBACK}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
