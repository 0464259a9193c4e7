"""Read objects with an Encord integration's own credentials, from its own buckets and nowhere else."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Protocol

from cloud_sync.dataset_service.encord_integrations import (
    AzureEncordIntegration,
    EncordIntegration,
    GcsEncordIntegration,
    OtcEncordIntegration,
    S3EncordIntegration,
)
from cloud_sync.dataset_service.stores import store_opener
from cloud_sync.errors import ConfigError
from cloud_sync.objects.addresses import parse_object_url
from cloud_sync.objects.errors import ObjectStoreError
from cloud_sync.safe_url import without_secrets

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from uuid import UUID

    from cloud_sync.objects.model import ObjectStore

SENTENCE_BY_REASON: Mapping[str, str] = {
    "missing": "The object does not exist",
    "no_bucket": "The bucket of the object does not exist",
    "forbidden": "The object store refused access to the object; check the integration's permissions",
    "archived": "The object is in an archive and cannot be read",
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


class StoreReader:
    """Reads from the buckets of one Encord integration; the URL decides the key, never the host."""

    def __init__(self, integration: EncordIntegration, folder: Path) -> None:
        """Take the credentials now, so that a missing secret stops the start and not a job.

        Raises:
            ConfigError: A secret is missing.
        """
        self._integration = integration
        self._open = store_opener(integration, folder)
        self._stores: dict[str, ObjectStore] = {}
        self._lock = threading.Lock()
        self._url_endpoint, self.storage_location = _place_of(integration)
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
        try:
            address = parse_object_url(url, self._integration.provider, self._url_endpoint)
        except ConfigError as error:
            raise FetchError(
                f"Not an object URL of the integration's store: {without_secrets(url)}"
            ) from error
        if address.bucket not in self._integration.buckets:
            raise FetchError(
                f"The object is outside the integration {self._integration.title!r}: {without_secrets(url)}"
            )
        return self._store(address.bucket), address.key

    def _store(self, bucket: str) -> ObjectStore:
        with self._lock:
            if bucket not in self._stores:
                self._stores[bucket] = self._open(bucket)
            return self._stores[bucket]


def open_readers(integrations: list[EncordIntegration], folder: Path) -> dict[UUID, ObjectReader]:
    """Return a reader per Encord integration, by its UUID.

    Raises:
        ConfigError: A secret is missing.
    """
    return {each.identity: StoreReader(each, folder) for each in integrations}


def _place_of(integration: EncordIntegration) -> tuple[str | None, str]:
    """Return where the URLs are, None for a cloud's own places, and Encord's word for such a store."""
    match integration:
        case S3EncordIntegration():
            return integration.endpoint, "s3Compatible" if integration.endpoint else "s3"
        case OtcEncordIntegration():
            return integration.endpoint, "s3Compatible"
        case GcsEncordIntegration():
            return None, "gcp"
        case AzureEncordIntegration():
            return integration.url, "azure"


def _fetch_error(error: ObjectStoreError, url: str) -> FetchError:
    return FetchError(f"{SENTENCE_BY_REASON[error.reason]}: {without_secrets(url)}")
