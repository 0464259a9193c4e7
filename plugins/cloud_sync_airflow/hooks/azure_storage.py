"""Storage behind a connection of type `wasb`: Azure Blob Storage."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from cloud_sync_airflow.hooks.storage_access import no_credentials

if TYPE_CHECKING:
    from cloud_sync.integration import Storage
    from cloud_sync.objects.azure_account import AzureAccount
    from cloud_sync.objects.model import ObjectStore

REMEDY = "Check the connection string, key, SAS token or client secret of the connection, and its host."


class AzureAccess:
    """Azure Blob Storage.

    Args:
        storage: The storage section of the integration.
    """

    region = None

    def __init__(self, storage: Storage) -> None:
        self.storage = storage

    @property
    def endpoint_url(self) -> str:
        """The URL of the storage account.

        Raises:
            ConfigError: The connection names none, or another one than the integration file.
            StorageError: It cannot be read.
        """
        return self._account.url

    def open(self) -> ObjectStore:
        """Return the container, opened; makes no request to it.

        Raises:
            ConfigError: The connection names no account, or another one than the integration file.
            StorageError: It yields no credentials.
        """
        from cloud_sync.objects.azure import open_azure

        account = self._account
        return open_azure(self.storage.bucket, account_url=account.url, credential=account.credential)

    @cached_property
    def _account(self) -> AzureAccount:
        from airflow.providers.microsoft.azure.hooks.wasb import WasbHook
        from azure.core.exceptions import AzureError

        from cloud_sync.objects.azure_account import AzureAccount

        connection_id = self.storage.connection_id
        try:
            client = WasbHook(wasb_conn_id=connection_id).get_conn()
        # A connection string that is none, a key without an account, a tenant that is no tenant.
        except (AzureError, ValueError, TypeError) as error:
            raise no_credentials(error, connection_id, REMEDY) from None
        return AzureAccount.of(client, where=f"connection {connection_id}", wanted=self.storage.account)
