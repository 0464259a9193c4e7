"""Storage behind a connection of type `google_cloud_platform`: Google Cloud Storage."""

from __future__ import annotations

import os
from functools import cached_property
from typing import TYPE_CHECKING

from cloud_sync_airflow.hooks.storage_access import no_credentials

if TYPE_CHECKING:
    from airflow.providers.google.common.hooks.base_google import GoogleBaseHook

    from cloud_sync.integration import Storage
    from cloud_sync.objects.model import ObjectStore

ENDPOINT_VARIABLES = ("STORAGE_EMULATOR_HOST", "API_ENDPOINT_OVERRIDE")
"""What Google's own client of Cloud Storage takes an endpoint from; the connection has no field for it."""
REMEDY = (
    "Check the key file, key JSON or impersonation chain of the connection; without them, the application "
    "default credentials of this machine."
)


class GcsAccess:
    """Google Cloud Storage.

    Args:
        storage: The storage section of the integration.
    """

    region = None
    endpoint_url = None

    def __init__(self, storage: Storage) -> None:
        self.storage = storage

    def open(self) -> ObjectStore:
        """Return the bucket, opened; makes no request to it.

        Raises:
            StorageError: The connection yields no credentials.
        """
        from airflow.sdk.exceptions import AirflowException
        from google.auth.exceptions import GoogleAuthError

        from cloud_sync.objects.gcs import open_gcs

        try:
            credentials = self._hook.get_credentials()
        # A key file that is not there or no key, a broken JSON, no machine credentials.
        except (AirflowException, GoogleAuthError, ValueError, OSError) as error:
            raise no_credentials(error, self.storage.connection_id, REMEDY) from None
        return open_gcs(self.storage.bucket, credentials=credentials, endpoint_url=api_url(self._hook))

    @cached_property
    def _hook(self) -> GoogleBaseHook:
        from airflow.providers.google.common.hooks.base_google import GoogleBaseHook

        return GoogleBaseHook(gcp_conn_id=self.storage.connection_id)


def api_url(hook: GoogleBaseHook) -> str | None:
    """Return where the API is; None for Google's usual place. Object URLs do not depend on it."""
    for variable in ENDPOINT_VARIABLES:
        if address := os.environ.get(variable):
            return address if "://" in address else f"http://{address}"
    universe = hook.get_client_options().universe_domain
    return f"https://storage.{universe}" if universe else None
