"""Which URLs an Encord integration reads at all; nothing else ever leaves the process."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import pytest
from encord.orm.dataset import StorageLocation
from encord.orm.storage import StorageLocationName

from cloud_sync.dataset_service import stores
from cloud_sync.dataset_service.config import ServiceConfig
from cloud_sync.dataset_service.datasets import LEGACY_LOCATION
from cloud_sync.dataset_service.reader import SENTENCE_BY_REASON, FetchError, StoreReader
from cloud_sync.errors import ConfigError
from cloud_sync.objects.errors import ObjectStoreError, Reason
from tests.unit.google_keys import service_account_key

ENDPOINT = "http://127.0.0.1:9000"


@dataclass
class Bucket:
    """Stands for an opened bucket: gives back what it is asked for."""

    name: str

    def read_range(self, key: str, start: int, length: int) -> bytes:
        return f"{self.name}/{key}".encode()

    def head(self, key: str):
        raise ObjectStoreError("refused with canary", reason="forbidden")


ACCOUNT_URL = "https://traffic.blob.core.windows.net"
FIELDS = {
    "s3": {"access_key_id_env": "READER_ID", "secret_access_key_env": "READER_SECRET"},
    "otc": {"access_key_id_env": "READER_ID", "secret_access_key_env": "READER_SECRET"},
    "gcs": {"anonymous": True},
    "azure": {"account": "traffic", "account_key_env": "READER_SECRET"},
}


@pytest.fixture
def seen(monkeypatch):
    """What buckets are opened with, by provider's function."""
    monkeypatch.setenv("READER_ID", "id")
    monkeypatch.setenv("READER_SECRET", "secret")
    seen: dict[str, dict[str, Any]] = {}

    def stand_in(name: str) -> None:
        def open_bucket(bucket: str, **options: Any) -> Bucket:
            seen[name] = options
            return Bucket(bucket)

        monkeypatch.setattr(stores, name, open_bucket)

    for name in ("open_s3", "open_gcs", "open_azure"):
        stand_in(name)
    return seen


def reader_of(folder: Path, provider: str, **settings: Any) -> StoreReader:
    """Return the reader of an Encord integration for the bucket `media`."""
    fields = {"title": "storage", "provider": provider, "buckets": ["media"], **FIELDS[provider], **settings}
    (integration,) = ServiceConfig.model_validate({"encord_integrations": [fields]}).encord_integrations
    return StoreReader(integration, folder)


@pytest.fixture
def opened(seen, tmp_path):
    return lambda endpoint, **settings: reader_of(tmp_path, "s3", endpoint_url=endpoint, **settings)


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        (ENDPOINT, f"{ENDPOINT}/media/a%20b.jpg"),
        (ENDPOINT, "http://media.127.0.0.1:9000/a%20b.jpg"),
        (ENDPOINT, "s3://media/a%20b.jpg"),
        (None, "S3://media/a%20b.jpg"),
        (None, "https://media.s3.eu-west-1.amazonaws.com/a%20b.jpg"),
        (None, "https://s3.eu-west-1.amazonaws.com/media/a%20b.jpg"),
    ],
)
def test_every_form_of_a_url_of_its_store_is_read(opened, endpoint, url):
    assert opened(endpoint).read(url, 0, 10) == b"media/a b.jpg"


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        (ENDPOINT, f"{ENDPOINT}/private/a.jpg"),
        (ENDPOINT, "s3://private/a.jpg"),
        (ENDPOINT, "https://media.s3.eu-west-1.amazonaws.com/a.jpg"),
        (ENDPOINT, "http://127.0.0.1:9001/media/a.jpg"),
        (ENDPOINT, "http://127.0.0.1:9000.example.com/media/a.jpg"),
        (None, "http://169.254.169.254/media/a.jpg"),
        (None, "https://media.s3.amazonaws.com.example.com/a.jpg"),
        (None, "file:///etc/passwd"),
        (ENDPOINT, "http://[media.127.0.0.1:9000/a.jpg"),
        (ENDPOINT, "s3://[media/a.jpg"),
        (None, "s3://[media/a.jpg"),
        (None, "https://[media.s3.eu-west-1.amazonaws.com/a.jpg"),
        (None, "media/a.jpg"),
    ],
)
def test_every_other_url_is_refused(opened, endpoint, url):
    with pytest.raises(FetchError) as caught:
        opened(endpoint).read(url, 0, 10)
    assert url in str(caught.value)


@pytest.mark.parametrize(
    "url", [f"{ENDPOINT}/media/a.jpg?X-Amz-Signature=canary", "https://user:canary@127.0.0.1/media/a.jpg"]
)
def test_the_secrets_of_a_url_are_not_repeated(opened, url):
    with pytest.raises(FetchError) as caught:
        opened(ENDPOINT).read(url, 0, 10)
    assert "canary" not in str(caught.value)


def test_a_refusal_of_the_store_is_told_in_the_services_words(opened):
    with pytest.raises(FetchError) as caught:
        opened(ENDPOINT).size("s3://media/a.jpg")
    assert str(caught.value) == (
        "The object store refused access to the object; check the integration's permissions: s3://media/a.jpg"
    )


def test_a_reader_knows_whether_its_integration_may_write(opened):
    assert opened(ENDPOINT).writable
    assert not opened(ENDPOINT, writable=False).writable


@pytest.mark.parametrize(
    ("provider", "settings", "url"),
    [
        ("gcs", {}, "gs://media/a%20b.jpg"),
        ("gcs", {}, "https://storage.cloud.google.com/media/a%20b.jpg"),
        ("gcs", {"endpoint_url": ENDPOINT}, "gs://media/a%20b.jpg"),
        ("azure", {}, f"{ACCOUNT_URL}/media/a%20b.jpg"),
        ("azure", {"account_url": f"{ENDPOINT}/traffic"}, f"{ENDPOINT}/traffic/media/a%20b.jpg"),
        ("otc", {}, "https://media.obs.eu-de.otc.t-systems.com/a%20b.jpg"),
        ("otc", {"endpoint_url": ENDPOINT}, f"{ENDPOINT}/media/a%20b.jpg"),
    ],
)
def test_each_provider_reads_its_own_urls(seen, tmp_path, provider, settings, url):
    assert reader_of(tmp_path, provider, **settings).read(url, 0, 10) == b"media/a b.jpg"


@pytest.mark.parametrize(
    ("provider", "settings", "url"),
    [
        ("s3", {}, "gs://media/a.jpg"),
        ("gcs", {}, "s3://media/a.jpg"),
        ("gcs", {}, "gs://private/a.jpg"),
        ("gcs", {"endpoint_url": ENDPOINT}, f"{ENDPOINT}/media/a.jpg"),
        ("azure", {}, "https://weather.blob.core.windows.net/media/a.jpg"),
        ("azure", {}, f"{ACCOUNT_URL}/private/a.jpg"),
        ("azure", {}, f"{ACCOUNT_URL}/a.jpg"),
        ("azure", {"account_url": f"{ENDPOINT}/traffic"}, f"{ENDPOINT}/weather/media/a.jpg"),
        ("otc", {}, "https://private.obs.eu-de.otc.t-systems.com/a.jpg"),
        ("otc", {}, "https://media.s3.eu-west-1.amazonaws.com/a.jpg"),
        ("otc", {}, "s3://media/a.jpg"),
        ("otc", {"endpoint_url": ENDPOINT}, "https://media.obs.eu-de.otc.t-systems.com/a.jpg"),
    ],
)
def test_each_provider_refuses_the_urls_of_others(seen, tmp_path, provider, settings, url):
    with pytest.raises(FetchError) as caught:
        reader_of(tmp_path, provider, **settings).read(url, 0, 10)
    assert url in str(caught.value)
    assert seen == {}


@pytest.mark.parametrize(
    ("provider", "settings", "location"),
    [
        ("s3", {}, StorageLocation.AWS),
        ("s3", {"endpoint_url": ENDPOINT}, StorageLocation.S3_COMPATIBLE),
        ("gcs", {}, StorageLocation.GCP),
        ("azure", {}, StorageLocation.AZURE),
        ("otc", {}, StorageLocation.S3_COMPATIBLE),
    ],
)
def test_where_data_is_stored_is_said_in_encords_words(seen, tmp_path, provider, settings, location):
    name = reader_of(tmp_path, provider, **settings).storage_location
    assert StorageLocationName(name)
    assert LEGACY_LOCATION[name] == location


def test_telekoms_store_is_asked_with_the_bucket_in_the_host(seen, tmp_path):
    reader_of(tmp_path, "otc", region="eu-nl").read("https://media.obs.eu-nl.otc.t-systems.com/a", 0, 1)
    assert seen["open_s3"]["endpoint_url"] == "https://obs.eu-nl.otc.t-systems.com"
    assert seen["open_s3"]["virtual_hosted"] is True


def test_azure_is_asked_with_the_accounts_key(seen, tmp_path):
    reader_of(tmp_path, "azure").read(f"{ACCOUNT_URL}/media/a", 0, 1)
    assert seen["open_azure"]["account_url"] == ACCOUNT_URL
    assert tuple(seen["open_azure"]["credential"].named_key) == ("traffic", "secret")


def test_azure_is_asked_with_a_sas_token(seen, tmp_path):
    settings = {"account_key_env": None, "sas_token_env": "READER_SECRET"}
    reader_of(tmp_path, "azure", **settings).read(f"{ACCOUNT_URL}/media/a", 0, 1)
    assert seen["open_azure"]["credential"].signature == "secret"


def test_google_is_asked_with_the_key_of_a_service_account(seen, tmp_path):
    (tmp_path / "key.json").write_text(json.dumps(service_account_key("reader@traffic.iam")))
    settings = {"anonymous": False, "service_account_file": "key.json"}
    reader_of(tmp_path, "gcs", **settings).read("gs://media/a", 0, 1)
    credentials = seen["open_gcs"]["credentials"]
    assert credentials.service_account_email == "reader@traffic.iam"
    assert credentials.scopes == ("https://www.googleapis.com/auth/devstorage.read_only",)


@pytest.mark.parametrize("text", ["canary", '{"private_key": "canary"}', "[]"])
def test_a_key_of_google_that_is_none_is_not_repeated(seen, tmp_path, text):
    (tmp_path / "key.json").write_text(text)
    with pytest.raises(ConfigError, match="has a service account key that is none") as caught:
        reader_of(tmp_path, "gcs", anonymous=False, service_account_file="key.json")
    assert "canary" not in str(caught.value)


def test_every_refusal_of_a_store_has_a_sentence():
    assert set(SENTENCE_BY_REASON) == set(get_args(Reason))
