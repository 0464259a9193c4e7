"""Google connections: every kind of credentials is the one that the provider's own hook makes of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.auth import impersonated_credentials
from google.auth.credentials import AnonymousCredentials
from google.oauth2 import service_account

from cloud_sync.errors import CloudSyncError, ConfigError
from cloud_sync_airflow.hooks.object_store import ObjectStoreHook
from tests.unit.cloud_sync_airflow.hooks.connections import hook_for
from tests.unit.google_keys import service_account_key

CANARY = "canary-google-secret-4711"


@pytest.fixture(autouse=True)
def a_machine_with_credentials_of_its_own(monkeypatch, tmp_path):
    path = tmp_path / "machine.json"
    path.write_text(json.dumps(service_account_key("machine@traffic.iam")))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    for name in ("STORAGE_EMULATOR_HOST", "API_ENDPOINT_OVERRIDE", "GOOGLE_CLOUD_UNIVERSE_DOMAIN"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def connect(monkeypatch):
    def with_extra(extra: dict[str, Any] | None = None, *, storage=None, **fields: Any) -> ObjectStoreHook:
        connection = {"conn_type": "google_cloud_platform", "extra": extra or {}, **fields}
        return hook_for(monkeypatch, {"provider": "gcs", **(storage or {})}, connection)

    return with_extra


@pytest.fixture
def opened(monkeypatch):
    """What the store is opened with."""
    from cloud_sync.objects import gcs

    seen: dict[str, Any] = {}
    monkeypatch.setattr(gcs, "open_gcs", lambda bucket, **options: seen.update(options, bucket=bucket))
    return seen


def test_a_key_file(connect, opened, tmp_path):
    path = tmp_path / "key.json"
    path.write_text(json.dumps(service_account_key("file@traffic.iam")))
    connect({"key_path": str(path)}).get_conn()
    assert isinstance(opened["credentials"], service_account.Credentials)
    assert opened["credentials"].service_account_email == "file@traffic.iam"
    assert (opened["bucket"], opened["endpoint_url"]) == ("bucket", None)


@pytest.mark.parametrize("form", [dict, json.dumps])
def test_a_key_in_the_connection(connect, opened, form):
    connect({"keyfile_dict": form(service_account_key("dict@traffic.iam"))}).get_conn()
    assert opened["credentials"].service_account_email == "dict@traffic.iam"


def test_the_default_credentials_of_the_machine(connect, opened):
    connect().get_conn()
    assert opened["credentials"].service_account_email == "machine@traffic.iam"


@pytest.mark.parametrize(
    ("chain", "target", "delegates"),
    [("reader@traffic.iam", "reader@traffic.iam", []), ("a@t.iam,b@t.iam", "b@t.iam", ["a@t.iam"])],
)
def test_an_impersonated_account(connect, opened, chain, target, delegates):
    connect(
        {"keyfile_dict": service_account_key("dict@traffic.iam"), "impersonation_chain": chain}
    ).get_conn()
    assert isinstance(opened["credentials"], impersonated_credentials.Credentials)
    assert opened["credentials"]._target_principal == target
    assert list(opened["credentials"]._delegates or []) == delegates


def test_nobody(connect, opened):
    connect({"is_anonymous": True}).get_conn()
    assert isinstance(opened["credentials"], AnonymousCredentials)


def test_the_scopes_of_the_connection(connect, opened):
    scope = "https://www.googleapis.com/auth/devstorage.read_only"
    connect({"keyfile_dict": service_account_key("dict@traffic.iam"), "scope": scope}).get_conn()
    assert opened["credentials"].scopes == [scope]


@pytest.mark.parametrize(
    ("variable", "value", "endpoint_url"),
    [
        ("STORAGE_EMULATOR_HOST", "http://127.0.0.1:4443", "http://127.0.0.1:4443"),
        ("STORAGE_EMULATOR_HOST", "127.0.0.1:4443", "http://127.0.0.1:4443"),
        (
            "API_ENDPOINT_OVERRIDE",
            "https://storage-psc.p.googleapis.com",
            "https://storage-psc.p.googleapis.com",
        ),
        ("GOOGLE_CLOUD_UNIVERSE_DOMAIN", "apis-berlin.goog", "https://storage.apis-berlin.goog"),
    ],
)
def test_the_endpoint_is_where_googles_own_client_looks(
    connect, opened, monkeypatch, *, variable, value, endpoint_url
):
    monkeypatch.setenv(variable, value)
    hook = connect({"is_anonymous": True})
    hook.get_conn()
    assert opened["endpoint_url"] == endpoint_url
    assert hook.urls().base == "gs://bucket/"


@pytest.mark.parametrize(
    ("extra", "kind"),
    [
        ({"key_path": "/nowhere/key.json"}, "FileNotFoundError"),
        ({"keyfile_dict": f'{{"private_key": "{CANARY}'}, "AirflowException"),
        ({"keyfile_dict": {"type": "service_account", "private_key": CANARY}}, "MalformedError"),
    ],
)
def test_a_key_that_is_none_fails_at_once_and_is_not_repeated(connect, opened, extra, kind):
    with pytest.raises(CloudSyncError) as caught:
        connect(extra).get_conn()
    assert not caught.value.transient
    assert str(caught.value).startswith(
        f"connection recordings: no credentials could be obtained ({kind}). Check the key file, key JSON"
    )
    assert CANARY not in str(caught.value)
    assert opened == {}


def test_a_machine_without_credentials(connect, opened, monkeypatch):
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere/key.json")
    with pytest.raises(CloudSyncError, match=r"no credentials could be obtained \(DefaultCredentialsError\)"):
        connect().get_conn()


@pytest.mark.parametrize(
    ("style", "base"), [("gs", "gs://bucket/"), ("https", "https://storage.cloud.google.com/bucket/")]
)
def test_urls_depend_on_the_bucket_alone(connect, style, base):
    assert connect(storage={"url_style": style}).urls().base == base


def test_a_connection_of_another_type(connect, opened):
    with pytest.raises(ConfigError) as caught:
        connect(conn_type="aws", password=CANARY).get_conn()
    assert str(caught.value) == (
        "connection recordings: is of the type 'aws'. "
        "Storage of provider gcs needs a connection of type 'google_cloud_platform'."
    )
    assert opened == {}


def test_a_connection_that_is_missing_is_not_replaced_by_the_machines_credentials(
    connect, opened, monkeypatch
):
    hook = connect()
    monkeypatch.delenv("AIRFLOW_CONN_RECORDINGS")
    for call in (hook.get_conn, hook.urls):
        with pytest.raises(ConfigError, match=r"does not exist. Add it .* \(type google_cloud_platform\)"):
            call()
    assert opened == {}
