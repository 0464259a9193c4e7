"""The settings of the section `[cloud_sync]`."""

from __future__ import annotations

import os
from pathlib import Path

DEFAULT_POOL = "default_pool"


def state_folder() -> Path:
    """Return the folder of run folders and ledgers: `[cloud_sync] state_folder`."""
    home = os.environ.get("AIRFLOW_HOME", "~/airflow")
    return Path(_setting("state_folder") or f"{home}/cloud_sync").expanduser()


def tables_folder() -> Path:
    """Return the folder of metadata tables: `[cloud_sync] tables_folder`, or in the state folder."""
    configured = _setting("tables_folder")
    return Path(configured).expanduser() if configured else state_folder() / "tables"


def manifests_folder() -> Path:
    """Return the folder of manifests to upload: `[cloud_sync] manifests_folder`, or in the state folder."""
    configured = _setting("manifests_folder")
    return Path(configured).expanduser() if configured else state_folder() / "manifests"


def register_pool() -> str:
    """Return the Airflow pool of the tasks that have upload jobs: `[cloud_sync] pool`."""
    return _setting("pool") or DEFAULT_POOL


def _setting(name: str) -> str | None:
    from airflow.configuration import conf

    value: str | None = conf.get("cloud_sync", name, fallback=None)
    return value
