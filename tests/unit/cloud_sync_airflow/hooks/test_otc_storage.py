"""Open Telekom Cloud: a connection of type aws, whose endpoint follows from the region."""

from __future__ import annotations

from typing import Any

import pytest

from cloud_sync.errors import ConfigError
from cloud_sync_airflow.hooks.object_store import ObjectStoreHook
from tests.unit.cloud_sync_airflow.hooks.connections import hook_for


@pytest.fixture
def connect(monkeypatch):
    def with_extra(extra: dict[str, Any] | None = None, **storage: Any) -> ObjectStoreHook:
        monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        connection = {"conn_type": "aws", "login": "AK", "password": "canary", "extra": extra or {}}
        return hook_for(monkeypatch, {"provider": "otc", **storage}, connection)

    return with_extra


@pytest.fixture
def opened(monkeypatch):
    """What the store is opened with."""
    from cloud_sync.objects import stores

    seen: dict[str, Any] = {}
    monkeypatch.setattr(stores, "open_s3", lambda bucket, **options: seen.update(options, bucket=bucket))
    return seen


@pytest.mark.parametrize(
    ("extra", "storage"),
    [
        ({}, {"region": "eu-de"}),
        ({"region_name": "eu-de"}, {}),
        ({"region_name": "eu-nl"}, {"region": "eu-de"}),
        ({"endpoint_url": "https://obs.eu-de.otc.t-systems.com", "region_name": "eu-de"}, {}),
    ],
)
def test_the_endpoint_follows_from_the_region(connect, opened, extra, storage):
    hook = connect(extra, **storage)
    hook.get_conn()
    assert (opened["endpoint_url"], opened["region"]) == ("https://obs.eu-de.otc.t-systems.com", "eu-de")
    assert opened["virtual_hosted"] is True
    assert hook.urls().base == "https://bucket.obs.eu-de.otc.t-systems.com/"


def test_the_client_of_the_listing_asks_the_same_endpoint(connect, opened):
    connect(region="eu-de").get_conn()
    client = opened["client"]
    assert client.meta.endpoint_url == "https://obs.eu-de.otc.t-systems.com"
    assert client.meta.config.s3["addressing_style"] == "virtual"
    url = client.generate_presigned_url("get_object", {"Bucket": "bucket", "Key": "a"})
    assert url.startswith("https://bucket.obs.eu-de.otc.t-systems.com/a?")


def test_what_the_connection_says_of_the_client_wins(connect, opened):
    config = {"s3": {"addressing_style": "path"}, "read_timeout": 7}
    connect({"config_kwargs": config}, region="eu-de").get_conn()
    assert opened["client"].meta.config.s3["addressing_style"] == "path"
    assert opened["client"].meta.config.read_timeout == 7


def test_whom_to_trust_holds_for_listing_and_for_reading(connect, opened):
    connect({"verify": False}, region="eu-de").get_conn()
    assert opened["verify"] is False
    assert opened["client"]._endpoint.http_session._verify is False


def test_an_endpoint_of_ones_own(connect, opened):
    hook = connect({"endpoint_url": "http://127.0.0.1:8333"}, url_style="path")
    hook.get_conn()
    assert opened["endpoint_url"] == opened["client"].meta.endpoint_url == "http://127.0.0.1:8333"
    assert opened["virtual_hosted"] is False
    assert hook.urls().base == "http://127.0.0.1:8333/bucket/"


def test_without_a_region_and_an_endpoint_nothing_is_asked(connect, opened):
    hook = connect()
    for call in (hook.get_conn, hook.urls):
        with pytest.raises(ConfigError, match=r"bucket bucket: the region .* unknown.*`region`"):
            call()
    assert opened == {}
