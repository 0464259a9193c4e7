"""The v2 protocol: JSON over paths below /v2/public."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool

from cloud_sync.dataset_service import datasets, folders, jobs, leaving
from cloud_sync.dataset_service.access import refuse_organisation_access
from cloud_sync.dataset_service.refusals import InvalidRequest
from cloud_sync.dataset_service.service import Service, service_of, user_of
from cloud_sync.dataset_service.wire import (
    CreateDataset,
    CreateFolder,
    DatasetCreated,
    DatasetFilter,
    Datasets,
    EncordIntegration,
    EncordIntegrations,
    FolderAnswer,
    FolderFilter,
    FolderPage,
    GetItems,
    ItemAnswer,
    ItemFilter,
    ItemPage,
    JobCancelled,
    JobState,
    MoveItems,
    StartJob,
)

router = APIRouter(prefix="/v2/public")

TheService = Annotated[Service, Depends(service_of)]
User = Annotated[str, Depends(user_of)]


@router.get("/cloud-integrations")
def list_encord_integrations(
    service: TheService,
    uuids: Annotated[list[UUID] | None, Query(alias="filterIntegrationUuids")] = None,
    titles: Annotated[list[str] | None, Query(alias="filterIntegrationTitles")] = None,
    organisation: Annotated[bool, Query(alias="includeOrgAccess")] = False,
) -> EncordIntegrations:
    """List the Encord integrations that match both filters."""
    refuse_organisation_access(organisation)
    return EncordIntegrations(
        result=[
            EncordIntegration(integration_uuid=each.identity, title=each.title)
            for each in service.config.encord_integrations
            if (uuids is None or each.identity in uuids) and (titles is None or each.title in titles)
        ]
    )


@router.post("/datasets")
def create_dataset(service: TheService, user: User, asked: CreateDataset) -> DatasetCreated:
    """Create a dataset."""
    with service.database.writing() as session:
        return datasets.create_dataset(session, user, asked)


@router.get("/datasets/list")
def list_datasets(service: TheService, user: User, asked: Annotated[DatasetFilter, Query()]) -> Datasets:
    """List datasets."""
    with service.database.reading() as session:
        return datasets.list_datasets(session, user, asked)


@router.post("/storage/folders")
def create_folder(service: TheService, user: User, asked: CreateFolder) -> FolderAnswer:
    """Create a folder."""
    with service.database.writing() as session:
        return folders.create_folder(session, user, asked)


@router.get("/storage/folders")
def list_top_folders(service: TheService, user: User, asked: Annotated[FolderFilter, Query()]) -> FolderPage:
    """List the folders at the top."""
    with service.database.reading() as session:
        return folders.list_folders(session, user, asked)


@router.get("/storage/search/folders")
def search_folders(service: TheService, user: User, asked: Annotated[FolderFilter, Query()]) -> FolderPage:
    """List folders at any depth."""
    with service.database.reading() as session:
        return folders.list_folders(session, user, asked, everywhere=True)


@router.get("/storage/folders/{folder_uuid}")
def get_folder(service: TheService, user: User, folder_uuid: UUID) -> FolderAnswer:
    """Return a folder."""
    with service.database.reading() as session:
        return folders.get_folder(session, user, folder_uuid)


@router.get("/storage/folders/{folder_uuid}/folders")
def list_child_folders(
    service: TheService, user: User, folder_uuid: UUID, asked: Annotated[FolderFilter, Query()]
) -> FolderPage:
    """List the folders below a folder."""
    with service.database.reading() as session:
        return folders.list_folders(session, user, asked, parent=folder_uuid)


@router.get("/storage/folders/{folder_uuid}/items")
def list_items(
    service: TheService, user: User, folder_uuid: UUID, asked: Annotated[ItemFilter, Query()]
) -> ItemPage:
    """List the items of a folder."""
    with service.database.reading() as session:
        return folders.list_items(session, user, folder_uuid, asked)


@router.get("/storage/folders/{folder_uuid}/items/{item_uuid}/child-items")
def list_child_items(service: TheService, user: User, folder_uuid: UUID, item_uuid: UUID) -> ItemPage:
    """List the files of a group, sequence or series."""
    with service.database.reading() as session:
        return folders.child_items(session, user, folder_uuid, item_uuid)


@router.post("/storage/folders/{folder_uuid}/items/move")
def move_items(service: TheService, user: User, folder_uuid: UUID, asked: MoveItems) -> None:
    """Put items of a folder into another one."""
    with service.database.writing() as session:
        leaving.move_items(session, user, folder_uuid, asked)


@router.post("/storage/items/get-bulk")
def get_items(service: TheService, user: User, asked: GetItems) -> ItemPage:
    """Return items by UUID."""
    with service.database.reading() as session:
        return ItemPage(results=folders.get_items(session, user, asked.item_uuids))


@router.get("/storage/items/{item_uuid}")
def get_item(service: TheService, user: User, item_uuid: UUID) -> ItemAnswer:
    """Return one item."""
    with service.database.reading() as session:
        return folders.get_items(session, user, [item_uuid])[0]


@router.post("/storage/folders/{folder_uuid}/data-upload-jobs")
async def start_job(service: TheService, user: User, folder_uuid: UUID, request: Request) -> UUID:
    """Start an upload job and return its UUID."""
    body = await request.body()
    # A manifest of 100 MB takes a second to read: not on the event loop.
    job_uuid = await run_in_threadpool(_start_job, service, user, folder_uuid, body)
    service.worker.wake()
    return job_uuid


@router.get("/storage/folders/{folder_uuid}/data-upload-jobs/{job_uuid}")
async def poll_job(
    service: TheService,
    user: User,
    folder_uuid: UUID,
    job_uuid: UUID,
    timeout_s: Annotated[float, Query(alias="timeoutSeconds", ge=0)] = 60,
) -> JobState:
    """Return where a job stands, when it has ended or the hold is over."""

    def read() -> JobState:
        with service.database.reading() as session:
            return jobs.job_state(session, user, job_uuid, folder_uuid)

    return await service.held(job_uuid, timeout_s, read)


@router.post("/storage/folders/{folder_uuid}/data-upload-jobs/{job_uuid}/cancel")
def cancel_job(service: TheService, user: User, folder_uuid: UUID, job_uuid: UUID) -> JobCancelled:
    """Stop a job."""
    with service.database.writing() as session:
        cancelled = jobs.cancel_job(session, user, job_uuid, folder_uuid)
    service.job_ends.announce(job_uuid)
    return cancelled


def _start_job(service: Service, user: str, folder_uuid: UUID, body: bytes) -> UUID:
    try:
        asked = StartJob.model_validate_json(body)
    except ValidationError as error:
        raise InvalidRequest("The request is not an upload job.") from error
    with service.database.writing() as session:
        return jobs.start_job(
            session,
            user,
            folder_uuid,
            asked,
            limits=service.config.limits,
            integrations=service.readers.keys(),
        )
