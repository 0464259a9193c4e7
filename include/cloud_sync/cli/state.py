"""Airflow's state folder at the command line: on this machine, or in a bucket with its credentials."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cloud_sync.errors import ConfigError

if TYPE_CHECKING:
    from cloud_sync.run_folder import RunFolder

SETTING: Final = "AIRFLOW__CLOUD_SYNC__STATE_FOLDER"
OPTION: Final = "--state-folder"

REMEDIES: Final = {
    "forbidden": "Check the credentials of this machine (docs/cli.md): they have to be valid, and let read "
    "the state folder, and write in it to release.",
    "no_bucket": "Check --state-folder, and the endpoint.",
    "unreachable": "Check the endpoint and the network, then try again.",
}
"""What to do here about an error of the store, whose own remedies speak of an Airflow connection."""


def open_folder(location: str, option: str = OPTION) -> RunFolder:
    """Return a folder that is named by a path, or by the URL of a part of a bucket; makes no request.

    A bucket is opened with the credentials of this machine: environment variables, profiles, roles.

    Args:
        location: The path or URL.
        option: Where it was named, for errors.

    Raises:
        ConfigError: The URL is wrong.
        StorageError: There are no credentials.
    """
    from cloud_sync.run_folder import RunFolder
    from cloud_sync.run_folder.address import is_url, parse_address
    from cloud_sync.run_folder.stores import bucket_folder

    if not is_url(location):
        return RunFolder(Path(location).expanduser())
    address = parse_address(location, option)
    with state_remedies():
        return bucket_folder(OPENERS[address.scheme](address.bucket), address)


def airflow_state_folder() -> RunFolder:
    """Return Airflow's state folder, where nothing else says it.

    Raises:
        ConfigError: It is on this machine, and not there.
    """
    home = os.environ.get("AIRFLOW_HOME", "~/airflow")
    folder = open_folder(os.environ.get(SETTING) or f"{home}/cloud_sync", SETTING)
    if folder.is_on_disk and not folder.root.is_dir():
        raise ConfigError(
            f"there is no state folder {folder.address()}.",
            where=OPTION,
            remedy="Name the one that the setting state_folder of the section cloud_sync names in Airflow.",
        )
    return folder


def named_state_folder(location: str | None) -> RunFolder:
    """Return the state folder that was named, or Airflow's.

    Raises:
        ConfigError: It is on this machine, and not there.
    """
    folder = open_folder(location) if location else airflow_state_folder()
    if folder.is_on_disk and not folder.root.is_dir():
        raise ConfigError("is not a folder.", where=folder.address(), remedy=f"Correct {OPTION}.")
    return folder


@contextmanager
def state_remedies() -> Iterator[None]:
    """Give errors of the state folder's store remedies for someone at a command line."""
    from cloud_sync.objects.errors import ObjectStoreError

    try:
        yield
    except ObjectStoreError as error:
        error.remedy = REMEDIES.get(error.reason, error.remedy)
        raise


def _s3_store(bucket: str) -> Any:
    import boto3
    from botocore.exceptions import BotoCoreError

    from cloud_sync.cli.store import configured
    from cloud_sync.objects.errors import from_botocore
    from cloud_sync.run_folder.stores import s3_store

    try:
        session = boto3.Session()
        endpoint_url, in_host = configured(session, None)
    except BotoCoreError as error:
        raise from_botocore(error, f"bucket {bucket}") from None
    return s3_store(bucket, session=session, endpoint_url=endpoint_url, virtual_hosted=in_host)


def _gcs_store(bucket: str) -> Any:
    from cloud_sync.cli.store import google_credentials
    from cloud_sync.run_folder.stores import gcs_store

    emulator = os.environ.get("STORAGE_EMULATOR_HOST")
    credentials = google_credentials(bucket, is_needed=emulator is None)
    return gcs_store(bucket, credentials=credentials, endpoint_url=emulator)


def _azure_store(container: str) -> Any:
    from cloud_sync.cli.store import azure_client
    from cloud_sync.run_folder.stores import azure_store

    try:
        client = azure_client(None, None)
    except ValueError:
        client = None
    if client is None:
        raise ConfigError(
            "there is no way to the storage account.",
            where=f"container {container}",
            remedy="Set AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_ACCOUNT and AZURE_STORAGE_KEY.",
        )
    return azure_store(container, client=client)


OPENERS: Final[Mapping[str, Callable[[str], Any]]] = {
    "s3": _s3_store,
    "gs": _gcs_store,
    "az": _azure_store,
}
