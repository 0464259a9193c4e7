"""Upload jobs as the user sees them: start, state, cancel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import func, insert, select

from cloud_sync.dataset_service.access import dataset_of, folder_of, job_of, require
from cloud_sync.dataset_service.item_types import ITEM_TYPES
from cloud_sync.dataset_service.manifests import Manifest, read_manifest
from cloud_sync.dataset_service.refusals import InvalidRequest
from cloud_sync.dataset_service.registering import finish
from cloud_sync.dataset_service.tables import DataRow, Item, Job, JobStatus, Unit, UnitStatus
from cloud_sync.dataset_service.wire import (
    DataName,
    DatasetJobState,
    ItemName,
    JobCancelled,
    JobCounts,
    JobState,
    StartDatasetJob,
    StartJob,
    UnitErrorAnswer,
)

if TYPE_CHECKING:
    from collections.abc import Collection

    from pydantic import JsonValue
    from sqlalchemy.orm import Session

    from cloud_sync.dataset_service.config import Limits
    from cloud_sync.dataset_service.units import UnitSpec

WAITING = (UnitStatus.PENDING,)
# Encord does not document how it counts skipped duplicates. Counted as done, the counts add up.
DONE = (UnitStatus.CHECKED, UnitStatus.REGISTERED, UnitStatus.SKIPPED)


def start_job(
    session: Session,
    user: str,
    folder_uuid: UUID,
    asked: StartJob,
    *,
    limits: Limits,
    integrations: Collection[UUID],
    dataset_uuid: UUID | None = None,
) -> UUID:
    """Store an upload job with all its units; it runs when the transaction has committed.

    Raises:
        NotAllowed: The folder is not the user's.
        InvalidRequest: The manifest is wrong, or the Encord integration is not known.
    """
    folder_of(session, user, folder_uuid)
    require(asked.integration_hash is not None, "An Encord integration is needed: data is not uploaded here.")
    require(
        asked.integration_hash in integrations, f"Encord integration {asked.integration_hash} is unknown."
    )
    manifest = _manifest_of(asked.external_files, asked.data_items, limits)
    job = Job(
        folder_uuid=folder_uuid,
        dataset_uuid=dataset_uuid,
        encord_integration_uuid=asked.integration_hash,
        owner=user,
        file_name=asked.file_name,
        ignore_errors=asked.ignore_errors,
        skip_duplicate_urls=manifest.skip_duplicate_urls,
        upsert_metadata=manifest.upsert_metadata,
    )
    session.add(job)
    session.flush()
    session.execute(insert(Unit), [_unit_row(job.id, spec) for spec in manifest.units])
    return job.uuid


def start_dataset_job(
    session: Session,
    user: str,
    dataset_uuid: UUID,
    asked: StartDatasetJob,
    *,
    limits: Limits,
    integrations: Collection[UUID],
) -> UUID:
    """Start an upload job on a dataset: into its own folder, or into the one that is named.

    Raises:
        NotFound, NotAllowed: The dataset or folder is not the user's.
        InvalidRequest: As `start_job`; or a folder is named for a dataset that has its own, or
            none for one that has not.
    """
    dataset = dataset_of(session, user, dataset_uuid)
    own = dataset.backing_folder_uuid
    require(not (own and asked.folder_uuid), "The dataset has a folder of its own: name no other.")
    folder_uuid = own or asked.folder_uuid
    if folder_uuid is None:
        raise InvalidRequest("The dataset has no folder of its own: name one.")
    job = StartJob(
        external_files=asked.files,
        data_items=asked.data_items,
        integration_hash=asked.integration_id,
        ignore_errors=asked.ignore_errors,
        file_name=asked.file_name,
    )
    return start_job(
        session,
        user,
        folder_uuid,
        job,
        limits=limits,
        integrations=integrations,
        dataset_uuid=None if own else dataset_uuid,
    )


def job_state(session: Session, user: str, job_uuid: UUID, folder_uuid: UUID) -> JobState:
    """Return where a job of a folder stands.

    Raises:
        NotFound, NotAllowed: The user has no such job there.
    """
    job = job_of(session, user, job_uuid, folder_uuid)
    errors = _unit_errors(session, job)
    named = [ItemName(item_uuid=uuid, name=name) for uuid, name in _registered(session, job).items()]
    return JobState(
        **_counts(session, job, errors).model_dump(),
        items_with_names=named,
        unit_errors=errors,
        file_name=job.file_name,
    )


def dataset_job_state(session: Session, user: str, job_uuid: UUID, dataset_uuid: UUID) -> DatasetJobState:
    """Return where a job that was started on a dataset stands, in the legacy form.

    Raises:
        NotFound, NotAllowed: The user has no such job.
    """
    dataset = dataset_of(session, user, dataset_uuid)
    job = job_of(session, user, job_uuid)
    require(
        job.dataset_uuid == dataset.uuid or job.folder_uuid == dataset.backing_folder_uuid,
        "The upload job belongs to another dataset.",
    )
    errors = _unit_errors(session, job)
    uuids = _registered(session, job)
    rows = session.scalars(select(DataRow).where(DataRow.dataset_uuid == dataset.uuid).order_by(DataRow.id))
    named = [
        DataName(data_hash=str(row.uuid), title=row.title, backing_item_uuid=row.item_uuid)
        for row in rows
        if row.item_uuid in uuids
    ]
    counts = _counts(session, job, errors).model_dump()
    return DatasetJobState(**counts, data_hashes_with_titles=named, data_unit_errors=errors)


def cancel_job(session: Session, user: str, job_uuid: UUID, folder_uuid: UUID) -> JobCancelled:
    """Stop a job: what it has registered stays, the rest never comes. Finished jobs are left as they are.

    Raises:
        NotFound, NotAllowed: The user has no such job there.
    """
    job = job_of(session, user, job_uuid, folder_uuid)
    session.refresh(job, with_for_update=True)
    if job.status == JobStatus.PENDING:
        finish(session, job, JobStatus.CANCELLED)
        session.flush()
    by_status = _units_by_status(session, job)
    return JobCancelled(units_cancelled_count=by_status.get(UnitStatus.CANCELLED, 0))


def _unit_row(job_id: int, spec: UnitSpec) -> dict[str, Any]:
    return {
        "job_id": job_id,
        "item_type": spec.item_type,
        "files": [file.to_json() for file in spec.files],
        "title": spec.title,
        "client_metadata": spec.client_metadata,
    }


def _manifest_of(raw: JsonValue, typed: JsonValue, limits: Limits) -> Manifest:
    require((raw is None) != (typed is None), "Give either externalFiles or dataItems.")
    if typed is not None:
        return read_manifest(typed, limits, typed=True)
    return read_manifest(raw, limits, typed=False)


def _counts(session: Session, job: Job, errors: list[UnitErrorAnswer]) -> JobCounts:
    count = _units_by_status(session, job)
    return JobCounts(
        status=job.status,
        errors=[error.error for error in errors],
        units_pending_count=sum(count.get(status, 0) for status in WAITING),
        units_done_count=sum(count.get(status, 0) for status in DONE),
        units_error_count=count.get(UnitStatus.ERROR, 0),
        units_cancelled_count=count.get(UnitStatus.CANCELLED, 0),
    )


def _units_by_status(session: Session, job: Job) -> dict[str, int]:
    query = select(Unit.status, func.count()).where(Unit.job_id == job.id).group_by(Unit.status)
    return {row[0]: row[1] for row in session.execute(query)}


def _unit_errors(session: Session, job: Job) -> list[UnitErrorAnswer]:
    query = select(Unit).where(Unit.job_id == job.id, Unit.status == UnitStatus.ERROR)
    return [
        UnitErrorAnswer(
            object_urls=unit.error_urls or unit.urls,
            error=unit.error or "",
            subtask_uuid=unit.uuid,
            action_description=ITEM_TYPES[unit.item_type].action,
        )
        for unit in session.scalars(query.order_by(Unit.id))
    ]


def _registered(session: Session, job: Job) -> dict[UUID, str]:
    """What the job has added, uuid to name; while it runs nothing: polls are many, the list is long."""
    if job.status == JobStatus.PENDING:
        return {}
    query = select(Item.uuid, Item.name).join(Unit, Unit.item_uuid == Item.uuid)
    query = query.where(Unit.job_id == job.id, Unit.status == UnitStatus.REGISTERED)
    return {row[0]: row[1] for row in session.execute(query.order_by(Unit.id))}
