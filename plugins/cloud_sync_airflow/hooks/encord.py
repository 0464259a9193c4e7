"""From an Airflow connection of type `encord` to a client."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook
from airflow.sdk.log import mask_secret

from cloud_sync.errors import CloudSyncError, ConfigError
from cloud_sync.run_folder import safe_name
from cloud_sync.version import user_agent
from cloud_sync_airflow.hooks.connections import checked_connection
from cloud_sync_airflow.settings import state_folder

if TYPE_CHECKING:
    from pathlib import Path

    from airflow.sdk import Connection

    from cloud_sync.registration.client import EncordClient
    from cloud_sync.registration.pacing import PaceFile

SHORTEST_MASKED = 8  # a shorter piece of a key could be a word in any log


class EncordHook(BaseHook):
    """Talks to Encord with the key of an Airflow connection.

    The connection's password is the SSH private key, its host the API domain (left out: Encord's own),
    and its extra field `encord_integration` names the cloud credential stored in Encord. All that use one
    connection keep to one pace (`cloud_sync.registration.pacing`), by a file in the state folder.

    Args:
        encord_conn_id: The Airflow connection.
    """

    conn_name_attr = "encord_conn_id"
    default_conn_name = "encord_default"
    conn_type = "encord"
    hook_name = "Encord"

    def __init__(self, encord_conn_id: str = default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.encord_conn_id = encord_conn_id

    @cached_property
    def _connection(self) -> Connection:
        return checked_connection(
            self.get_connection,
            self.encord_conn_id,
            self.conn_type,
            setting="target.connection_id",
            user="The Encord target",
        )

    @property
    def encord_integration(self) -> str | None:
        """Title or UUID of the cloud credential that the connection names, if it names one."""
        value = self._connection.extra_dejson.get("encord_integration")
        return str(value).strip() or None if value is not None else None

    def get_conn(self) -> EncordClient:
        """Return the client, the same one each time.

        Raises:
            ConfigError: The connection does not exist or is of another type, or its key or domain is wrong.
        """
        return self._client

    @cached_property
    def _client(self) -> EncordClient:
        from cloud_sync.registration.client import EncordClient
        from cloud_sync.registration.connection import DEFAULT_DOMAIN
        from cloud_sync.registration.keys import check_ssh_key
        from cloud_sync.registration.pacing import SharedPace

        connection = self._connection
        try:
            key = check_ssh_key(connection.password or "")
            _mask(key)
            return EncordClient(
                domain=_domain(connection) or DEFAULT_DOMAIN,
                ssh_private_key=key,
                user_agent_suffix=user_agent(),
                pace=SharedPace(pace_file(self.encord_conn_id)),
            )
        except ConfigError as error:
            raise ConfigError(
                error.message, where=f"connection {self.encord_conn_id}", remedy=error.remedy
            ) from None

    def test_connection(self) -> tuple[bool, str]:
        """Tell whether Encord accepts the key and has the integration; never raises for a wrong setting."""
        try:
            client = self.get_conn()
            visible = client.check()
            if wanted := self.encord_integration:
                client.find_encord_integration(wanted)
        except CloudSyncError as error:
            return False, str(error)
        named = f"; it has {wanted!r}" if wanted else ""
        return True, f"Connected to {client.domain}. The user sees {visible} Encord integrations{named}."


def pace_file(encord_conn_id: str) -> Path | PaceFile:
    """Return the file that holds how long to leave Encord alone, for all that use this connection."""
    from cloud_sync.registration.pacing import FileInBucket

    folder, name = state_folder().below("pace"), f"{safe_name(encord_conn_id)}.json"
    return folder.path(name) if folder.is_on_disk else FileInBucket(folder, name)


def _domain(connection: Connection) -> str | None:
    """Return the API domain; a connection written as a URI keeps its port apart."""
    if connection.host and connection.port:
        return f"{connection.host}:{connection.port}"
    return connection.host or None


def _mask(key: str) -> None:
    """Have Airflow blank out the key in logs, whole and by line."""
    mask_secret(key)
    for line in key.splitlines():
        if len(line) >= SHORTEST_MASKED and not line.startswith("-----"):
            mask_secret(line)
