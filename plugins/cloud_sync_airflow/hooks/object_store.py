"""From an Airflow connection to an object store, and to the URLs of its objects."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook

from cloud_sync_airflow.hooks.connections import checked_connection

if TYPE_CHECKING:
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook

    from cloud_sync.integration import Storage
    from cloud_sync.objects.model import ObjectStore
    from cloud_sync.objects.urls import ObjectUrls

CONNECTION_TYPE = {"s3": "aws"}


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
            ConfigError: The connection does not exist or is of another type.
            StorageError: It yields no credentials.
        """
        from botocore.exceptions import BotoCoreError, ClientError

        from cloud_sync.objects.errors import from_botocore
        from cloud_sync.objects.stores import client_config, open_s3

        hook = self._s3_hook
        try:
            session = hook.get_session(region_name=self._region)
            client = hook.get_client_type(self._region, client_config(hook.config))
        except (BotoCoreError, ClientError) as error:
            raise from_botocore(error, f"connection {self.storage.connection_id}") from None
        return open_s3(
            self.storage.bucket,
            endpoint_url=self._endpoint_url,
            region=self._region,
            session=session,
            client=client,
            verify=hook.verify,
            virtual_hosted=self._wants_bucket_in_host(),
        )

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
            region=self._region,
            endpoint_url=self._endpoint_url,
            mrap_arn=self.storage.mrap_arn,
        )

    @cached_property
    def _s3_hook(self) -> S3Hook:
        from airflow.providers.amazon.aws.hooks.s3 import S3Hook

        # The provider's hook takes the machine's own credentials for a connection that it cannot find.
        checked_connection(
            self.get_connection,
            self.storage.connection_id,
            CONNECTION_TYPE[self.storage.provider],
            setting="storage.connection_id",
            user=f"Storage of provider {self.storage.provider}",
        )
        return S3Hook(aws_conn_id=self.storage.connection_id)

    @property
    def _endpoint_url(self) -> str | None:
        return self._s3_hook.conn_config.get_service_endpoint_url("s3")

    @property
    def _region(self) -> str | None:
        return self.storage.region or self._s3_hook.conn_config.region_name

    def _wants_bucket_in_host(self) -> bool:
        config = self._s3_hook.conn_config.botocore_config
        return bool(config and (getattr(config, "s3", None) or {}).get("addressing_style") == "virtual")
