"""Who may see what: people see what they own, and nothing of others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from cloud_sync.dataset_service.refusals import InvalidRequest, NotAllowed, NotFound
from cloud_sync.dataset_service.tables import Dataset, Folder, Item, Job

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from uuid import UUID

    from sqlalchemy.orm import Session

# SQLite takes 32,766 parameters a statement.
PARAMETERS_AT_ONCE = 10_000


def folder_of(session: Session, user: str, uuid: UUID) -> Folder:
    """Return a folder of this user.

    Raises:
        NotAllowed: There is none (the SDK documents this answer for both cases).
    """
    folder = session.get(Folder, uuid)
    if folder is None or folder.owner != user:
        raise NotAllowed("does not exist or is not yours.", where=f"Folder {uuid}")
    return folder


def dataset_of(session: Session, user: str, uuid: UUID) -> Dataset:
    """Return a dataset of this user.

    Raises:
        NotFound: There is no such dataset.
        NotAllowed: It is somebody else's.
    """
    dataset = session.get(Dataset, uuid)
    if dataset is None:
        raise NotFound("does not exist.", where=f"Dataset {uuid}")
    if dataset.owner != user:
        raise NotAllowed("is not yours.", where=f"Dataset {uuid}")
    return dataset


def items_of(session: Session, user: str, uuids: Sequence[UUID]) -> list[Item]:
    """Return items of this user, in the order asked for.

    Raises:
        NotAllowed: One of them does not exist or is somebody else's.
    """
    found: dict[UUID, Item] = {}
    for some in in_portions(uuids):
        found |= {item.uuid: item for item in session.scalars(select(Item).where(Item.uuid.in_(some)))}
    for uuid in uuids:
        if uuid not in found or found[uuid].owner != user:
            raise NotAllowed("does not exist or is not yours.", where=f"Item {uuid}")
    return [found[uuid] for uuid in uuids]


def job_of(session: Session, user: str, uuid: UUID, folder_uuid: UUID | None = None) -> Job:
    """Return an upload job of this user, of this folder if one is named.

    Raises:
        NotFound: There is no such job.
        NotAllowed: It is somebody else's.
    """
    job = session.scalar(select(Job).where(Job.uuid == uuid))
    if job is None or folder_uuid not in (None, job.folder_uuid):
        raise NotFound("does not exist.", where=f"Upload job {uuid}")
    if job.owner != user:
        raise NotAllowed("is not yours.", where=f"Upload job {uuid}")
    return job


def refuse_organisation_access(asked: bool | None) -> None:
    """Refuse what only administrators of an organisation may ask for: this service has none.

    Raises:
        NotAllowed: It was asked for.
    """
    if asked:
        raise NotAllowed("Only an administrator of an organisation may list all that it has.")


def in_portions(uuids: Sequence[UUID]) -> Iterator[Sequence[UUID]]:
    """Cut a sequence so that each part fits into one statement."""
    for start in range(0, len(uuids), PARAMETERS_AT_ONCE):
        yield uuids[start : start + PARAMETERS_AT_ONCE]


def require(condition: bool, message: str) -> None:
    """Refuse the request unless the condition holds.

    Raises:
        InvalidRequest: It does not.
    """
    if not condition:
        raise InvalidRequest(message)
