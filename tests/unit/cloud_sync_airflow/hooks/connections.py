"""Storages behind Airflow connections that are set in the environment."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from cloud_sync.integration import Storage
from cloud_sync_airflow.hooks.object_store import ObjectStoreHook

if TYPE_CHECKING:
    import pytest


def hook_for(
    monkeypatch: pytest.MonkeyPatch, storage: dict[str, Any], connection: dict[str, Any]
) -> ObjectStoreHook:
    """Return the hook of a storage whose connection has these fields."""
    monkeypatch.setenv("AIRFLOW_CONN_RECORDINGS", json.dumps(connection))
    return ObjectStoreHook(
        Storage.model_validate({"connection_id": "recordings", "bucket": "bucket", **storage})
    )
