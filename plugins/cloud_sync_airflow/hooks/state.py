"""From the setting `state_folder` to a folder, on a disk or in a bucket behind an Airflow connection."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook

from cloud_sync.errors import ConfigError
from cloud_sync_airflow.hooks.connections import checked_connection
from cloud_sync_airflow.hooks.google_storage import api_url
from cloud_sync_airflow.hooks.storage_access import no_credentials

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cloud_sync.run_folder import RunFolder

WHERE = "setting state_folder, section cloud_sync"
SETTING = "the setting state_connection_id"
CONNECTION_TYPE = {"s3": "aws", "gs": "google_cloud_platform", "az": "wasb"}


@cache
def open_bucket_folder(url: str, connection_id: str, where: str = WHERE) -> RunFolder:
    """Return a part of a bucket as a folder, the same one each time; makes no request to it.

    Args:
        url: Its URL.
        connection_id: The Airflow connection that lets in.
        where: The setting that names it.

    Raises:
        ConfigError: The URL is wrong, or the connection does not exist or is of another type.
        StorageError: It yields no credentials.
    """
    from cloud_sync.run_folder.address import parse_address
    from cloud_sync.run_folder.stores import bucket_folder

    address = parse_address(url, where)
    if not connection_id:
        raise ConfigError(
            f"no connection is named that lets into {address}.",
            where=where,
            remedy="Name an Airflow connection in the setting state_connection_id of the section cloud_sync.",
        )
    checked_connection(
        BaseHook.get_connection,
        connection_id,
        CONNECTION_TYPE[address.scheme],
        setting=SETTING,
        user=f"The folder {address}",
    )
    return bucket_folder(OPENERS[address.scheme](address.bucket, connection_id), address)


def _s3_store(bucket: str, connection_id: str) -> Any:
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook
    from botocore.exceptions import BotoCoreError, ClientError

    from cloud_sync.objects.errors import from_botocore
    from cloud_sync.run_folder.stores import s3_store

    hook = S3Hook(aws_conn_id=connection_id)
    region = hook.conn_config.region_name
    config = hook.conn_config.botocore_config
    style = (getattr(config, "s3", None) or {}).get("addressing_style") if config else None
    try:
        session = hook.get_session(region_name=region)
    except (BotoCoreError, ClientError) as error:
        raise from_botocore(error, f"connection {connection_id}") from None
    return s3_store(
        bucket,
        session=session,
        endpoint_url=hook.conn_config.get_service_endpoint_url("s3"),
        region=region,
        virtual_hosted=style == "virtual",
        verify=hook.verify,
    )


def _gcs_store(bucket: str, connection_id: str) -> Any:
    from airflow.providers.google.common.hooks.base_google import GoogleBaseHook
    from airflow.sdk.exceptions import AirflowException
    from google.auth.exceptions import GoogleAuthError

    from cloud_sync.run_folder.stores import gcs_store

    hook = GoogleBaseHook(gcp_conn_id=connection_id)
    try:
        credentials = hook.get_credentials()
    # A key file that is not there or no key, a broken JSON, no credentials of the machine.
    except (AirflowException, GoogleAuthError, ValueError, OSError) as error:
        remedy = "Check the key file, key JSON or impersonation chain of the connection."
        raise no_credentials(error, connection_id, remedy) from None
    return gcs_store(bucket, credentials=credentials, endpoint_url=api_url(hook))


def _azure_store(container: str, connection_id: str) -> Any:
    from airflow.providers.microsoft.azure.hooks.wasb import WasbHook
    from azure.core.exceptions import AzureError

    from cloud_sync.run_folder.stores import azure_store

    try:
        client = WasbHook(wasb_conn_id=connection_id).get_conn()
    # A connection string that is none, a key without an account, a tenant that is no tenant.
    except (AzureError, ValueError, TypeError) as error:
        remedy = "Check the connection string, key, SAS token or client secret of the connection."
        raise no_credentials(error, connection_id, remedy) from None
    return azure_store(container, client=client)


OPENERS: Mapping[str, Callable[[str, str], Any]] = {"s3": _s3_store, "gs": _gcs_store, "az": _azure_store}
