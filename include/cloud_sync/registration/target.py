"""From the names in an integration file to the ids that requests need."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from cloud_sync.errors import ConfigError
from cloud_sync.registration.model import DatasetRef, Target


class FolderFinder(Protocol):
    """The call of `EncordClient` that finding a dataset's folder needs."""

    def find_folder(self, name_or_uuid: str) -> str | None:
        """Return the uuid of a storage folder, or None."""


class TargetClient(FolderFinder, Protocol):
    """The calls of `EncordClient` that resolving a target needs."""

    def find_dataset(self, title_or_hash: str) -> DatasetRef:
        """Return a dataset by its title or its hash."""

    def find_encord_integration(self, title_or_uuid: str) -> tuple[str, str]:
        """Return uuid and title of a cloud credential."""

    def ensure_folder(self, name_or_uuid: str) -> str:
        """Return the uuid of a storage folder, made if need be."""


def folder_name(integration_name: str) -> str:
    """Return the name of the folder that is made for a dataset without a folder of its own."""
    return f"cloud-sync {integration_name}"


def resolve_target(
    client: TargetClient,
    *,
    dataset: str,
    encord_integration: str | None,
    folder: str | None,
    integration_name: str,
) -> Target:
    """Find dataset, Encord integration and folder. Changes nothing in Encord.

    Args:
        client: The connection to Encord.
        dataset: Title or hash.
        encord_integration: Title or UUID of the cloud credential; the one of the integration file, or
            else of the connection.
        folder: Name or UUID of the storage folder; None for the dataset's own, or else one named after
            the integration.
        integration_name: The integration's name.

    Returns:
        The target; its `folder_uuid` is None if the folder must be made (`ensure_target_folder`).

    Raises:
        ConfigError: Something is not there, or a title is not unique, or no credential is named.
    """
    if not encord_integration:
        raise ConfigError(
            "no Encord integration is named, so Encord has no credential to read the objects with.",
            where=f"integration {integration_name}, target.encord_integration",
            remedy="Name it there, or in the Encord connection.",
        )
    found = client.find_dataset(dataset)
    credential_uuid, credential_title = client.find_encord_integration(encord_integration)
    folder_uuid = folder_of_dataset(client, found, folder=folder, integration_name=integration_name)
    return Target(
        dataset_uuid=found.uuid,
        dataset_title=found.title,
        folder_uuid=folder_uuid,
        is_backing_folder=folder_uuid is not None and folder_uuid == found.backing_folder_uuid,
        encord_integration_uuid=credential_uuid,
        encord_integration_title=credential_title,
    )


def folder_of_dataset(
    client: FolderFinder, dataset: DatasetRef, *, folder: str | None, integration_name: str
) -> str | None:
    """Return the uuid of the storage folder whose items a dataset has; None if it must still be made."""
    if folder is None and dataset.backing_folder_uuid is not None:
        return dataset.backing_folder_uuid
    return client.find_folder(folder or folder_name(integration_name))


def ensure_target_folder(client: TargetClient, target: Target, name: str) -> Target:
    """Return the target with a folder, made under `name` if there is none yet."""
    if target.folder_uuid is not None:
        return target
    return replace(target, folder_uuid=client.ensure_folder(name))
