"""Stores that refuse, fail or expire: each gives one clear line, and what passes is tried again."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.credentials import RefreshableCredentials
from botocore.session import get_session

from cloud_sync.objects import range_reader
from cloud_sync.objects.errors import ObjectStoreError
from cloud_sync.objects.listing import list_objects
from cloud_sync.objects.stores import open_s3
from cloud_sync.run_folder import RunFolder
from tests.servers import LOOPBACK, free_ports

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cloud_sync.objects.model import ObjectStore
    from tests.servers import S3Server

SECRET = "canary-secret-1f2e"

CALLS: list[Callable[[ObjectStore], Any]] = [
    lambda store: store.check_access(),
    lambda store: store.page("", limit=1),
    lambda store: store.head("a.jpg"),
    lambda store: store.read_range("a.jpg", 0, 10),
    lambda store: store.read_range("a//b.jpg", 0, 10),
    lambda store: store.read_start("a.jpg", 10),
    lambda store: store.read_start("a//b.jpg", 10),
    lambda store: store.read_tail("a.jpg", 10),
]
HEAD = CALLS[2]


def settings_of(server: S3Server) -> dict[str, Any]:
    return {
        "endpoint_url": server.endpoint_url,
        "region": "us-east-1",
        "access_key_id": server.access_key_id,
        "secret_access_key": server.secret_access_key,
    }


def refusal(call: Callable[[ObjectStore], Any], store: ObjectStore) -> ObjectStoreError:
    with pytest.raises(ObjectStoreError) as caught:
        call(store)
    assert SECRET not in str(caught.value)
    assert "?" not in str(caught.value)
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize("call", CALLS)
def test_a_missing_bucket(seaweedfs: S3Server, call: Callable[[ObjectStore], Any]):
    error = refusal(call, open_s3("no-such-bucket", **settings_of(seaweedfs)))

    # The answer to a HEAD has no body that could tell what is missing.
    assert (error.reason, error.transient) == ("missing" if call is HEAD else "no_bucket", False)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("wrong", ["access_key_id", "secret_access_key"])
def test_refused_credentials(seaweedfs: S3Server, call: Callable[[ObjectStore], Any], wrong: str):
    error = refusal(call, open_s3("media", **settings_of(seaweedfs) | {wrong: SECRET}))

    assert (error.reason, error.transient) == ("forbidden", False)


def test_a_refusal_says_what_to_change(seaweedfs: S3Server):
    unknown = open_s3("media", **settings_of(seaweedfs) | {"access_key_id": SECRET})
    missing = open_s3("no-such-bucket", **settings_of(seaweedfs))

    assert str(refusal(CALLS[0], unknown)) == (
        "bucket media: the store does not know the access key. Check the login of the connection."
    )
    assert "`bucket` in the integration file" in str(refusal(CALLS[0], missing))


def test_a_missing_object(seaweedfs: S3Server):
    error = refusal(lambda store: store.head("nope.jpg"), open_s3("media", **settings_of(seaweedfs)))

    assert (error.reason, error.transient) == ("missing", False)
    assert "object 'nope.jpg'" in str(error)


def test_a_store_that_does_not_run(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("cloud_sync.objects.attempts.ATTEMPTS", 2)
    store = open_s3(
        "media",
        endpoint_url=f"http://{LOOPBACK}:{free_ports(1)[0]}",
        access_key_id="a",
        secret_access_key="b",
    )

    for call in CALLS:
        error = refusal(call, store)
        assert (error.reason, error.transient) == ("unreachable", True)


def test_credentials_of_a_session_are_renewed_in_time(seaweedfs: S3Server):
    renewed = count(1)

    def renew() -> dict[str, str]:
        next(renewed)
        return {
            "access_key": seaweedfs.access_key_id,
            "secret_key": seaweedfs.secret_access_key,
            "token": "",
            "expiry_time": (datetime.now(UTC) + timedelta(minutes=12)).isoformat(),
        }

    first = renew() | {
        "secret_key": SECRET,
        "expiry_time": (datetime.now(UTC) + timedelta(minutes=1)).isoformat(),
    }
    session = get_session()
    session._credentials = RefreshableCredentials.create_from_metadata(first, renew, method="assume-role")
    store = open_s3(
        "media",
        endpoint_url=seaweedfs.endpoint_url,
        session=boto3.Session(botocore_session=session, region_name="us-east-1"),
    )

    # The first secret is wrong and nearly expired: only renewed credentials can work.
    with pytest.raises(ObjectStoreError, match="does not exist"):
        store.read_range("a.jpg", 0, 1)
    store.check_access()
    assert next(renewed) > 2


PAGE = (
    '<?xml version="1.0"?><ListBucketResult><Name>media</Name><Prefix></Prefix><MaxKeys>1000</MaxKeys>'
    "<IsTruncated>{more}</IsTruncated>{token}<KeyCount>1000</KeyCount>{entries}</ListBucketResult>"
)
ENTRY = (
    "<Contents><Key>raw/{number:05d}.jpg</Key><LastModified>2026-11-20T08:00:00.000Z</LastModified>"
    "<ETag>&quot;e&quot;</ETag><Size>5</Size></Contents>"
)
OBJECTS = 10_000


class Faulty(BaseHTTPRequestHandler):
    """Lists 10,000 keys, 1,000 a page, but every second request goes wrong in a way of its own."""

    protocol_version = "HTTP/1.1"
    requests = count()

    def do_GET(self) -> None:
        number = next(self.requests)
        fault = (number // 2) % 4 if number % 2 else None
        if fault == 0:
            return self.answer(503, b"<Error><Code>SlowDown</Code></Error>")
        if fault == 1:
            return self.answer(500, b"<Error><Code>InternalError</Code></Error>")
        body = self.page()
        if fault == 2:
            return self.answer(200, body, sent=len(body) // 2)
        if fault == 3:
            return self.drop()
        return self.answer(200, body)

    def page(self) -> bytes:
        from urllib.parse import parse_qs, urlsplit

        query = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
        after = query.get("start-after", "")
        start = (
            int(query.get("continuation-token") or after.removeprefix("raw/").removesuffix(".jpg") or -1) + 1
        )
        if query.get("delimiter") and not query.get("prefix"):
            entries = "<CommonPrefixes><Prefix>raw/</Prefix></CommonPrefixes>"
            return PAGE.format(more="false", token="", entries=entries).encode()
        last = min(start + 1_000, OBJECTS)
        token = f"<NextContinuationToken>{last - 1}</NextContinuationToken>" if last < OBJECTS else ""
        entries = "".join(ENTRY.format(number=number) for number in range(start, last))
        return PAGE.format(more="true" if token else "false", token=token, entries=entries).encode()

    def answer(self, status: int, body: bytes, sent: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:sent])
        if sent is not None:
            self.drop()

    def drop(self) -> None:
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_RDWR)
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Stay silent."""


@contextmanager
def running(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    server = ThreadingHTTPServer((LOOPBACK, 0), handler)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://{LOOPBACK}:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_throttling_and_dropped_answers_lose_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(range_reader, "LONGEST_PAUSE_S", 0.01)
    with running(Faulty) as url:
        store = open_s3(
            "media", endpoint_url=url, region="us-east-1", access_key_id="a", secret_access_key="b"
        )
        listing = list_objects(store, "", RunFolder(tmp_path))

    assert listing.objects == OBJECTS
    assert listing.total_bytes == OBJECTS * 5
