"""The settings of the section `[cloud_sync]`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cloud_sync.run_folder import RunFolder

DEFAULT_POOL = "default_pool"


def state_folder() -> RunFolder:
    """Return the folder of run folders and ledgers: `[cloud_sync] state_folder`, a path or a bucket's URL.

    Raises:
        ConfigError: The URL is wrong, or `[cloud_sync] state_connection_id` does not let in.
    """
    return _folder(_state_location())


def tables_folder() -> RunFolder:
    """Return the folder of metadata tables: `[cloud_sync] tables_folder`, or in the state folder."""
    configured = _setting("tables_folder")
    return _folder(configured) if configured else state_folder().below("tables")


def manifests_folder() -> RunFolder:
    """Return the folder of manifests to upload: `[cloud_sync] manifests_folder`, or in the state folder."""
    configured = _setting("manifests_folder")
    return _folder(configured) if configured else state_folder().below("manifests")


def manifests_address() -> str:
    """Return what to call the folder of manifests; asks no connection, so it may be used in DAG files."""
    return _expanded(_setting("manifests_folder") or f"{_state_location().rstrip('/')}/manifests")


def _state_location() -> str:
    home = os.environ.get("AIRFLOW_HOME", "~/airflow")
    return _setting("state_folder") or f"{home}/cloud_sync"


def _folder(location: str) -> RunFolder:
    from cloud_sync.run_folder import RunFolder
    from cloud_sync.run_folder.address import is_url

    if not is_url(location):
        return RunFolder(_expanded(location))
    from cloud_sync_airflow.hooks.state import open_bucket_folder

    return open_bucket_folder(location, _setting("state_connection_id") or "")


def _expanded(location: str) -> str:
    from cloud_sync.run_folder.address import is_url

    return location if is_url(location) else str(Path(location).expanduser())


def register_pool() -> str:
    """Return the Airflow pool of the tasks that have upload jobs: `[cloud_sync] pool`."""
    return _setting("pool") or DEFAULT_POOL


def _setting(name: str) -> str | None:
    from airflow.configuration import conf

    value: str | None = conf.get("cloud_sync", name, fallback=None)
    return value
