"""Storage behind a connection of type `aws`: S3, S3-compatible stores, Open Telekom Cloud OBS."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from cloud_sync.errors import ConfigError

if TYPE_CHECKING:
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook

    from cloud_sync.integration import Storage
    from cloud_sync.objects.model import ObjectStore


class S3Access:
    """AWS S3, or whichever store the connection has as its endpoint.

    Args:
        storage: The storage section of the integration.
    """

    def __init__(self, storage: Storage) -> None:
        self.storage = storage

    @property
    def region(self) -> str | None:
        """That of the integration file, else the connection's."""
        return self.storage.region or self._hook.conn_config.region_name

    @property
    def endpoint_url(self) -> str | None:
        """The connection's endpoint; None for AWS."""
        return self._hook.conn_config.get_service_endpoint_url("s3")

    def open(self) -> ObjectStore:
        """Return the bucket, opened; makes no request to it.

        Raises:
            StorageError: The connection yields no credentials.
        """
        from botocore.exceptions import BotoCoreError, ClientError

        from cloud_sync.objects.errors import from_botocore
        from cloud_sync.objects.stores import open_s3

        try:
            session = self._hook.get_session(region_name=self.region)
            client = self._client(session)
        except (BotoCoreError, ClientError) as error:
            raise from_botocore(error, f"connection {self.storage.connection_id}") from None
        return open_s3(
            self.storage.bucket,
            endpoint_url=self.endpoint_url,
            region=self.region,
            session=session,
            client=client,
            verify=self._hook.verify,
            virtual_hosted=self._is_virtual_hosted(),
        )

    @cached_property
    def _hook(self) -> S3Hook:
        from airflow.providers.amazon.aws.hooks.s3 import S3Hook

        return S3Hook(aws_conn_id=self.storage.connection_id)

    def _client(self, session: Any) -> Any:
        from cloud_sync.objects.stores import client_config

        # What the connection says of the client wins.
        return self._hook.get_client_type(self.region, client_config(self._hook.config))

    def _is_virtual_hosted(self) -> bool:
        """Whether the endpoint wants the bucket in its host name."""
        config = self._hook.conn_config.botocore_config
        return bool(config and (getattr(config, "s3", None) or {}).get("addressing_style") == "virtual")


class OtcAccess(S3Access):
    """Open Telekom Cloud OBS, whose endpoint follows from the region unless the connection has one."""

    @property
    def endpoint_url(self) -> str:
        """The connection's endpoint, else that of the region.

        Raises:
            ConfigError: Neither is known.
        """
        from cloud_sync.objects.otc import otc_endpoint

        if own := super().endpoint_url:
            return own
        if self.region is None:
            raise ConfigError(
                "the region of the bucket is unknown, and with it the endpoint.",
                where=f"bucket {self.storage.bucket}",
                remedy="Set `region` in the integration file, such as eu-de, or `region_name` in the extras "
                "of the connection.",
            )
        return otc_endpoint(self.region)

    def _client(self, session: Any) -> Any:
        from cloud_sync.objects.stores import client_config

        style = "virtual" if self._is_virtual_hosted() else "path"
        config = client_config(self._hook.config, s3={"addressing_style": style})
        return session.client(
            "s3",
            endpoint_url=self.endpoint_url,
            # A store of one's own may know no regions, but a signature always names one.
            region_name=self.region or "eu-de",
            config=config,
            verify=self._hook.verify,
        )

    def _is_virtual_hosted(self) -> bool:
        from cloud_sync.objects.otc import is_otc

        return is_otc(self.endpoint_url) or super()._is_virtual_hosted()
