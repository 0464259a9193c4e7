"""One request about one object: what is sent, what answers mean, and that a body ends in time."""

from __future__ import annotations

import contextlib
import io
from types import SimpleNamespace
from typing import Any

import pytest
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3 import HTTPResponse
from urllib3.exceptions import NameResolutionError, NewConnectionError, ProtocolError, ReadTimeoutError

from cloud_sync.objects.errors import ObjectStoreError
from cloud_sync.objects.wire import (
    CHUNK_BYTES,
    READ_TIMEOUT_S,
    Wire,
    connected,
    proxy_for,
    trusted_certificates,
)
from cloud_sync.version import user_agent

SIGN: Any = None
WHERE = "bucket media, object 'a'"
DEADLINE = 60.0
CONTENT = bytes(range(256)) * 1000


class Body(io.BytesIO):
    """A body that comes in pieces, each of which takes its time."""

    def __init__(self, content: bytes, now: list[float], piece: int = CHUNK_BYTES, took_s: float = 0) -> None:
        super().__init__(content)
        self.now, self.piece, self.took_s, self.reads = now, piece, took_s, 0

    def read1(self, size: int | None = -1) -> bytes:
        self.reads += 1
        self.now[0] += self.took_s
        return super().read1(min(self.piece, size if size and size > 0 else self.piece))


class Pool:
    """One connection that answers as it is told."""

    def __init__(self, status: int = 200, body: bytes = b"", headers: Any = None, **how: Any) -> None:
        self.now = [0.0]
        self.body = Body(body, self.now, **how)
        self.headers = {"Content-Length": str(len(body))} | (headers or {})
        self.status = status
        self.error: Exception | None = None
        self.requests: list[SimpleNamespace] = []
        self.connection = SimpleNamespace(close=lambda: self.ends.append("closed"))
        self.ends: list[str] = []

    def urlopen(self, method: str, url: str, **options: Any) -> HTTPResponse:
        self.requests.append(SimpleNamespace(method=method, url=url, **options))
        if self.error is not None:
            raise self.error
        return HTTPResponse(
            self.body,
            self.headers,
            self.status,
            preload_content=False,
            request_method=method,
            pool=self,  # type: ignore[arg-type]
            connection=self.connection,  # type: ignore[arg-type]
        )

    def _put_conn(self, connection: Any) -> None:
        assert connection is self.connection
        self.ends.append("given back")

    def wire(self, **options: Any) -> Wire:
        def sign(method: str, key: str, headers: Any) -> tuple[str, dict[str, str]]:
            return f"http://host/media/{key}?v=1", {**headers, "Authorization": f"{method} by me"}

        return Wire(self, sign, clock=lambda: self.now[0], **options)  # type: ignore[arg-type]


def part(first: int, last: int) -> Pool:
    data = CONTENT[first : last + 1]
    headers = {"Content-Range": f"bytes {first}-{first + len(data) - 1}/{len(CONTENT)}"}
    return Pool(206, data, headers)


def start(pool: Pool, first: int = 0, length: int = 10) -> Any:
    return pool.wire().start("a", first, length, deadline=DEADLINE, where=WHERE)


def tail(pool: Pool, length: int = 10) -> Any:
    return pool.wire().tail("a", length, deadline=DEADLINE, where=WHERE)


def test_a_signed_request_is_sent_as_it_is_and_never_again():
    pool = part(5, 14)
    answer = start(pool, 5)
    [request] = pool.requests
    assert (request.method, request.url) == ("GET", "/media/a?v=1")
    agent = user_agent()
    assert request.headers == {"User-Agent": agent, "Range": "bytes=5-14", "Authorization": "GET by me"}
    assert (request.retries, request.redirect, request.decode_content) == (False, False, False)
    assert (answer.size_bytes, answer.data) == (len(CONTENT), CONTENT[5:15])


def test_a_proxy_for_plain_http_is_sent_whole_urls():
    pool = part(0, 9)
    pool.wire(whole_urls=True).start("a", 0, 10, deadline=DEADLINE, where=WHERE)
    assert pool.requests[0].url == "http://host/media/a?v=1"


def test_the_tail_of_an_object():
    pool = part(len(CONTENT) - 10, len(CONTENT) - 1)
    assert tail(pool).data == CONTENT[-10:]
    assert pool.requests[0].headers["Range"] == "bytes=-10"


def test_a_head_has_size_and_headers():
    pool = Pool(200, b"", {"Content-Length": "77", "ETag": '"e"'})
    answer = pool.wire().head("a", deadline=DEADLINE, where=WHERE)
    assert (answer.size_bytes, answer.headers["etag"], pool.requests[0].method) == (77, '"e"', "HEAD")


@pytest.mark.parametrize(
    ("headers", "body", "size"),
    [
        ({"Content-Range": "bytes */3"}, b"no", 3),
        ({"ETag": '"e"'}, b"", 0),
        ({}, b"<Error><Code>InvalidRange</Code></Error>", 0),
        ({}, b"<Error><Code>InvalidRange</Code><ActualObjectSize>3</ActualObjectSize></Error>", 0),
        ({}, b"<Error><ActualObjectSize>3</ActualObjectSize><Code>InvalidRange</Code></Error>", 3),
    ],
)
@pytest.mark.parametrize("ask", [start, tail])
def test_behind_the_end_there_is_nothing(ask, headers, body, size):
    answer = ask(Pool(416, body, headers))
    assert (answer.size_bytes, answer.data) == (size, b"")


@pytest.mark.parametrize(("status", "body"), [(416, b""), (416, b"no"), (200, b"<html>Please log in</html>")])
@pytest.mark.parametrize("ask", [start, tail])
def test_what_a_gateway_says_is_no_content_of_an_object(ask, status, body):
    with pytest.raises(ObjectStoreError, match="object 'a': the answer is not that of a") as caught:
        ask(Pool(status, body))
    assert (caught.value.reason, caught.value.transient) == ("unreachable", True)


@pytest.mark.parametrize("ask", [start, tail])
def test_a_part_that_is_cut_short_is_a_failure_of_the_network(ask):
    pool = Pool(206, b"0123", {"Content-Range": "bytes 0-9/10"})
    del pool.headers["Content-Length"]
    with pytest.raises(ObjectStoreError, match="cannot be reached") as caught:
        ask(pool)
    assert caught.value.transient


def test_a_part_of_a_shorter_object_is_whole():
    answer = start(Pool(206, b"0123", {"Content-Range": "bytes 0-3/4"}))
    assert (answer.size_bytes, answer.data) == (4, b"0123")


@pytest.mark.parametrize("piece", [7, 1000, CHUNK_BYTES])
def test_a_store_that_gives_all_instead_of_a_part_loses_nothing(piece):
    def whole() -> Pool:
        return Pool(200, CONTENT, {"ETag": '"e"'}, piece=piece)

    assert start(whole()).data == CONTENT[:10]
    assert start(whole()).size_bytes == len(CONTENT)
    assert start(whole(), 995, 20).data == CONTENT[995:1015]
    assert start(whole(), len(CONTENT) + 5).data == b""
    assert tail(whole()).data == CONTENT[-10:]


def test_no_more_is_read_than_wanted_and_such_a_connection_is_not_used_again():
    pool = Pool(200, CONTENT, {"Accept-Ranges": "bytes"}, piece=1000)
    start(pool)
    assert pool.body.reads == 1
    assert pool.ends[0] == "closed"


@pytest.mark.parametrize("pool", [part(0, 9), Pool(416, b"no"), Pool(503, b"no"), Pool(404)])
def test_an_answer_that_was_read_gives_its_connection_back(pool):
    with contextlib.suppress(ObjectStoreError):
        start(pool)
    assert pool.ends == ["given back"]


def test_a_refusal_says_what_the_store_says():
    pool = Pool(503, b"<Error><Code>SlowDown</Code></Error>", {"Retry-After": "7"})
    with pytest.raises(ObjectStoreError, match="object 'a': the store is overloaded") as caught:
        start(pool)
    assert (caught.value.transient, caught.value.retry_after_s) == (True, 7)


def test_an_answer_without_a_size_is_no_answer_of_a_store():
    with pytest.raises(ObjectStoreError, match="does not say how large"):
        start(Pool(206, b"0123456789"))


def test_a_body_that_trickles_ends_at_the_deadline():
    pool = Pool(206, CONTENT, {"Content-Range": f"bytes 0-999/{len(CONTENT)}"}, piece=1, took_s=25)
    with pytest.raises(ObjectStoreError, match="object 'a': the answer did not come in time") as caught:
        start(pool, length=1000)
    assert (caught.value.reason, caught.value.transient, bool(caught.value.remedy)) == (
        "unreachable",
        True,
        True,
    )
    assert pool.body.reads == 3
    assert pool.now[0] < DEADLINE + READ_TIMEOUT_S
    assert pool.ends[0] == "closed"


def test_a_refusal_that_trickles_ends_too():
    pool = Pool(503, CONTENT, piece=1, took_s=25)
    with pytest.raises(ObjectStoreError, match="did not come in time"):
        start(pool)


def test_no_request_waits_for_longer_than_there_is_time():
    pool = part(0, 9)
    pool.now[0] = DEADLINE - 2
    start(pool)
    timeout = pool.requests[0].timeout
    assert (timeout.connect_timeout, timeout.read_timeout) == (2, 2)


@pytest.mark.parametrize(
    "error",
    [
        NewConnectionError(None, "http://host?X-Amz-Signature=c4fe"),  # type: ignore[arg-type]
        ReadTimeoutError(None, "http://host?X-Amz-Signature=c4fe", "slow"),  # type: ignore[arg-type]
        ProtocolError("reset"),
    ],
)
def test_a_network_that_fails_may_work_again(error):
    pool = Pool()
    pool.error = error
    with pytest.raises(ObjectStoreError, match="cannot be reached") as caught:
        start(pool)
    assert caught.value.transient
    assert "c4fe" not in str(caught.value)


def test_a_host_that_nobody_knows_is_named_as_such():
    pool = Pool()
    pool.error = NameResolutionError("host", None, OSError())  # type: ignore[arg-type]
    with pytest.raises(ObjectStoreError, match="check the endpoint or account") as caught:
        start(pool)
    assert (caught.value.reason, caught.value.transient) == ("unreachable", True)


def test_an_object_that_stops_coming_is_a_failure_of_the_network():
    pool = Pool(206, b"0123", {"Content-Range": "bytes 0-9/10", "Content-Length": "10"})
    with pytest.raises(ObjectStoreError, match="cannot be reached") as caught:
        start(pool)
    assert caught.value.transient


@pytest.mark.parametrize(
    ("base_url", "options", "expected"),
    [
        ("https://host/", {}, ("host", "CERT_REQUIRED", DEFAULT_CA_BUNDLE_PATH)),
        ("https://host/", {"verify": "/own.pem"}, ("host", "CERT_REQUIRED", "/own.pem")),
        ("https://host/", {"verify": False}, ("host", "CERT_NONE", None)),
        ("http://host/", {"verify": False}, ("host", None, None)),
    ],
)
def test_certificates_are_checked_as_the_connection_says(base_url, options, expected):
    pool = connected(SIGN, base_url, **options)._pool
    found = (pool.host, getattr(pool, "cert_reqs", None), getattr(pool, "ca_certs", None))
    assert found == expected


def test_a_proxy_is_gone_through():
    plain = connected(SIGN, "http://host/", proxy_url="http://proxy:3128")
    assert (plain._pool.host, plain._whole_urls) == ("proxy", True)
    tunnel = connected(SIGN, "https://host/", proxy_url="http://proxy:3128")
    assert (tunnel._pool.host, tunnel._pool.proxy.host, tunnel._whole_urls) == ("host", "proxy", False)


def test_the_end_of_an_empty_object_is_nothing_however_the_store_says_it():
    answer = tail(Pool(206, b"", {"Content-Range": "bytes 0--1/0"}))
    assert (answer.size_bytes, answer.data) == (0, b"")


def test_a_proxy_is_told_the_login_that_its_url_has():
    wire = connected(SIGN, "https://host/", proxy_url="http://me:p%40ss@proxy:3128")
    assert wire._pool.proxy_headers == {"proxy-authorization": "Basic bWU6cEBzcw=="}
    assert not connected(SIGN, "https://host/", proxy_url="http://proxy:3128")._pool.proxy_headers


@pytest.mark.parametrize(
    ("url", "proxies", "expected"),
    [
        ("https://host/", {"https": "http://proxy:1"}, "http://proxy:1"),
        ("https://host/", {"https": "proxy:1"}, "http://proxy:1"),
        ("http://host/", {"https": "http://proxy:1"}, None),
        ("https://host/", None, "http://from-the-environment:1"),
        ("https://inside/", None, None),
    ],
)
def test_which_proxy_is_gone_through(monkeypatch: pytest.MonkeyPatch, url: str, proxies: Any, expected: Any):
    monkeypatch.setenv("HTTPS_PROXY", "http://from-the-environment:1")
    monkeypatch.setenv("NO_PROXY", "inside")
    assert proxy_for(url, proxies) == expected


def test_which_certificates_are_trusted(monkeypatch: pytest.MonkeyPatch):
    for name in ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    assert trusted_certificates("AWS_CA_BUNDLE") is True
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/all.pem")
    assert trusted_certificates("AWS_CA_BUNDLE") == "/all.pem"
    monkeypatch.setenv("AWS_CA_BUNDLE", "/aws.pem")
    assert (trusted_certificates("AWS_CA_BUNDLE"), trusted_certificates()) == ("/aws.pem", "/all.pem")


class TestWhole:
    @staticmethod
    def whole(pool: Pool, **options: Any) -> bytes:
        headers = {"Authorization": "by me"}
        return pool.wire(**options).whole("https://host/list?a=1", headers, deadline=DEADLINE, where=WHERE)

    def test_an_answer_is_given_from_end_to_end(self):
        pool = Pool(200, CONTENT)
        assert self.whole(pool) == CONTENT
        [request] = pool.requests
        assert (request.method, request.url, request.decode_content) == ("GET", "/list?a=1", True)
        assert request.headers == {"User-Agent": user_agent(), "Authorization": "by me"}
        assert pool.ends == ["given back"]

    def test_it_is_bounded_in_time(self):
        with pytest.raises(ObjectStoreError, match="the answer did not come in time"):
            self.whole(Pool(200, CONTENT, piece=10, took_s=1))

    def test_one_that_is_cut_short_is_a_failure_of_the_network(self):
        pool = Pool(200, CONTENT, {"Content-Length": str(len(CONTENT) + 1)})
        with pytest.raises(ObjectStoreError, match="cannot be reached"):
            self.whole(pool)

    @pytest.mark.parametrize("status", [301, 403, 416, 500])
    def test_a_refusal_is_told_in_the_providers_words(self, status):
        def refused(status: int, headers: Any, body: bytes, where: str) -> ObjectStoreError:
            return ObjectStoreError(f"{status} {body.decode()}", reason="other", where=where)

        with pytest.raises(ObjectStoreError, match=f"object 'a': {status} no"):
            self.whole(Pool(status, b"no"), refused=refused)
