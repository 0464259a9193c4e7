"""Which URLs an Encord integration reads at all; nothing else ever leaves the process."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from cloud_sync.dataset_service import reader as reader_module
from cloud_sync.dataset_service.config import S3EncordIntegration
from cloud_sync.dataset_service.reader import FetchError, S3Reader
from cloud_sync.objects.errors import ObjectStoreError

ENDPOINT = "http://127.0.0.1:9000"


@dataclass
class Bucket:
    """Stands for an opened bucket: gives back what it is asked for."""

    name: str

    def read_range(self, key: str, start: int, length: int) -> bytes:
        return f"{self.name}/{key}".encode()

    def head(self, key: str):
        raise ObjectStoreError("refused with canary", reason="forbidden")


@pytest.fixture
def opened(monkeypatch, tmp_path):
    monkeypatch.setenv("READER_ID", "id")
    monkeypatch.setenv("READER_SECRET", "secret")
    monkeypatch.setattr(reader_module, "open_s3", lambda bucket, **_: Bucket(bucket))

    def open_at(endpoint: str | None, **settings) -> S3Reader:
        integration = S3EncordIntegration(
            title="storage",
            provider="s3",
            endpoint_url=endpoint,
            buckets=["media"],
            access_key_id_env="READER_ID",
            secret_access_key_env="READER_SECRET",
            **settings,
        )
        return S3Reader(integration, tmp_path)

    return open_at


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
