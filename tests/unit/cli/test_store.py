"""Buckets of each provider, opened with what this machine has."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential
from azure.identity import DefaultAzureCredential
from google.auth.credentials import AnonymousCredentials

from cloud_sync.cli.options import Access
from cloud_sync.cli.store import FORBIDDEN, OpenStorage, local_remedies, open_storage, parse_source
from cloud_sync.errors import CloudSyncError, ConfigError
from cloud_sync.integration import Storage
from cloud_sync.objects import azure, gcs, stores
from cloud_sync.objects.errors import ObjectStoreError
from tests.unit.google_keys import service_account_key

KEY = base64.b64encode(b"canary-azure-key").decode()
SAS = "sv=2025-01-05&sp=rl&sig=canary"


@pytest.fixture
def opened(monkeypatch):
    """What a store is opened with, on a machine that has nothing of its own."""
    for name in (
        *("AWS_PROFILE", "AWS_DEFAULT_REGION", "AWS_REGION", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"),
        *("AZURE_STORAGE_CONNECTION_STRING", "AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_KEY"),
        *("AZURE_STORAGE_SAS_TOKEN", "STORAGE_EMULATOR_HOST"),
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere/config")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere/credentials")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere/key.json")
    seen: dict[str, Any] = {}
    for module, name in ((stores, "open_s3"), (gcs, "open_gcs"), (azure, "open_azure")):
        monkeypatch.setattr(module, name, lambda bucket, **options: seen.update(options, bucket=bucket))
    return seen


def opened_storage(provider: str, *, access: Access | None = None, **fields: Any) -> OpenStorage:
    section = {"provider": provider, "connection_id": "none", "bucket": "media", **fields}
    return open_storage(Storage.model_validate(section), access or Access())


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("s3://media/raw/", ("s3", "media", "raw/")),
        ("GS://media", ("gcs", "media", "")),
        ("az://media/raw", ("azure", "media", "raw")),
        ("obs://media//a", ("otc", "media", "/a")),
    ],
)
def test_the_scheme_says_the_provider(source, expected):
    assert parse_source(source) == expected


class TestAws:
    @pytest.fixture(autouse=True)
    def _credentials(self, opened, monkeypatch):
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")

    @pytest.mark.parametrize(
        "url",
        [
            "https://bucket.vpce-1a2b3c.s3.us-east-1.vpce.amazonaws.com",
            "https://s3-fips.us-east-1.amazonaws.com",
            "https://s3.dualstack.us-east-1.amazonaws.com",
        ],
    )
    @pytest.mark.parametrize("is_option", [True, False])
    def test_an_endpoint_of_aws_is_asked_and_stands_in_no_url(self, opened, monkeypatch, url, is_option):
        if not is_option:
            monkeypatch.setenv("AWS_ENDPOINT_URL_S3", url)
        access = Access(region="us-east-1", endpoint_url=url if is_option else None)
        assert opened_storage("s3", access=access).urls.base == "https://media.s3.us-east-1.amazonaws.com/"
        assert (opened["endpoint_url"], opened["virtual_hosted"]) == (url, True)

    def test_the_usual_endpoint_follows_from_the_region(self, opened):
        base = opened_storage("s3", region="eusc-de-east-1").urls.base
        assert base == "https://media.s3.eusc-de-east-1.amazonaws.eu/"
        assert opened["endpoint_url"] is None

    def test_a_store_of_ones_own(self, opened):
        access = Access(endpoint_url="http://127.0.0.1:9000")
        base = opened_storage("s3", access=access, url_style="path").urls.base
        assert base == "http://127.0.0.1:9000/media/"
        assert (opened["endpoint_url"], opened["virtual_hosted"]) == ("http://127.0.0.1:9000", False)


class TestGoogle:
    def test_the_default_credentials(self, opened, monkeypatch, tmp_path):
        path = tmp_path / "key.json"
        path.write_text(json.dumps(service_account_key("machine@traffic.iam")))
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
        assert opened_storage("gcs").urls.base == "gs://media/"
        assert opened["credentials"].service_account_email == "machine@traffic.iam"
        assert opened["endpoint_url"] is None

    def test_without_credentials_it_fails_by_name(self, opened):
        with pytest.raises(ObjectStoreError, match=r"bucket media: no credentials .*DefaultCredentialsError"):
            opened_storage("gcs")
        assert opened == {}

    def test_an_emulator_asks_for_none(self, opened, monkeypatch):
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:4443")
        opened_storage("gcs", url_style="https")
        assert isinstance(opened["credentials"], AnonymousCredentials)
        assert opened["endpoint_url"] == "http://127.0.0.1:4443"


class TestAzure:
    def test_a_connection_string(self, opened, monkeypatch):
        text = f"AccountName=traffic;AccountKey={KEY};EndpointSuffix=core.windows.net"
        monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", text)
        assert opened_storage("azure").urls.base == "https://traffic.blob.core.windows.net/media/"
        assert isinstance(opened["credential"], AzureNamedKeyCredential)

    @pytest.mark.parametrize(
        ("variable", "value", "kind"),
        [
            ("AZURE_STORAGE_KEY", KEY, AzureNamedKeyCredential),
            ("AZURE_STORAGE_SAS_TOKEN", SAS, AzureSasCredential),
            ("AZURE_STORAGE_ACCOUNT", "traffic", DefaultAzureCredential),
        ],
    )
    def test_the_account_of_the_file_and_the_variables_of_azures_command_line(
        self, opened, monkeypatch, variable, value, kind
    ):
        monkeypatch.setenv(variable, value)
        opened_storage("azure", account="traffic")
        assert opened["account_url"] == "https://traffic.blob.core.windows.net"
        assert isinstance(opened["credential"], kind)

    def test_an_account_elsewhere(self, opened, monkeypatch):
        monkeypatch.setenv("AZURE_STORAGE_KEY", KEY)
        url = "http://127.0.0.1:10000/devstoreaccount1"
        assert opened_storage("azure", access=Access(endpoint_url=url)).urls.base == f"{url}/media/"

    def test_without_an_account_it_fails_by_name(self, opened):
        with pytest.raises(ConfigError, match=r"container media: the storage account is unknown.*--account"):
            opened_storage("azure")

    def test_a_wrong_connection_string_is_not_repeated(self, opened, monkeypatch):
        monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", "canary")
        with pytest.raises(ConfigError, match="no way to the storage account") as caught:
            opened_storage("azure")
        assert "canary" not in str(caught.value)


class TestOpenTelekomCloud:
    @pytest.mark.parametrize(
        ("fields", "access"), [({"region": "eu-nl"}, Access()), ({}, Access(region="eu-nl"))]
    )
    def test_the_region_says_the_endpoint(self, opened, fields, access):
        base = opened_storage("otc", access=access, **fields).urls.base
        assert base == "https://media.obs.eu-nl.otc.t-systems.com/"
        assert opened["endpoint_url"] == "https://obs.eu-nl.otc.t-systems.com"
        assert opened["virtual_hosted"] is True

    def test_an_endpoint_of_ones_own(self, opened):
        access = Access(endpoint_url="http://127.0.0.1:8333")
        base = opened_storage("otc", access=access, url_style="path").urls.base
        assert base == "http://127.0.0.1:8333/media/"
        assert opened["virtual_hosted"] is False

    def test_without_a_region_it_fails_by_name(self, opened):
        with pytest.raises(ConfigError, match=r"bucket media: the region .*Add --region eu-de"):
            opened_storage("otc")


@pytest.mark.parametrize("provider", FORBIDDEN)
@pytest.mark.parametrize(
    ("reason", "words"),
    [("forbidden", ""), ("unreachable", "Check --endpoint-url"), ("no_bucket", "name"), ("other", "name")],
)
def test_a_remedy_is_for_someone_at_a_command_line(provider, reason, words):
    with pytest.raises(CloudSyncError) as caught, local_remedies(provider):
        raise ObjectStoreError("refused.", reason=reason, remedy="Change the connection.")
    assert "connection" not in str(caught.value).lower().replace("azure_storage_connection_string", "")
    assert (FORBIDDEN[provider] if reason == "forbidden" else words) in str(caught.value)
