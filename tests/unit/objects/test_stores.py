"""What an error of any client means, how pages are asked for, and that a busy store is left alone."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from botocore.exceptions import (
    ClientError,
    CredentialRetrievalError,
    EndpointConnectionError,
    MetadataRetrievalError,
    NoCredentialsError,
    ReadTimeoutError,
)

from cloud_sync.objects.attempts import ATTEMPTS, Attempts
from cloud_sync.objects.errors import ObjectStoreError, from_answer, from_botocore, from_obstore
from cloud_sync.objects.stores import S3ObjectStore, client_config, open_s3
from cloud_sync.objects.wire import Answer

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
        ("RequestTimeTooSkewed", 403, "forbidden", False),
        ("InvalidObjectState", 403, "archived", False),
        ("TemporaryRedirect", 307, "unreachable", True),
        ("PermanentRedirect", 301, "other", False),
        ("AuthorizationHeaderMalformed", 400, "other", False),
        ("InvalidBucketName", 400, "other", False),
        ("SlowDown", 503, "unreachable", True),
        ("TooManyRequests", 429, "unreachable", True),
        ("InternalError", 500, "unreachable", True),
        ("BadGateway", 502, "unreachable", True),
        ("RequestLimitExceeded", 400, "unreachable", True),
        ("IDPCommunicationError", 400, "unreachable", True),
    ],
)
def test_all_clients_tell_the_same(code: str, status: int, reason: str, transient: bool):
    text = f"""Generic S3 error: Error performing GET http://host/media?list-type=2&{SECRET_QUERY} in 4ms -
        Server returned non-2xx status code: {status} Any: <Error><Code>{code}</Code></Error>"""

    for error in (
        from_botocore(client_error(code, status), "bucket media"),
        from_obstore(Exception(text), "bucket media"),
        from_answer(status, {}, f"<Error><Code>{code}</Code></Error>".encode(), "bucket media"),
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
    assert str(from_answer(301, {"X-Amz-Bucket-Region": "eu-west-2"}, b"", "bucket media")) == str(error)


@pytest.mark.parametrize(
    ("code", "status", "is_general"),
    [
        ("ExpiredToken", 400, True),
        ("RequestTimeTooSkewed", 403, True),
        ("InvalidAccessKeyId", 403, True),
        ("Nothing", 401, True),
        ("PermanentRedirect", 301, True),
        ("AccessDenied", 403, False),
        ("InvalidObjectState", 403, False),
        ("NoSuchKey", 404, False),
    ],
)
def test_what_holds_for_every_object_is_told_apart(code: str, status: int, is_general: bool):
    assert from_botocore(client_error(code, status), "x").is_general is is_general


def test_a_wrong_region_fails_at_once_although_the_client_could_go_to_the_right_one():
    asked = []

    def answer(request: Any, **_: Any) -> AWSResponse:
        asked.append(request.url)
        body = b"<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-central-1</Region></Error>"
        raw = SimpleNamespace(stream=lambda: [body])
        return AWSResponse(request.url, 400, {"x-amz-bucket-region": "eu-central-1"}, raw)

    session = boto3.Session("id", "secret", region_name="us-east-1")
    client = session.client("s3", config=client_config())
    client.meta.events.register("before-send.s3", answer)
    store = open_s3("media", session=session, client=client)

    with pytest.raises(ObjectStoreError, match="the bucket is in the region eu-central-1") as caught:
        store.check_access()

    assert caught.value.remedy == "Set `region_name` in the extras of the connection to eu-central-1."
    assert len(asked) == 1


def test_the_stores_wish_to_be_left_alone_is_kept():
    assert from_botocore(client_error("SlowDown", 503, **{"retry-after": "7"}), "x").retry_after_s == 7
    assert from_botocore(client_error("SlowDown", 503, **{"retry-after": "soon"}), "x").retry_after_s is None
    assert from_answer(429, {"Retry-After": "7"}, b"", "x").retry_after_s == 7


def not_renewed(provider: str, said: str) -> CredentialRetrievalError:
    return CredentialRetrievalError(provider=provider, error_msg=said)


@pytest.mark.parametrize(
    ("error", "reason", "transient"),
    [
        (EndpointConnectionError(endpoint_url=f"http://host?{SECRET_QUERY}"), "unreachable", True),
        (ReadTimeoutError(endpoint_url=f"http://host?{SECRET_QUERY}"), "unreachable", True),
        (NoCredentialsError(), "forbidden", False),
        (
            MetadataRetrievalError(error_msg=f"Received non 200 response 500 {SECRET_QUERY}"),
            "unreachable",
            True,
        ),
        (MetadataRetrievalError(error_msg="Received non 200 response 404 from"), "forbidden", False),
        (MetadataRetrievalError(error_msg="Received error: timed out"), "unreachable", True),
        (
            not_renewed("iam-role", "Credential refresh failed, response did not contain: x"),
            "unreachable",
            True,
        ),
        (not_renewed("assume-role", "Credential refresh failed, no access_key"), "unreachable", True),
        (not_renewed("container-role", "Received non 200 response 429 from"), "unreachable", True),
        (not_renewed("container-role", "Received non 200 response 403 from"), "forbidden", False),
        (not_renewed("custom-process", f"exit 1: {SECRET_QUERY}"), "forbidden", False),
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


def test_an_object_that_was_changed_at_no_time_is_no_object_of_a_store():
    wire = SimpleNamespace(head=lambda key, **_: Answer(5, {}, b""))
    store = S3ObjectStore("media", Client, lambda _: wire)  # type: ignore[arg-type, return-value]

    with pytest.raises(ObjectStoreError, match=r"object 'a': .* does not say when"):
        store.head("a")


def test_opening_makes_no_request_and_shows_no_secret():
    store = open_s3("media", region="eu-west-2", access_key_id="id", secret_access_key="canary")

    assert "canary" not in repr(store)
    assert "canary" not in repr(vars(store))


def test_a_connection_may_say_how_its_client_connects_but_not_how_often_it_tries():
    given = Config(read_timeout=7, retries={"total_max_attempts": 9})

    config = client_config(given)

    assert config.read_timeout == 7
    assert config.retries["total_max_attempts"] == 1


class TestBusy:
    """A store that answers 503 with Retry-After, asked by the real botocore without a socket."""

    @pytest.fixture
    def ask(self):
        now = [1000.0]
        slept: list[float] = []

        def sleep(seconds: float) -> None:
            slept.append(seconds)
            now[0] += seconds

        def ask(asked_s: float) -> tuple[int, list[float], ObjectStoreError]:
            requests = []

            def answer(request: Any, **_: Any) -> AWSResponse:
                requests.append(request)
                body = SimpleNamespace(stream=lambda: [b"<Error><Code>SlowDown</Code></Error>"])
                return AWSResponse(request.url, 503, {"Retry-After": f"{asked_s:g}"}, body)

            session = boto3.Session("id", "secret", region_name="eu-west-1")
            client = session.client("s3", config=client_config())
            client.meta.events.register("before-send.s3", answer)
            attempts = Attempts(clock=lambda: now[0], sleep=sleep)
            store = S3ObjectStore("media", lambda: client, lambda _: None, attempts)
            with pytest.raises(ObjectStoreError) as caught:
                store.page("")
            return len(requests), slept, caught.value

        return ask

    def test_a_short_pause_is_waited_out_before_each_request(self, ask):
        requests, slept, error = ask(10)
        assert (requests, len(slept)) == (ATTEMPTS, ATTEMPTS - 1)
        assert min(slept) >= 10
        assert (error.transient, error.retry_after_s) == (True, 10)

    def test_a_long_pause_is_an_error_at_once_that_says_how_long(self, ask):
        requests, slept, error = ask(5000)
        assert (requests, slept) == (1, [])
        assert (error.reason, error.transient, error.retry_after_s) == ("unreachable", True, 5000)
