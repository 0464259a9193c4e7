"""The hook: what the connection says is for the provider's own hook to read; nothing else steps in for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from moto import mock_aws

from cloud_sync.errors import CloudSyncError, ConfigError
from cloud_sync.integration import Storage
from cloud_sync_airflow.hooks.object_store import ObjectStoreHook

MACHINE = {"AWS_ACCESS_KEY_ID": "MACHINEKEY", "AWS_SECRET_ACCESS_KEY": "machine-secret"}
CANARY = "canary-s3-secret-4711"


@pytest.fixture(autouse=True)
def a_machine_with_credentials_of_its_own(monkeypatch, tmp_path):
    for name, value in MACHINE.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))


@pytest.fixture
def connect(monkeypatch):
    def with_connection(
        extra: dict[str, Any] | None = None, *, storage=None, **fields: Any
    ) -> ObjectStoreHook:
        text = json.dumps({"conn_type": "aws", "extra": extra or {}, **fields})
        monkeypatch.setenv("AIRFLOW_CONN_RECORDINGS", text)
        section = {"provider": "s3", "connection_id": "recordings", "bucket": "media", **(storage or {})}
        return ObjectStoreHook(Storage.model_validate(section))

    return with_connection


@pytest.fixture
def opened(monkeypatch):
    """What the store is opened with."""
    from cloud_sync.objects import stores

    seen: dict[str, Any] = {}
    monkeypatch.setattr(stores, "open_s3", lambda bucket, **options: seen.update(options, bucket=bucket))
    return seen


def credentials_of(session: Any) -> tuple[str, str, str | None]:
    frozen = session.get_credentials().get_frozen_credentials()
    return frozen.access_key, frozen.secret_key, frozen.token


def test_login_password_region_and_endpoint(connect, opened):
    extra = {"endpoint_url": "http://127.0.0.1:9000", "region_name": "eu-central-1"}
    connect(extra, login="AKIA", password=CANARY).get_conn()
    assert credentials_of(opened["session"]) == ("AKIA", CANARY, None)
    assert opened["bucket"] == "media"
    assert opened["endpoint_url"] == "http://127.0.0.1:9000"
    assert opened["region"] == "eu-central-1"
    assert opened["virtual_hosted"] is False
    assert opened["client"].meta.endpoint_url == "http://127.0.0.1:9000"
    assert opened["client"].meta.region_name == "eu-central-1"


def test_a_session_token(connect, opened):
    connect({"aws_session_token": "token"}, login="ASIA", password=CANARY).get_conn()
    assert credentials_of(opened["session"]) == ("ASIA", CANARY, "token")


def test_the_region_of_the_file_comes_first(connect, opened):
    connect({"region_name": "eu-west-1"}, login="A", password="s", storage={"region": "us-east-2"}).get_conn()
    assert opened["region"] == "us-east-2"
    assert opened["session"].region_name == "us-east-2"


def test_a_profile(connect, opened, tmp_path):
    Path(tmp_path / "credentials").write_text(
        "[work]\naws_access_key_id = PROFILEKEY\naws_secret_access_key = profile-secret\n"
    )
    connect({"profile_name": "work"}).get_conn()
    assert credentials_of(opened["session"]) == ("PROFILEKEY", "profile-secret", None)


def test_a_profile_that_is_not_there_fails_at_once(connect):
    with pytest.raises(CloudSyncError) as caught:
        connect({"profile_name": "absent"}).get_conn()
    assert not caught.value.transient
    assert str(caught.value) == (
        "connection recordings: no credentials could be obtained (ProfileNotFound). "
        "Check the login, role or profile of the connection."
    )


def test_an_assumed_role(connect, opened):
    role = "arn:aws:iam::123456789012:role/cloud-sync"
    with mock_aws():
        connect({"role_arn": role, "region_name": "eu-central-1"}, login="AKIA", password=CANARY).get_conn()
        key, secret, token = credentials_of(opened["session"])
    assert key.startswith("ASIA")
    assert key not in {"AKIA", MACHINE["AWS_ACCESS_KEY_ID"]}
    assert secret != CANARY
    assert token


def test_a_web_identity(connect, opened, tmp_path):
    (tmp_path / "token").write_text("a-token")
    extra = {
        "role_arn": "arn:aws:iam::123456789012:role/cloud-sync",
        "region_name": "eu-central-1",
        "assume_role_method": "assume_role_with_web_identity",
        "assume_role_with_web_identity_federation": "file",
        "assume_role_with_web_identity_token_file": str(tmp_path / "token"),
    }
    with mock_aws():
        connect(extra).get_conn()
        key, _, token = credentials_of(opened["session"])
    assert key.startswith("ASIA")
    assert key != MACHINE["AWS_ACCESS_KEY_ID"]
    assert token


@pytest.mark.parametrize("verify", [False, "/etc/ssl/certs/ca-certificates.crt"])
def test_whom_to_trust_holds_for_listing_and_for_reading(connect, opened, verify):
    connect({"verify": verify, "endpoint_url": "https://store.example"}, login="A", password="s").get_conn()
    assert opened["verify"] == verify
    assert opened["client"]._endpoint.http_session._verify == verify


def test_an_endpoint_for_s3_alone(connect, opened):
    connect(
        {"service_config": {"s3": {"endpoint_url": "https://obs.example"}}}, login="A", password="s"
    ).get_conn()
    assert opened["endpoint_url"] == "https://obs.example"


@pytest.mark.parametrize(("style", "expected"), [("virtual", True), ("path", False), ("auto", False)])
def test_the_addressing_style_of_the_connection(connect, opened, style, expected):
    extra = {"endpoint_url": "https://obs.example", "config_kwargs": {"s3": {"addressing_style": style}}}
    connect(extra, login="A", password="s").get_conn()
    assert opened["virtual_hosted"] is expected


class TestUrls:
    @pytest.mark.parametrize(
        ("extra", "storage", "base"),
        [
            ({"region_name": "eu-central-1"}, {}, "https://media.s3.eu-central-1.amazonaws.com/"),
            ({}, {"region": "us-east-1", "url_style": "path"}, "https://s3.us-east-1.amazonaws.com/media/"),
            ({}, {"url_style": "s3"}, "s3://media/"),
            (
                {"endpoint_url": "http://127.0.0.1:9000"},
                {"url_style": "path"},
                "http://127.0.0.1:9000/media/",
            ),
        ],
    )
    def test_region_and_endpoint_are_the_connections(self, connect, extra, storage, base):
        assert connect(extra, login="A", password="s", storage=storage).urls().base == base

    def test_without_a_region_there_are_no_urls(self, connect):
        with pytest.raises(ConfigError):
            connect({}, login="A", password="s").urls()


class TestWrongConnection:
    def test_a_missing_one_is_never_replaced_by_the_machines_credentials(self, opened):
        hook = ObjectStoreHook(Storage(provider="s3", connection_id="absent", bucket="media"))
        for call in (hook.get_conn, hook.urls):
            with pytest.raises(ConfigError) as caught:
                call()
            assert str(caught.value) == (
                "connection absent: does not exist. "
                "Add it in the Airflow UI (type aws), or correct storage.connection_id."
            )
        assert opened == {}

    @pytest.mark.parametrize("kind", ["encord", "google_cloud_platform", "s3"])
    def test_one_of_another_type(self, connect, opened, kind):
        hook = connect(login="A", password=CANARY, conn_type=kind)
        with pytest.raises(ConfigError) as caught:
            hook.get_conn()
        assert str(caught.value).startswith(f"connection recordings: is of the type {kind!r}.")
        assert CANARY not in str(caught.value)
        assert opened == {}
