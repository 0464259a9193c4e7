"""Where objects of S3 are asked for, how requests are signed, and by which way they go."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote, urlsplit

import boto3
import botocore.auth
import pytest
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from botocore.credentials import Credentials

from cloud_sync.objects import s3_signing
from cloud_sync.objects.s3_signing import S3Sign, wire_like
from cloud_sync.objects.stores import client_config

CREDENTIALS = Credentials("id", "canary-secret", "token")
ODD_KEYS = ["a//b", "/a", "a/", "a/../b", "./a", "a b+c%20#?&", "é", "\N{PILE OF POO}", "a\nb", "a~b"]


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def connections(monkeypatch):
    """What the wire is made with."""
    seen: dict[str, Any] = {}

    def connected(sign: S3Sign, base_url: str, **options: Any) -> None:
        seen.update(options, sign=sign, base_url=base_url)

    monkeypatch.setattr(s3_signing, "connected", connected)
    return seen


def client(
    style: str = "virtual", endpoint: str | None = None, region: str = "eu-west-2", **more: Any
) -> Any:
    session = boto3.Session("id", "canary-secret", "token", region)
    config = client_config(Config(**more), s3={"addressing_style": style})
    return session.client("s3", endpoint_url=endpoint, config=config)


@pytest.mark.parametrize(
    ("options", "bucket", "url"),
    [
        ({}, "media", "https://media.s3.eu-west-2.amazonaws.com/"),
        ({"region": "cn-north-1"}, "media", "https://media.s3.cn-north-1.amazonaws.com.cn/"),
        ({}, "dotted.name", "https://s3.eu-west-2.amazonaws.com/dotted.name/"),
        ({"endpoint": "https://obs.example"}, "media", "https://media.obs.example/"),
        ({"style": "path", "endpoint": "http://h:9000/s3"}, "media", "http://h:9000/s3/media/"),
    ],
)
def test_objects_are_asked_for_where_the_client_asks(connections, options, bucket, url):
    wire_like(client(**options), bucket, CREDENTIALS)
    sign = connections["sign"]
    assert sign.bucket_url == connections["base_url"] == url
    assert sign.region == options.get("region", "eu-west-2")


@pytest.mark.parametrize("key", ODD_KEYS)
def test_a_request_is_signed_as_the_client_signs_it(connections, monkeypatch, key):
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: datetime(2026, 11, 24, tzinfo=UTC))
    sent = []

    def answer(request: Any, **_: Any) -> AWSResponse:
        sent.append(request)
        return AWSResponse(request.url, 206, {}, None)

    of_boto = client("path", "http://h:9000", user_agent="me")
    of_boto.meta.events.register("before-send.s3", answer)
    of_boto.get_object(Bucket="media", Key=key, Range="bytes=0-9")
    wire_like(of_boto, "media", CREDENTIALS)
    url, headers = connections["sign"]("GET", key, {"Range": "bytes=0-9"})

    assert url == sent[0].url
    assert unquote(urlsplit(url).path) == f"/media/{key}"
    proof = headers["Authorization"]
    assert "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date;x-amz-security-token" in proof
    assert proof.split("/", 1)[1].startswith("20261124/eu-west-2/s3/aws4_request")


def test_the_way_is_that_of_the_client(connections, monkeypatch):
    wire_like(client(), "media", CREDENTIALS)
    assert (connections["verify"], connections["proxy_url"]) == (True, None)

    wire_like(client(), "media", CREDENTIALS, verify="/own.pem")
    assert connections["verify"] == "/own.pem"

    wire_like(client(proxies={"https": "proxy:3128"}, client_cert=("c", "k")), "media", CREDENTIALS, False)
    assert (connections["verify"], connections["proxy_url"]) == (False, "http://proxy:3128")
    assert (connections["cert_file"], connections["key_file"]) == ("c", "k")

    monkeypatch.setenv("HTTPS_PROXY", "http://other:3128")
    monkeypatch.setenv("AWS_CA_BUNDLE", "/env.pem")
    wire_like(client(), "media", CREDENTIALS)
    assert (connections["verify"], connections["proxy_url"]) == ("/env.pem", "http://other:3128")


def test_no_secret_is_shown():
    sign = S3Sign("http://h/media/", CREDENTIALS, "eu-west-2")
    assert "canary" not in repr(sign)
    assert "canary" not in str(sign("GET", "a", {}))
