"""A bucket of Google Cloud Storage: what is asked, with which tokens, and what answers mean."""

from __future__ import annotations

import gzip
import io
import json
import threading
from collections import deque
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from google.auth.credentials import AnonymousCredentials, Credentials
from google.auth.exceptions import RefreshError, TransportError
from google.oauth2 import service_account
from urllib3 import HTTPResponse
from urllib3.exceptions import NewConnectionError

from cloud_sync.objects.attempts import ATTEMPTS, Attempts
from cloud_sync.objects.errors import ObjectStoreError
from cloud_sync.objects.gcs import GcsObjectStore, GcsSign, open_gcs
from cloud_sync.objects.gcs_errors import READ_ONLY, from_gcs
from cloud_sync.objects.model import StoredObject
from cloud_sync.objects.wire import Wire

from .gcs_json import item, page_json

AT = datetime(2026, 11, 20, 8, tzinfo=UTC)
OBJECT = StoredObject("raw/a.jpg", 5, AT, "XrY7u+Ae7tCTyyK7j1rNww==")
SECRET = "canary-1f2e"
UNAUTHORISED = (401, b'{"error": {"errors": [{"reason": "authError"}]}}')


class Tokens(Credentials):
    """Credentials that are good for an hour, and count how often they were renewed."""

    def __init__(self, *, expires_in: timedelta = timedelta(hours=1), error: Exception | None = None) -> None:
        super().__init__()
        self.token = f"{SECRET}-0"
        self.expiry = datetime.now(UTC).replace(tzinfo=None) + expires_in
        self.renewed, self.error = 0, error

    def refresh(self, request: Any) -> None:
        self.renewed += 1
        if self.error is not None:
            raise self.error
        self.token, self.expiry = f"{SECRET}-{self.renewed}", None


class Store:
    """A store whose connection gives the answers that it is told, and keeps what was asked."""

    def __init__(self, *answers: tuple[Any, ...] | Exception, credentials: Credentials | None = None) -> None:
        self.answers = deque(answers)
        self.requests: list[SimpleNamespace] = []
        self.now = [0.0]
        sign = GcsSign("https://host/storage/v1/b/media/o", credentials or Tokens(), lambda **_: None)
        wire = Wire(self, sign, refused=from_gcs, clock=lambda: self.now[0])  # type: ignore[arg-type]
        attempts = Attempts(clock=lambda: self.now[0], sleep=self.sleep, draw=lambda _, most: most)
        self.opened = GcsObjectStore("media", sign, wire, attempts)
        self.page = self.opened.page

    def sleep(self, seconds: float) -> None:
        self.now[0] += seconds

    def urlopen(self, method: str, url: str, **options: Any) -> HTTPResponse:
        headers = {name.lower(): value for name, value in options["headers"].items()}
        self.requests.append(SimpleNamespace(method=method, url=url, at=self.now[0], headers=headers))
        answer = self.answers.popleft()
        if isinstance(answer, Exception):
            raise answer
        status, body, *more = answer
        said = {"Content-Length": str(len(body)), "ETag": '"e"'} | (more[0] if more else {})
        return HTTPResponse(
            io.BytesIO(body),
            said,
            status,
            preload_content=False,
            request_method=method,
            decode_content=options["decode_content"],
        )

    def query(self) -> dict[str, str]:
        """Return what the last page was asked for with."""
        return {name: values[0] for name, values in parse_qs(urlsplit(self.requests[-1].url).query).items()}

    def tokens(self) -> list[str]:
        return [request.headers["authorization"].rpartition("-")[2] for request in self.requests]


def refusal(call: Any) -> ObjectStoreError:
    with pytest.raises(ObjectStoreError) as caught:
        call()
    assert SECRET not in str(caught.value)
    assert "http" not in str(caught.value).replace("HTTP", "")
    return caught.value


class TestPages:
    def test_a_page_is_asked_for_with_no_more_than_is_needed(self):
        store = Store((200, page_json([OBJECT], prefixes=["raw/b/"], token="t")))
        page = store.page("raw/ä +")

        assert [StoredObject(**row) for row in page.rows.to_pylist()] == [OBJECT]
        assert (page.prefixes, page.next_token) == (("raw/b/",), "t")
        assert urlsplit(store.requests[0].url).path == "/storage/v1/b/media/o"
        assert store.query() == {
            "prefix": "raw/ä +",
            "maxResults": "1000",
            "prettyPrint": "false",
            "fields": "kind,nextPageToken,prefixes,items(name,size,timeCreated,md5Hash,crc32c,generation)",
        }

    def test_the_page_after_is_asked_for_by_its_token(self):
        store = Store((200, page_json([OBJECT])))
        page = store.page("", after=OBJECT.key, token="t/+", delimiter="/", limit=7)

        assert {name: store.query()[name] for name in ("pageToken", "delimiter", "maxResults")} == {
            "pageToken": "t/+",
            "delimiter": "/",
            "maxResults": "7",
        }
        assert "startOffset" not in store.query()
        assert page.rows.num_rows == 1

    def test_what_stands_behind_a_key_does_not_include_it(self):
        other = StoredObject("raw/a.jpg0", 5, AT, "e")
        store = Store((200, page_json([OBJECT, other], token="t")), (200, page_json([other])))

        page = store.page("raw/", after=OBJECT.key)
        assert (page.rows["key"].to_pylist(), page.next_token) == ([other.key], "t")
        assert store.query()["startOffset"] == OBJECT.key
        assert store.page("raw/", after=OBJECT.key).rows["key"].to_pylist() == [other.key]

    def test_behind_a_folder_is_asked_for_without_a_character_that_no_text_may_hold(self):
        store = Store((200, page_json([])))
        store.page("raw/", after="raw/cam1/\U0010ffff")

        assert store.query()["startOffset"] == "raw/cam10"

    def test_a_compressed_page_is_unpacked(self):
        packed = gzip.compress(page_json([OBJECT]))
        store = Store((200, packed, {"Content-Encoding": "gzip"}))

        assert store.page("").rows.num_rows == 1
        assert store.requests[0].headers["accept-encoding"] == "gzip"
        assert "gzip" in store.requests[0].headers["user-agent"]

    def test_a_page_that_is_cut_short_is_asked_for_again(self):
        body = page_json([OBJECT])
        store = Store((200, body[:40], {"Content-Length": str(len(body))}), (200, body))

        assert store.page("").rows.num_rows == 1

    def test_a_listing_that_would_never_end_is_refused(self):
        store = Store((200, page_json([], token="again")), (200, page_json([], token="again")))

        assert store.page("").next_token == "again"
        assert "never end" in str(refusal(lambda: store.page("", token="again")))

    @pytest.mark.parametrize("packed", [False, True])
    def test_half_an_answer_that_looks_whole_is_asked_for_again(self, packed: bool):
        body = page_json([OBJECT] * 50)
        half = gzip.compress(body)[:90] if packed else body[: len(body) // 2]
        torn = (200, half, {"Content-Encoding": "gzip"} if packed else {})
        assert Store(torn, (200, body)).page("").rows.num_rows == 50

        store = Store(*[torn] * ATTEMPTS)
        error = refusal(lambda: store.page("raw/"))
        assert (error.reason, error.transient, len(store.requests)) == ("unreachable", True, ATTEMPTS)
        assert str(error).startswith("bucket media, prefix 'raw/': the store's listing ends in the middle.")

    @pytest.mark.parametrize("body", [b"{}", b"<html>", b"[1"])
    def test_what_is_no_page_is_named(self, body: bytes):
        error = refusal(lambda: Store((200, body)).page("raw/"))

        assert (error.reason, error.transient) == ("other", False)
        assert str(error).startswith("bucket media, prefix 'raw/': the store's listing cannot be read: ")

    def test_a_listing_misses_the_bucket_an_object_itself(self):
        missing = (404, b"Not Found")

        assert refusal(lambda: Store(missing).page("")).reason == "no_bucket"
        assert refusal(Store(missing).opened.check_access).reason == "no_bucket"
        assert refusal(lambda: Store(missing).opened.head("a")).reason == "missing"
        assert refusal(lambda: Store(missing).opened.read_range("a", 0, 1)).reason == "missing"

    def test_access_is_checked_by_one_entry(self):
        store = Store((200, page_json([OBJECT])))
        store.opened.check_access("raw/")

        assert (store.query()["prefix"], store.query()["maxResults"]) == ("raw/", "1")


KEYS = [
    "a b+c.jpg",
    "/lead",
    "a//b",
    "a/",
    "a/../b",
    "./a",
    "a%20b",
    "a#b?c&d",
    "é",
    "e\u0301",
    "a\nb",
    "é" * 512,
]


class TestObjects:
    @pytest.mark.parametrize("key", KEYS)
    def test_every_key_stands_in_the_url_as_one_piece(self, key: str):
        store = Store((200, b"01234"), (200, page_json([])))
        store.opened.read_start(key, 5)
        path = urlsplit(store.requests[0].url).path.removeprefix("/storage/v1/b/media/o/")

        assert unquote(path) == key
        assert "/" not in path

    def test_a_range_is_asked_for_as_the_object_is_stored(self):
        packed = gzip.compress(b"0123456789")
        answer = (206, packed[2:6], {"Content-Range": "bytes 2-5/30", "Content-Encoding": "gzip"})
        store = Store(answer)

        assert store.opened.read_range("a", 2, 4) == packed[2:6]
        assert urlsplit(store.requests[0].url).query == "alt=media"
        assert store.requests[0].headers["range"] == "bytes=2-5"
        assert store.requests[0].headers["accept-encoding"] == "gzip"

    def test_start_and_tail(self):
        part = {"Content-Range": "bytes 0-3/10"}
        none = (416, b"", {"Content-Range": "bytes */0"})
        store = Store((206, b"0123", part), (206, b"6789", part), none, none)

        assert store.opened.read_start("a", 4) == (10, b"0123")
        assert store.opened.read_tail("a", 4) == b"6789"
        assert store.requests[1].headers["range"] == "bytes=-4"
        assert store.opened.read_start("empty", 4) == (0, b"")
        assert store.opened.read_tail("empty", 4) == b""

    def test_nothing_is_not_asked_for(self):
        store = Store()

        assert (store.opened.read_range("a", 5, 0), store.opened.read_tail("a", 0)) == (b"", b"")

    def test_a_head_says_what_a_listing_says(self):
        store = Store((200, json.dumps(item(OBJECT)).encode()))

        assert store.opened.head(OBJECT.key) == OBJECT
        assert store.query()["fields"] == "name,size,timeCreated,md5Hash,crc32c,generation"

    def test_what_is_no_object_is_named(self):
        error = refusal(lambda: Store((200, b"{}")).opened.head("a"))

        assert str(error).startswith("bucket media, object 'a': the store's answer cannot be read: ")


class TestTokens:
    def test_a_token_is_renewed_before_it_expires(self):
        soon = Tokens(expires_in=timedelta(minutes=1))
        store = Store((200, page_json([])), (200, page_json([])), credentials=soon)
        store.page("")
        store.page("")

        assert (store.tokens(), soon.renewed) == (["1", "1"], 1)

    def test_a_token_that_is_refused_before_its_time_is_renewed(self):
        credentials = Tokens()
        store = Store(UNAUTHORISED, (200, page_json([OBJECT])), credentials=credentials)

        assert store.page("").rows.num_rows == 1
        assert store.tokens() == ["0", "1"]

    def test_one_that_is_refused_at_once_again_is_the_end(self):
        store = Store(UNAUTHORISED, UNAUTHORISED)
        error = refusal(lambda: store.page(""))

        assert (error.reason, error.transient, len(store.requests)) == ("forbidden", False, 2)

    def test_threads_that_were_all_refused_renew_once(self):
        credentials = Tokens()
        sign = GcsSign("https://host", credentials, lambda **_: None)
        both_have_sent = threading.Barrier(2)

        def refused() -> None:
            sign.headers("GET", "https://host")
            both_have_sent.wait(10)
            sign.renew()

        threads = [threading.Thread(target=refused) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert credentials.renewed == 1
        refused_later = sign.headers("GET", "https://host")
        sign.renew()
        assert credentials.renewed == 2
        assert refused_later != sign.headers("GET", "https://host")

    def test_credentials_that_were_revoked_in_the_middle(self):
        store = Store(UNAUTHORISED, credentials=Tokens(error=RefreshError(f"invalid_grant {SECRET}")))
        error = refusal(lambda: store.opened.read_range("a", 0, 1))

        assert (error.reason, error.transient) == ("forbidden", False)
        assert str(error).startswith("bucket media, object 'a': Google does not renew the credentials.")

    def test_a_token_server_that_cannot_be_reached_is_asked_again(self):
        credentials = Tokens(expires_in=-timedelta(minutes=1), error=TransportError(SECRET))
        error = refusal(lambda: Store(credentials=credentials).page(""))

        assert (error.reason, error.transient) == ("unreachable", True)
        assert credentials.renewed == ATTEMPTS

    def test_a_private_bucket_without_credentials(self):
        store = Store(UNAUTHORISED, credentials=AnonymousCredentials())
        error = refusal(lambda: store.page(""))

        assert (error.reason, error.transient) == ("forbidden", False)
        assert "without credentials" in str(error)

    def test_what_credentials_fail_with_for_no_known_reason(self):
        store = Store(UNAUTHORISED, credentials=Tokens(error=ValueError(SECRET)))

        assert refusal(lambda: store.page("")).reason == "other"


class TestTryingAgain:
    @pytest.mark.parametrize("asked", ["7", "Tue, 24 Nov 2026 12:00:07 GMT"])
    @pytest.mark.parametrize("status", [429, 503])
    def test_no_request_comes_before_the_store_wants_it(self, status: int, asked: str):
        headers = {"Retry-After": asked, "Date": "Tue, 24 Nov 2026 12:00:00 GMT"}
        store = Store((status, b"", headers), (200, page_json([])), (status, b"", headers), (200, b"0"))
        store.page("")
        store.opened.read_range("a", 0, 1)

        first, second, third, fourth = (request.at for request in store.requests)
        assert second - first >= 7
        assert fourth - third >= 7

    @pytest.mark.parametrize(
        "failure",
        [(500, b""), (502, b""), (408, b""), NewConnectionError(None, "")],  # type: ignore[arg-type]
    )
    def test_what_passes_is_tried_again_but_not_for_ever(self, failure: Any):
        store = Store(failure, failure, (200, page_json([OBJECT])))
        assert store.page("").rows.num_rows == 1

        store = Store(*[failure] * (ATTEMPTS + 1))
        error = refusal(lambda: store.opened.head("a"))
        assert (error.reason, error.transient, len(store.requests)) == ("unreachable", True, ATTEMPTS)

    def test_what_does_not_pass_is_not_tried_again(self):
        store = Store((403, b""))

        assert refusal(lambda: store.page("")).reason == "forbidden"


class TestOpening:
    def test_it_makes_no_request_and_shows_no_secret(self):
        store = open_gcs("media", credentials=Tokens())

        assert store.where == "bucket media"
        assert SECRET not in repr(store)
        assert SECRET not in repr(vars(store))

    @pytest.mark.parametrize(
        ("endpoint_url", "host", "objects_url"),
        [
            (None, "storage.googleapis.com", "https://storage.googleapis.com/storage/v1/b/media/o"),
            ("http://127.0.0.1:9/", "127.0.0.1", "http://127.0.0.1:9/storage/v1/b/media/o"),
        ],
    )
    def test_where_requests_go(self, endpoint_url: str | None, host: str, objects_url: str):
        store = open_gcs("media", credentials=Tokens(), endpoint_url=endpoint_url)

        assert store._wire._pool.host == host
        assert store._sign.objects_url == objects_url

    def test_clouds_apart_from_googles_public_one_have_hosts_of_their_own(self):
        credentials = Tokens()
        credentials._universe_domain = "apis.example"

        assert open_gcs("media", credentials=credentials)._wire._pool.host == "storage.apis.example"

    def test_a_service_account_asks_for_no_more_than_reading(self):
        account = service_account.Credentials(None, "a@example", "https://host/token")

        assert open_gcs("media", credentials=account)._sign._credentials.scopes == [READ_ONLY]
        wide = account.with_scopes(["https://www.googleapis.com/auth/cloud-platform"])
        assert open_gcs("media", credentials=wide)._sign._credentials is wide
