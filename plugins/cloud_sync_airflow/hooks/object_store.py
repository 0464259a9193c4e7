"""From an Airflow connection to an object store, and to the URLs of its objects."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook

from cloud_sync_airflow.hooks.aws_storage import OtcAccess, S3Access
from cloud_sync_airflow.hooks.azure_storage import AzureAccess
from cloud_sync_airflow.hooks.connections import checked_connection
from cloud_sync_airflow.hooks.google_storage import GcsAccess

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cloud_sync.integration import Storage
    from cloud_sync.objects.model import ObjectStore
    from cloud_sync.objects.urls import ObjectUrls
    from cloud_sync_airflow.hooks.storage_access import StorageAccess

ACCESS: Mapping[str, tuple[str, Callable[[Storage], StorageAccess]]] = {
    "s3": ("aws", S3Access),
    "gcs": ("google_cloud_platform", GcsAccess),
    "azure": ("wasb", AzureAccess),
    "otc": ("aws", OtcAccess),
}
"""By provider: the type of its connections, and what they let into."""


class ObjectStoreHook(BaseHook):
    """Opens the storage of an integration with the credentials of its Airflow connection.

    Which credentials, endpoint, region, role, session token and profile apply is for the provider's own
    hook to say, so that they mean here what they mean everywhere in Airflow.

    Args:
        storage: The storage section of the integration.
    """

    def __init__(self, storage: Storage, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.storage = storage

    def get_conn(self) -> ObjectStore:
        """Return the bucket, opened; makes no request to it.

        Raises:
            ConfigError: The connection does not exist, is of another type, or lacks what the provider needs.
            StorageError: It yields no credentials.
        """
        return self._access.open()

    def urls(self) -> ObjectUrls:
        """Return the builder of this storage's object URLs.

        Raises:
            ConfigError: The style of URL needs what neither the integration nor the connection says.
        """
        from cloud_sync.objects.urls import ObjectUrls, UrlStyle

        return ObjectUrls(
            self.storage.provider,
            self.storage.bucket,
            UrlStyle(self.storage.url_style),
            region=self._access.region,
            endpoint_url=self._access.endpoint_url,
            mrap_arn=self.storage.mrap_arn,
        )

    @cached_property
    def _access(self) -> StorageAccess:
        connection_type, access = ACCESS[self.storage.provider]
        # Some providers' hooks take the machine's own credentials for a connection that they cannot find.
        checked_connection(
            self.get_connection,
            self.storage.connection_id,
            connection_type,
            setting="storage.connection_id",
            user=f"Storage of provider {self.storage.provider}",
        )
        return access(self.storage)
