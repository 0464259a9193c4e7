"""What an error of either client means, which keys obstore may see, and how a store is addressed."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import (
    ClientError,
    EndpointConnectionError,
    IncompleteReadError,
    NoCredentialsError,
    ReadTimeoutError,
)

from cloud_sync.objects import stores
from cloud_sync.objects.errors import ObjectStoreError, from_botocore, from_obstore
from cloud_sync.objects.stores import S3ObjectStore, _with_bucket, is_expressible, open_s3

from .s3_xml import answer, page_xml

SECRET_QUERY = "X-Amz-Signature=c4fe"


def client_error(code: str, status: int, **headers: str) -> ClientError:
    answer = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status, "HTTPHeaders": headers}}
    return ClientError(answer, "ListObjectsV2")


@pytest.mark.parametrize(
    ("code", "status", "reason", "transient"),
    [
        ("NoSuchBucket", 404, "no_bucket", False),
        ("404", 404, "missing", False),
        ("AccessDenied", 403, "forbidden", False),
        ("403", 403, "forbidden", False),
        ("InvalidAccessKeyId", 403, "forbidden", False),
        ("SignatureDoesNotMatch", 403, "forbidden", False),
        ("ExpiredToken", 400, "forbidden", False),
        ("PermanentRedirect", 301, "other", False),
        ("AuthorizationHeaderMalformed", 400, "other", False),
        ("InvalidBucketName", 400, "other", False),
        ("SlowDown", 503, "unreachable", True),
        ("TooManyRequests", 429, "unreachable", True),
        ("InternalError", 500, "unreachable", True),
        ("BadGateway", 502, "unreachable", True),
    ],
)
def test_both_clients_tell_the_same(code: str, status: int, reason: str, transient: bool):
    text = f"""Generic S3 error: Error performing GET http://host/media?list-type=2&{SECRET_QUERY} in 4ms -
        Server returned non-2xx status code: {status} Any: <Error><Code>{code}</Code></Error>"""

    for error in (
        from_botocore(client_error(code, status), "bucket media"),
        from_obstore(Exception(text), "bucket media"),
    ):
        assert (error.reason, error.transient) == (reason, transient)
        assert str(error).startswith("bucket media: ")
        assert error.remedy
        assert "c4fe" not in str(error)
        assert "\n" not in str(error)


def test_the_right_region_is_named_when_the_store_names_it():
    error = from_botocore(
        client_error("PermanentRedirect", 301, **{"x-amz-bucket-region": "eu-west-2"}), "bucket media"
    )

    assert "region eu-west-2" in str(error)
    assert "`region_name`" in str(error)


def test_the_stores_wish_to_be_left_alone_is_kept():
    assert from_botocore(client_error("SlowDown", 503, **{"retry-after": "7"}), "x").retry_after_s == 7
    assert from_botocore(client_error("SlowDown", 503, **{"retry-after": "soon"}), "x").retry_after_s is None


@pytest.mark.parametrize(
    ("error", "reason", "transient"),
    [
        (EndpointConnectionError(endpoint_url=f"http://host?{SECRET_QUERY}"), "unreachable", True),
        (ReadTimeoutError(endpoint_url=f"http://host?{SECRET_QUERY}"), "unreachable", True),
        (NoCredentialsError(), "forbidden", False),
        (ValueError(SECRET_QUERY), "other", False),
    ],
)
def test_errors_without_an_answer(error: Exception, reason: str, transient: bool):
    translated = from_botocore(error, "bucket media")

    assert (translated.reason, translated.transient) == (reason, transient)
    assert "c4fe" not in str(translated)


class Client:
    """A boto3 client that answers as it is told."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.meta = SimpleNamespace(events=SimpleNamespace(register=lambda *_, **__: None))

    def __getattr__(self, operation: str) -> Any:
        return lambda **_: self.answers[operation]


def store_with(**answers: Any) -> S3ObjectStore:
    return open_s3("media", access_key_id="id", secret_access_key="s", client=Client(**answers))


def test_a_listing_that_would_never_end_is_refused():
    store = store_with(list_objects_v2=answer(page_xml([], token="again")))

    assert store.page("").next_token == "again"
    with pytest.raises(ObjectStoreError, match="never end"):
        store.page("", token="again")


@pytest.mark.parametrize(
    "error", [ReadTimeoutError(endpoint_url="x"), IncompleteReadError(actual_bytes=1, expected_bytes=2)]
)
def test_an_object_that_stops_coming_is_a_failure_of_the_store(error: Exception):
    class Body:
        def read(self) -> bytes:
            raise error

    with pytest.raises(ObjectStoreError, match="cannot be reached") as caught:
        store_with(get_object={"Body": Body()}).read_range("odd//key.jpg", 0, 10)
    assert caught.value.transient


@pytest.mark.parametrize(
    ("headers", "size_bytes"), [({"ContentRange": "bytes 0-3/10000"}, 10_000), ({"ContentLength": 10}, 10)]
)
def test_a_store_that_gives_all_instead_of_a_part_is_read_no_further_than_wanted(
    headers: dict[str, Any], size_bytes: int
):
    body = io.BytesIO(b"0123456789")
    store = store_with(get_object={"Body": body, **headers})

    assert store.read_start("odd//key.jpg", 4) == (size_bytes, b"0123")
    assert body.closed


@pytest.mark.parametrize(
    "key", ["a", "a/b.jpg", "a b", " a ", "a+b", "a#b?c%20", "a\\b", "é", "...", "a/.b", ".a/b", "a."]
)
def test_plain_keys_are_expressible(key: str):
    assert is_expressible(key)


@pytest.mark.parametrize(
    "key", ["", "/", "/a", "a/", "a//b", ".", "..", "./a", "a/.", "a/../b", "a\nb", "a\x00", "a\x7f"]
)
def test_odd_keys_are_not(key: str):
    assert not is_expressible(key)


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        ("https://obs.eu-de.otc.t-systems.com", "https://media.obs.eu-de.otc.t-systems.com"),
        ("https://media.obs.eu-de.otc.t-systems.com", "https://media.obs.eu-de.otc.t-systems.com"),
    ],
)
def test_virtual_hosted_style_puts_the_bucket_into_the_endpoint(endpoint: str, expected: str):
    assert _with_bucket(endpoint, "media") == expected


def test_opening_makes_no_request_and_shows_no_secret():
    store = open_s3("media", region="eu-west-2", access_key_id="id", secret_access_key="canary")

    assert "canary" not in repr(store)
    assert "canary" not in repr(vars(store))


class TestBusy:
    """A store that answers 503 with Retry-After, asked by the real botocore without a socket."""

    @pytest.fixture
    def ask(self, monkeypatch):
        slept: list[float] = []
        monkeypatch.setattr(stores.time, "sleep", slept.append)

        def ask(asked_s: float) -> tuple[int, list[float], ObjectStoreError]:
            requests = []

            def answer(request: Any, **_: Any) -> AWSResponse:
                requests.append(request)
                body = SimpleNamespace(stream=lambda: [b"<Error><Code>SlowDown</Code></Error>"])
                return AWSResponse(request.url, 503, {"Retry-After": f"{asked_s:g}"}, body)

            session = boto3.Session("id", "secret", region_name="eu-west-1")
            client = session.client("s3", config=stores.client_config())
            client.meta.events.register("before-send.s3", answer)
            with pytest.raises(ObjectStoreError) as caught:
                open_s3("media", access_key_id="id", secret_access_key="s", client=client).page("")
            return len(requests), slept, caught.value

        return ask

    def test_a_short_pause_is_waited_out_before_each_request(self, ask):
        requests, slept, error = ask(30)
        assert (requests, slept.count(30)) == (stores.ATTEMPTS, stores.ATTEMPTS - 1)
        assert (error.transient, error.retry_after_s) == (True, 30)

    def test_a_long_pause_is_an_error_at_once_that_says_how_long(self, ask):
        requests, slept, error = ask(5000)
        assert (requests, slept) == (1, [])
        assert (error.reason, error.transient, error.retry_after_s) == ("unreachable", True, 5000)
