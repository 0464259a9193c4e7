"""Azure connections: every kind of credentials is the one that the provider's own hook makes of it."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential
from azure.identity import ClientSecretCredential, DefaultAzureCredential

from cloud_sync.errors import CloudSyncError, ConfigError
from cloud_sync_airflow.hooks.object_store import ObjectStoreHook
from tests.unit.cloud_sync_airflow.hooks.connections import hook_for

KEY = base64.b64encode(b"canary-azure-key-4711").decode()
SIGNATURE = "canary-signature-4711"
SAS = f"sv=2025-01-05&sp=rl&sig={SIGNATURE}"
ACCOUNT_URL = "https://traffic.blob.core.windows.net"
APPLICATION = "0a1b2c3d-0000-4000-8000-123456789abc"


@pytest.fixture
def connect(monkeypatch):
    def with_extra(extra: dict[str, Any] | None = None, *, storage=None, **fields: Any) -> ObjectStoreHook:
        connection = {"conn_type": "wasb", "extra": extra or {}, **fields}
        return hook_for(monkeypatch, {"provider": "azure", **(storage or {})}, connection)

    return with_extra


@pytest.fixture
def opened(monkeypatch):
    """What the store is opened with."""
    from cloud_sync.objects import azure

    seen: dict[str, Any] = {}
    monkeypatch.setattr(
        azure, "open_azure", lambda container, **options: seen.update(options, container=container)
    )
    return seen


@pytest.mark.parametrize(
    ("extra", "fields"),
    [
        ({}, {"login": "traffic", "password": KEY}),
        ({"account_key": KEY}, {"login": "traffic"}),
        ({"shared_access_key": KEY}, {"login": "traffic"}),
        ({}, {"host": ACCOUNT_URL, "password": KEY}),
        ({"connection_string": f"AccountName=traffic;AccountKey={KEY};EndpointSuffix=core.windows.net"}, {}),
    ],
)
def test_a_shared_key(connect, opened, extra, fields):
    connect(extra, **fields).get_conn()
    assert (opened["container"], opened["account_url"]) == ("bucket", ACCOUNT_URL)
    assert isinstance(opened["credential"], AzureNamedKeyCredential)
    assert tuple(opened["credential"].named_key) == ("traffic", KEY)


@pytest.mark.parametrize(
    ("extra", "fields"),
    [
        ({"sas_token": SAS}, {"login": "traffic"}),
        ({"sas_token": f"{ACCOUNT_URL}/?{SAS}"}, {}),
        ({"connection_string": f"BlobEndpoint={ACCOUNT_URL};SharedAccessSignature={SAS}"}, {}),
    ],
)
def test_a_sas_token(connect, opened, extra, fields):
    hook = connect(extra, **fields)
    hook.get_conn()
    assert opened["account_url"] == ACCOUNT_URL
    assert isinstance(opened["credential"], AzureSasCredential)
    assert opened["credential"].signature == SAS
    assert hook.urls().base == f"{ACCOUNT_URL}/bucket/"


def test_a_client_secret(connect, opened):
    connect({"tenant_id": "tenant"}, host=ACCOUNT_URL, login=APPLICATION, password="canary").get_conn()
    assert isinstance(opened["credential"], ClientSecretCredential)
    assert opened["credential"]._client_id == APPLICATION
    assert opened["account_url"] == ACCOUNT_URL


@pytest.mark.parametrize("extra", [{}, {"managed_identity_client_id": APPLICATION}])
def test_a_managed_identity(connect, opened, extra):
    connect(extra, login="traffic").get_conn()
    assert isinstance(opened["credential"], DefaultAzureCredential)
    assert opened["account_url"] == ACCOUNT_URL


@pytest.mark.parametrize(
    "host",
    [
        "https://traffic.blob.core.chinacloudapi.cn",
        "https://traffic.blob.core.usgovcloudapi.net",
        "https://traffic.z01.blob.storage.azure.net",
    ],
)
def test_other_clouds_of_azure(connect, opened, host):
    hook = connect({"sas_token": SAS}, host=host, storage={"account": "traffic"})
    hook.get_conn()
    assert opened["account_url"] == host
    assert hook.urls().base == f"{host}/bucket/"


@pytest.mark.parametrize(
    ("extra", "fields"),
    [
        (
            {},
            {"host": "http://127.0.0.1:10000/devstoreaccount1", "login": "devstoreaccount1", "password": KEY},
        ),
        (
            {
                "connection_string": f"AccountName=devstoreaccount1;AccountKey={KEY};"
                "BlobEndpoint=http://127.0.0.1:10000/devstoreaccount1;"
            },
            {},
        ),
    ],
)
def test_an_account_in_the_path(connect, opened, extra, fields):
    hook = connect(extra, **fields)
    hook.get_conn()
    assert opened["account_url"] == "http://127.0.0.1:10000/devstoreaccount1"
    assert opened["credential"].named_key.name == "devstoreaccount1"
    assert hook.urls().build("a b") == "http://127.0.0.1:10000/devstoreaccount1/bucket/a%20b"


def test_case_does_not_matter_in_the_name_of_an_account(connect, opened):
    host = "https://Traffic.blob.core.windows.net"
    connect({"sas_token": SAS}, host=host, storage={"account": "traffic"}).get_conn()
    assert opened["account_url"].lower() == ACCOUNT_URL


def test_the_account_of_the_file_has_to_be_the_connections(connect, opened):
    hook = connect(login="traffic", password=KEY, storage={"account": "weather"})
    for call in (hook.get_conn, hook.urls):
        with pytest.raises(ConfigError) as caught:
            call()
        assert str(caught.value) == (
            "connection recordings: is of the storage account traffic, the integration file says weather. "
            "Correct storage.account, or choose another connection."
        )
    assert opened == {}


@pytest.mark.parametrize(
    ("extra", "fields"), [({}, {}), ({"tenant_id": "tenant"}, {"login": APPLICATION, "password": "canary"})]
)
def test_a_connection_without_an_account(connect, opened, extra, fields):
    with pytest.raises(ConfigError) as caught:
        connect(extra, **fields).get_conn()
    assert str(caught.value) == (
        "connection recordings: names no storage account. "
        "Set its host to https://<account>.blob.core.windows.net."
    )
    assert opened == {}


@pytest.mark.parametrize(
    ("extra", "fields", "fault"),
    [
        ({"connection_string": f"canary={KEY}"}, {}, "no credentials could be obtained (ValueError)"),
        ({}, {"host": "https://files.example.com", "password": KEY}, "no credentials could be obtained"),
        ({}, {"login": "traffic", "password": "canary key"}, "has an account key that is not base64"),
    ],
)
def test_what_is_no_key_fails_at_once_and_is_not_repeated(connect, opened, extra, fields, fault):
    with pytest.raises(CloudSyncError) as caught:
        connect(extra, **fields).get_conn()
    assert not caught.value.transient
    assert str(caught.value).startswith(f"connection recordings: {fault}")
    assert "canary" not in str(caught.value)
    assert KEY not in str(caught.value)
    assert opened == {}


def test_a_connection_of_another_type(connect, opened):
    with pytest.raises(ConfigError) as caught:
        connect(conn_type="azure_data_lake", password=KEY).get_conn()
    assert str(caught.value) == (
        "connection recordings: is of the type 'azure_data_lake'. "
        "Storage of provider azure needs a connection of type 'wasb'."
    )
    assert opened == {}


def test_a_missing_connection(connect, opened, monkeypatch):
    hook = connect()
    monkeypatch.delenv("AIRFLOW_CONN_RECORDINGS")
    for call in (hook.get_conn, hook.urls):
        with pytest.raises(ConfigError, match=r"does not exist. Add it .* \(type wasb\)"):
            call()
    assert opened == {}
