"""From the settings of the state folder to a bucket, with the credentials of an Airflow connection."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from cloud_sync.errors import ConfigError, StorageError
from cloud_sync.run_folder import stores
from cloud_sync_airflow import settings
from cloud_sync_airflow.hooks.state import open_bucket_folder

KEY = "c2VjcmV0IGtleQ=="


@pytest.fixture(autouse=True)
def opened(monkeypatch) -> dict[str, Any]:
    """What the store was opened with."""
    open_bucket_folder.cache_clear()
    opened: dict[str, Any] = {}
    for name in ("s3_store", "gcs_store", "azure_store"):
        monkeypatch.setattr(stores, name, lambda bucket, **options: opened.update(options, bucket=bucket))
    return opened


@pytest.fixture
def configured(monkeypatch):
    """Set the state folder and its connection."""

    def configured(url: str, connection: dict[str, Any] | None = None) -> None:
        monkeypatch.setenv("AIRFLOW__CLOUD_SYNC__STATE_FOLDER", url)
        monkeypatch.setenv("AIRFLOW__CLOUD_SYNC__STATE_CONNECTION_ID", "state")
        if connection is not None:
            monkeypatch.setenv("AIRFLOW_CONN_STATE", json.dumps(connection))

    return configured


def test_s3(configured, opened):
    extra = {"endpoint_url": "http://localhost:9", "region_name": "eu-de", "aws_session_token": "token"}
    configured("s3://b/p", {"conn_type": "aws", "login": "key", "password": "secret", "extra": extra})
    assert settings.state_folder().address() == "s3://b/p"
    assert settings.state_folder().below("runs/x").address("a") == "s3://b/p/runs/x/a"
    assert (opened["bucket"], opened["endpoint_url"], opened["region"]) == (
        "b",
        "http://localhost:9",
        "eu-de",
    )
    credentials = opened["session"].get_credentials()
    assert (credentials.access_key, credentials.token) == ("key", "token")
    assert not opened["virtual_hosted"]


def test_a_store_that_wants_the_bucket_in_its_host(configured, opened):
    extra = {"endpoint_url": "https://obs.example", "config_kwargs": {"s3": {"addressing_style": "virtual"}}}
    configured("s3://b", {"conn_type": "aws", "login": "key", "password": "secret", "extra": extra})
    settings.state_folder()
    assert opened["virtual_hosted"]


def test_gcs(configured, opened, monkeypatch):
    from airflow.providers.google.common.hooks.base_google import GoogleBaseHook

    monkeypatch.setattr(GoogleBaseHook, "get_credentials", lambda hook: f"of {hook.gcp_conn_id}")
    configured("gs://b/p", {"conn_type": "google_cloud_platform"})
    assert settings.state_folder().address("a") == "gs://b/p/a"
    assert (opened["bucket"], opened["credentials"]) == ("b", "of state")


@pytest.mark.parametrize(
    ("variable", "value", "url"),
    [
        ("STORAGE_EMULATOR_HOST", "127.0.0.1:4443", "http://127.0.0.1:4443"),
        ("API_ENDPOINT_OVERRIDE", "https://storage.example", "https://storage.example"),
        ("GOOGLE_CLOUD_UNIVERSE_DOMAIN", "example.goog", "https://storage.example.goog"),
    ],
)
def test_google_is_where_it_is_for_the_objects(configured, opened, monkeypatch, *, variable, value, url):
    from airflow.providers.google.common.hooks.base_google import GoogleBaseHook

    monkeypatch.setattr(GoogleBaseHook, "get_credentials", lambda hook: "some")
    monkeypatch.setenv(variable, value)
    configured("gs://b/p", {"conn_type": "google_cloud_platform"})
    settings.state_folder()
    assert opened["endpoint_url"] == url


def test_a_google_connection_without_credentials(configured, monkeypatch):
    extra = {"key_path": "/no/such/file.json"}
    configured("gs://b/p", {"conn_type": "google_cloud_platform", "extra": extra})
    with pytest.raises(StorageError, match=r"^connection state: no credentials could be obtained"):
        settings.state_folder()


def test_azure(configured, opened):
    connection = {"conn_type": "wasb", "login": "account", "password": KEY}
    configured("az://c/p", connection | {"host": "https://account.blob.core.windows.net"})
    assert settings.state_folder().address("a") == "az://c/p/a"
    assert opened["bucket"] == "c"
    assert opened["client"].credential.account_key == KEY


def test_tables_and_manifests_are_below_it_or_elsewhere(configured, monkeypatch, tmp_path):
    configured("s3://b/p", {"conn_type": "aws", "login": "key", "password": "secret"})
    assert settings.tables_folder().address() == "s3://b/p/tables"
    assert settings.manifests_folder().address() == settings.manifests_address() == "s3://b/p/manifests"
    monkeypatch.setenv("AIRFLOW__CLOUD_SYNC__TABLES_FOLDER", str(tmp_path))
    monkeypatch.setenv("AIRFLOW__CLOUD_SYNC__MANIFESTS_FOLDER", "s3://other")
    assert settings.tables_folder().root == tmp_path
    assert settings.manifests_folder().address() == settings.manifests_address() == "s3://other"


def test_it_is_opened_once_for_all_who_use_it(configured, opened):
    configured("s3://b/p", {"conn_type": "aws", "login": "key", "password": "secret"})
    assert settings.state_folder() is settings.state_folder()


class TestRefused:
    @pytest.mark.parametrize("url", ["http://b/p", "s3://", "s3://b/../c"])
    def test_a_wrong_url(self, configured, url):
        configured(url)
        with pytest.raises(ConfigError, match=r"^setting state_folder, section cloud_sync: "):
            settings.state_folder()

    def test_no_connection_is_named(self, configured, monkeypatch):
        configured("s3://b/p")
        monkeypatch.delenv("AIRFLOW__CLOUD_SYNC__STATE_CONNECTION_ID")
        with pytest.raises(ConfigError, match=r"no connection is named that lets into s3://b/p\. Name an"):
            settings.state_folder()

    def test_it_does_not_exist(self, configured):
        configured("s3://b/p")
        with pytest.raises(ConfigError, match=r"connection state: does not exist\..*state_connection_id"):
            settings.state_folder()

    def test_it_is_of_another_type(self, configured):
        configured("az://b/p", {"conn_type": "aws"})
        with pytest.raises(ConfigError, match=r"The folder az://b/p needs a connection of type 'wasb'"):
            settings.state_folder()


class TestStores:
    """How obstore's credentials are made of those of the SDKs."""

    @pytest.fixture(autouse=True)
    def real(self, monkeypatch):
        monkeypatch.undo()

    def test_google_credentials_are_renewed_when_they_have_ended(self):
        class Credentials:
            valid, token, expiry, refreshed = False, "old", None, 0

            def refresh(self, request: Any) -> None:
                self.valid, self.token = True, "new"
                self.refreshed += 1

        credentials = Credentials()
        provide = stores._google_credentials(credentials)
        assert provide() == provide() == {"token": "new", "expires_at": None}
        assert credentials.refreshed == 1

    def test_azure_credentials_of_each_kind(self):
        key = stores._azure_credentials(SimpleNamespace(account_key=KEY), "")
        assert key() == {"access_key": KEY, "expires_at": None}
        assert stores._azure_credentials(None, "sig=x")() == {"sas_token": "sig=x", "expires_at": None}
        token = SimpleNamespace(token="t", expires_on=1_800_000_000)
        provide = stores._azure_credentials(SimpleNamespace(get_token=lambda scope: token), "")
        assert provide()["token"] == "t"
        assert provide()["expires_at"].timestamp() == 1_800_000_000

    def test_the_bucket_stands_in_the_endpoint_where_it_wants_that(self):
        assert stores._with_bucket("https://obs.example", "b") == "https://b.obs.example"
        assert stores._with_bucket("https://b.obs.example", "b") == "https://b.obs.example"
