"""An Airflow connection that is there and of the right type, or one clear error at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from airflow.sdk.exceptions import AirflowNotFoundException

from cloud_sync.errors import ConfigError

if TYPE_CHECKING:
    from airflow.sdk import Connection


def checked_connection(
    get_connection: Callable[[str], Connection], conn_id: str, wanted_type: str, *, setting: str, user: str
) -> Connection:
    """Return an Airflow connection.

    Airflow's own error for a missing one does not say what to do, and is tried again like any other.

    Args:
        get_connection: `BaseHook.get_connection`.
        conn_id: The connection.
        wanted_type: The type that it must have.
        setting: Where the connection is named (`storage.connection_id`).
        user: Who needs it (`Storage of provider s3`).

    Raises:
        ConfigError: It does not exist or is of another type.
    """
    where = f"connection {conn_id}"
    try:
        connection = get_connection(conn_id)
    except AirflowNotFoundException:
        raise ConfigError(
            "does not exist.",
            where=where,
            remedy=f"Add it in the Airflow UI (type {wanted_type}), or correct {setting}.",
        ) from None
    if connection.conn_type != wanted_type:
        raise ConfigError(
            f"is of the type {connection.conn_type!r}.",
            where=where,
            remedy=f"{user} needs a connection of type {wanted_type!r}.",
        )
    return connection
