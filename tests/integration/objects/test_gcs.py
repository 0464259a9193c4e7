"""Google Cloud Storage that refuses, fails or takes tokens back: a clear line each, or another try."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from itertools import count
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth.credentials import AnonymousCredentials
from google.oauth2 import service_account

from cloud_sync.objects import range_reader
from cloud_sync.objects.attempts import Attempts
from cloud_sync.objects.errors import ObjectStoreError
from cloud_sync.objects.gcs import open_gcs
from cloud_sync.objects.listing import list_objects
from cloud_sync.run_folder import RunFolder
from tests.servers import LOOPBACK, free_ports, running_gcs

from .test_stores import CALLS, OBJECTS, Faulty, refusal, running

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cloud_sync.objects.model import ObjectStore
    from tests.servers import GcsServer

SECRET = "canary-secret-1f2e"
KEYS_PER_PAGE = 1_000


def gcs_page(path: str) -> bytes:
    """Return a page of 10,000 keys in one folder, as the API gives it."""
    query = {name: values[0] for name, values in parse_qs(urlsplit(path).query).items()}
    if query.get("delimiter") and not query.get("prefix"):
        return json.dumps({"kind": "storage#objects", "prefixes": ["raw/"]}).encode()
    behind = query.get("startOffset", "").removeprefix("raw/").removesuffix(".jpg")
    start = int(query.get("pageToken") or behind or 0)
    last = min(start + KEYS_PER_PAGE, OBJECTS)
    content: dict[str, Any] = {"kind": "storage#objects"}
    content |= {"nextPageToken": str(last)} if last < OBJECTS else {}
    content["items"] = [
        {
            "name": f"raw/{number:05d}.jpg",
            "size": "5",
            "timeCreated": "2026-11-20T08:00:00.000Z",
            "md5Hash": "e",
        }
        for number in range(start, last)
    ]
    return json.dumps(content).encode()


@pytest.mark.parametrize("call", CALLS)
def test_a_missing_bucket(fake_gcs: GcsServer, call: Callable[[ObjectStore], Any]):
    store = open_gcs("no-such-bucket", credentials=fake_gcs.credentials(), endpoint_url=fake_gcs.endpoint_url)
    error = refusal(call, store)

    # Where an object was asked for, this server does not say, as the real one does, what is missing.
    assert (error.reason, error.transient) == ("no_bucket" if call in CALLS[:2] else "missing", False)


def test_a_missing_object(fake_gcs: GcsServer):
    store = open_gcs("media", credentials=fake_gcs.credentials(), endpoint_url=fake_gcs.endpoint_url)
    error = refusal(lambda store: store.head("nope.jpg"), store)

    assert (error.reason, error.transient) == ("missing", False)
    assert "object 'nope.jpg'" in str(error)


def test_a_public_bucket_needs_no_credentials(fake_gcs: GcsServer):
    fake_gcs.client().bucket("media").blob("public.jpg").upload_from_string(b"content")
    store = open_gcs("media", credentials=AnonymousCredentials(), endpoint_url=fake_gcs.endpoint_url)

    assert store.page("public").rows["key"].to_pylist() == ["public.jpg"]
    assert store.read_start("public.jpg", 4) == (7, b"cont")


def test_a_bucket_of_files_is_listed_in_pages(tmp_path: Path):
    keys = [f"raw/cam{camera}/{number:03d} ä+.jpg" for camera in range(3) for number in range(5)]
    with running_gcs(tmp_path / "server", ["media"]) as server:
        for key in keys:
            server.client().bucket("media").blob(key).upload_from_string(b"content")
        store = open_gcs("media", credentials=server.credentials(), endpoint_url=server.endpoint_url)
        first = store.page("raw/", limit=7)
        rest = store.page("raw/", token=first.next_token)

    assert first.rows["key"].to_pylist() + rest.rows["key"].to_pylist() == keys
    assert (first.rows.num_rows, rest.next_token) == (7, None)


def test_a_store_that_does_not_run(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("cloud_sync.objects.attempts.ATTEMPTS", 2)
    store = open_gcs(
        "media", credentials=AnonymousCredentials(), endpoint_url=f"http://{LOOPBACK}:{free_ports(1)[0]}"
    )

    for call in CALLS:
        error = refusal(call, store)
        assert (error.reason, error.transient) == ("unreachable", True)


class FaultyGcs(Faulty):
    """Lists as Google does, and every second request goes wrong in a way of its own."""

    requests = count()

    def page(self) -> bytes:
        return gcs_page(self.path)


def test_throttling_and_dropped_answers_lose_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(range_reader, "LONGEST_PAUSE_S", 0.01)
    with running(FaultyGcs) as url:
        store = open_gcs("media", credentials=AnonymousCredentials(), endpoint_url=url)
        store._attempts = Attempts(sleep=lambda _: None)
        listing = list_objects(store, "", RunFolder(tmp_path))

    assert (listing.objects, listing.total_bytes) == (OBJECTS, OBJECTS * 5)


class Gatekeeper(BaseHTTPRequestHandler):
    """Gives tokens to a service account, and pages to the newest one, which it takes back after three.

    Attributes:
        tokens: Given so far.
        most: Given at all: afterwards the account is disabled.
        pages: Given to the newest token.
    """

    protocol_version = "HTTP/1.1"
    tokens, most, pages = 0, 100, 0

    def do_POST(self) -> None:
        kind = type(self)
        self.rfile.read(int(self.headers["Content-Length"]))
        if kind.tokens >= kind.most:
            return self.answer(400, {"error": "invalid_grant", "error_description": SECRET})
        kind.tokens, kind.pages = kind.tokens + 1, 0
        return self.answer(200, {"access_token": f"{SECRET}-{kind.tokens}", "expires_in": 3600})

    def do_GET(self) -> None:
        kind = type(self)
        if self.headers["Authorization"] != f"Bearer {SECRET}-{kind.tokens}" or kind.pages >= 3:
            return self.answer(401, {"error": {"errors": [{"reason": "authError", "message": SECRET}]}})
        kind.pages += 1
        return self.answer(200, gcs_page(self.path))

    def answer(self, status: int, content: Any) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Stay silent."""


def account_of(url: str) -> service_account.Credentials:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    info = {"client_email": "sync@example", "token_uri": f"{url}/token", "private_key": pem.decode()}
    return service_account.Credentials.from_service_account_info(info)


def test_tokens_that_are_taken_back_in_the_middle_of_a_listing_are_renewed(tmp_path: Path):
    keeper = type("Keeper", (Gatekeeper,), {})
    with running(keeper) as url:
        store = open_gcs("media", credentials=account_of(url), endpoint_url=url)
        listing = list_objects(store, "", RunFolder(tmp_path))

    assert listing.objects == OBJECTS
    assert keeper.tokens >= 4


def test_a_token_that_expires_in_the_middle_is_renewed_in_time(tmp_path: Path):
    keeper = type("Keeper", (Gatekeeper,), {})
    with running(keeper) as url:
        credentials = account_of(url)
        store = open_gcs("media", credentials=credentials, endpoint_url=url)
        store.check_access()
        used = store._sign._credentials
        used.expiry = datetime.now(UTC).replace(tzinfo=None) + timedelta(seconds=30)
        store.check_access()

    assert keeper.tokens == 2


def test_an_account_that_is_disabled_in_the_middle_ends_the_listing(tmp_path: Path):
    keeper = type("Keeper", (Gatekeeper,), {"most": 2})
    with running(keeper) as url:
        store = open_gcs("media", credentials=account_of(url), endpoint_url=url)
        with pytest.raises(ObjectStoreError) as caught:
            list_objects(store, "", RunFolder(tmp_path))

    assert (caught.value.reason, caught.value.transient) == ("forbidden", False)
    assert "Google does not renew the credentials" in str(caught.value)
    assert SECRET not in str(caught.value)
    assert not (tmp_path / "listing" / "index.json").exists()
