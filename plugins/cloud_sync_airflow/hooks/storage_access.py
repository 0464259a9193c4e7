"""What every kind of Airflow connection to a storage has in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from cloud_sync.objects.errors import ObjectStoreError

if TYPE_CHECKING:
    from cloud_sync.objects.model import ObjectStore


class StorageAccess(Protocol):
    """The storage of an integration, as a connection lets one in.

    Attributes:
        region: The bucket's region; None where there is none or nothing says it.
        endpoint_url: What object URLs need: the address of an S3-compatible store, the URL of an Azure
            account; else None.
    """

    @property
    def region(self) -> str | None:
        """The bucket's region."""

    @property
    def endpoint_url(self) -> str | None:
        """The address that object URLs need."""

    def open(self) -> ObjectStore:
        """Return the bucket, opened; makes no request to it.

        Raises:
            CloudSyncError: The connection is wrong or yields no credentials.
        """


def no_credentials(error: Exception, connection_id: str, remedy: str) -> ObjectStoreError:
    """Return the error of a connection that yields no credentials.

    Of the cause only its kind is told: its text may hold a part of the secret.
    """
    return ObjectStoreError(
        f"no credentials could be obtained ({type(error).__name__}).",
        reason="forbidden",
        where=f"connection {connection_id}",
        remedy=remedy,
        transient=bool(getattr(error, "retryable", False)),
    )
