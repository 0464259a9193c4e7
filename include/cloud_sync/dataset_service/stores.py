"""Open the buckets of an Encord integration with its own credentials."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cloud_sync.dataset_service.encord_integrations import (
    AzureEncordIntegration,
    EncordIntegration,
    GcsEncordIntegration,
    OtcEncordIntegration,
    S3EncordIntegration,
)
from cloud_sync.errors import ConfigError
from cloud_sync.objects.azure import open_azure
from cloud_sync.objects.gcs import open_gcs
from cloud_sync.objects.gcs_errors import READ_ONLY
from cloud_sync.objects.otc import otc_endpoint
from cloud_sync.objects.stores import open_s3

if TYPE_CHECKING:
    from pathlib import Path

    from cloud_sync.objects.model import ObjectStore

OpenStore = Callable[[str], "ObjectStore"]
"""Opens a bucket by its name; makes no request."""


def store_opener(integration: EncordIntegration, folder: Path) -> OpenStore:
    """Return what opens the buckets of an Encord integration; its secrets are read now.

    Args:
        integration: From the configuration file.
        folder: Of the configuration file, for the files of secrets.

    Raises:
        ConfigError: A secret is missing or is none.
    """
    match integration:
        case S3EncordIntegration():
            return _s3(integration, folder)
        case OtcEncordIntegration():
            return _otc(integration, folder)
        case GcsEncordIntegration():
            return _gcs(integration, folder)
        case AzureEncordIntegration():
            return _azure(integration, folder)


def _s3(integration: S3EncordIntegration, folder: Path) -> OpenStore:
    key_id, secret = integration.credentials(folder)
    return lambda bucket: open_s3(
        bucket,
        endpoint_url=integration.endpoint,
        region=integration.region,
        access_key_id=key_id,
        secret_access_key=secret,
    )


def _otc(integration: OtcEncordIntegration, folder: Path) -> OpenStore:
    key_id, secret = integration.credentials(folder)
    own = integration.endpoint
    return lambda bucket: open_s3(
        bucket,
        endpoint_url=own or otc_endpoint(integration.region),
        region=integration.region,
        access_key_id=key_id,
        secret_access_key=secret,
        virtual_hosted=own is None,
    )


def _gcs(integration: GcsEncordIntegration, folder: Path) -> OpenStore:
    credentials = _google_credentials(integration, folder)
    return lambda bucket: open_gcs(bucket, credentials=credentials, endpoint_url=integration.endpoint)


def _google_credentials(integration: GcsEncordIntegration, folder: Path) -> Any:
    from google.auth.credentials import AnonymousCredentials
    from google.auth.exceptions import GoogleAuthError
    from google.oauth2.service_account import Credentials

    key = integration.secret("service_account", folder)
    if key is None:
        return AnonymousCredentials()  # type: ignore[no-untyped-call]
    try:
        return Credentials.from_service_account_info(dict(json.loads(key)), scopes=(READ_ONLY,))  # type: ignore[no-untyped-call]
    except (TypeError, ValueError, GoogleAuthError):
        raise ConfigError(
            "has a service account key that is none.",
            where=f"Encord integration {integration.title!r}",
            remedy="Give the JSON file that Google made, whole.",
        ) from None


def _azure(integration: AzureEncordIntegration, folder: Path) -> OpenStore:
    from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential

    key = integration.secret("account_key", folder)
    credential = (
        AzureNamedKeyCredential(integration.account, key)
        if key
        else AzureSasCredential(integration.secret("sas_token", folder) or "")
    )
    return lambda container: open_azure(container, account_url=integration.url, credential=credential)
