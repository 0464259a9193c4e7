"""Read objects with an Encord integration's own credentials, from its own buckets and nowhere else."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from cloud_sync.errors import ConfigError
from cloud_sync.objects.errors import ObjectStoreError
from cloud_sync.objects.model import ObjectStore
from cloud_sync.objects.stores import open_s3
from cloud_sync.objects.urls import parse_object_url
from cloud_sync.safe_url import without_secrets

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from uuid import UUID

    from cloud_sync.dataset_service.config import S3EncordIntegration

SENTENCE_BY_REASON: Mapping[str, str] = {
    "missing": "The object does not exist",
    "no_bucket": "The bucket of the object does not exist",
    "forbidden": "The object store refused access to the object; check the integration's permissions",
    "unreachable": "The object store could not be reached",
    "other": "The object could not be read",
}


class FetchError(Exception):
    """An object that cannot be read; the text is what the user reads and names the URL."""


class ObjectReader(Protocol):
    """Reads objects by URL. Thread-safe."""

    storage_location: str
    """Encord's word for the kind of store."""
    writable: bool
    """Whether the Encord integration may also write, as image sequences need."""

    def size(self, url: str) -> int:
        """Return the size in bytes.

        Raises:
            FetchError: It is not there, not readable, or outside the integration.
        """

    def read(self, url: str, start: int, length: int) -> bytes:
        """Return up to `length` bytes from `start`.

        Raises:
            FetchError: As `size`.
        """


class S3Reader:
    """Reads from the buckets of one S3 integration; the URL decides the key, never the host."""

    def __init__(self, integration: S3EncordIntegration, folder: Path) -> None:
        """Take the credentials now, so that a missing secret stops the start and not a job.

        Raises:
            ConfigError: A secret is missing.
        """
        self._integration = integration
        self._credentials = integration.credentials(folder)
        self._stores: dict[str, ObjectStore] = {}
        self._lock = threading.Lock()
        self.storage_location = "s3Compatible" if integration.endpoint else "s3"
        self.writable = integration.writable

    def size(self, url: str) -> int:
        """Ask the store for the object's size."""
        store, key = self._find(url)
        try:
            return store.head(key).size_bytes
        except ObjectStoreError as error:
            raise _fetch_error(error, url) from error

    def read(self, url: str, start: int, length: int) -> bytes:
        """Read a range."""
        store, key = self._find(url)
        try:
            return store.read_range(key, start, length)
        except ObjectStoreError as error:
            raise _fetch_error(error, url) from error

    def _find(self, url: str) -> tuple[ObjectStore, str]:
        endpoint = self._integration.endpoint
        try:
            address = parse_object_url(url, (endpoint,) if endpoint else ())
        except ConfigError as error:
            raise FetchError(
                f"Not an object URL of the integration's store: {without_secrets(url)}"
            ) from error
        if not _of_endpoint(url, endpoint) or address.bucket not in self._integration.buckets:
            raise FetchError(
                f"The object is outside the integration {self._integration.title!r}: {without_secrets(url)}"
            )
        return self._store(address.bucket), address.key

    def _store(self, bucket: str) -> ObjectStore:
        key_id, secret = self._credentials
        with self._lock:
            if bucket not in self._stores:
                self._stores[bucket] = open_s3(
                    bucket,
                    endpoint_url=self._integration.endpoint,
                    region=self._integration.region,
                    access_key_id=key_id,
                    secret_access_key=secret,
                )
            return self._stores[bucket]


def open_readers(integrations: list[S3EncordIntegration], folder: Path) -> dict[UUID, ObjectReader]:
    """Return a reader per Encord integration, by its UUID.

    Raises:
        ConfigError: A secret is missing.
    """
    return {each.identity: S3Reader(each, folder) for each in integrations}


def _of_endpoint(url: str, endpoint: str | None) -> bool:
    """Whether an HTTP URL names the integration's own store, as `s3://` and ARN forms always do."""
    if endpoint is None or not url.lower().startswith(("http://", "https://")):
        return True
    try:
        host = urlsplit(url).netloc.lower()
    except ValueError:  # a host that is none, such as `[media`
        return False
    own = urlsplit(endpoint).netloc.lower()
    return host == own or host.endswith(f".{own}")


def _fetch_error(error: ObjectStoreError, url: str) -> FetchError:
    return FetchError(f"{SENTENCE_BY_REASON[error.reason]}: {without_secrets(url)}")
