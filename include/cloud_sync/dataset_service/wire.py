"""The shapes on the wire, in the SDK's camel case. Source: encord 0.1.211, `encord/orm`."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue
from pydantic.alias_generators import to_camel

MAX_PAGE_SIZE = 1000


class Wire(BaseModel):
    """Camel case outside, snake case inside."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore")


# --- requests ---------------------------------------------------------------------------------


class CreateDataset(Wire):
    """A new dataset; `create_backing_folder` makes it mirror a folder of its own."""

    title: str = Field(min_length=1)
    description: str | None = None
    create_backing_folder: bool


class CreateFolder(Wire):
    """A new folder; client metadata comes as JSON text."""

    name: str = Field(min_length=1)
    description: str | None = None
    parent: UUID | None = None
    client_metadata: str | None = None
    cloud_synced_folder_params: dict[str, JsonValue] | None = None


class GetItems(Wire):
    """Items by UUID, in the order asked for."""

    item_uuids: list[UUID] = Field(max_length=10_000)


class StartJob(Wire):
    """An upload job: the raw dialect in `external_files`, or the typed one in `data_items`."""

    external_files: JsonValue = None
    data_items: JsonValue = None
    integration_hash: UUID | None = None
    ignore_errors: bool = False
    file_name: str | None = None


class StartDatasetJob(Wire):
    """The legacy form of `StartJob`; the folder only where the dataset has none of its own."""

    files: JsonValue = None
    data_items: JsonValue = None
    integration_id: UUID | None = None
    ignore_errors: bool = False
    folder_uuid: UUID | None = None
    file_name: str | None = None


class PollDatasetJob(BaseModel):
    """The legacy poll, in snake case."""

    process_hash: UUID
    timeout_seconds: float = Field(0, ge=0)


class LinkItems(BaseModel):
    """Put items of folders into a dataset."""

    item_uuids: list[UUID] = Field(max_length=100_000)
    duplicates_behavior: Literal["SKIP", "FAIL", "DUPLICATE"] = "SKIP"


class MoveItems(Wire):
    """Put items of a folder into another one; out of a dataset's own folder only with the last field."""

    item_uuids: list[UUID] = Field(max_length=10_000)
    new_parent_uuid: UUID
    allow_synced_dataset_move: bool = False


class DatasetFilter(Wire):
    """Filters of the dataset list; `*_like` are SQL patterns."""

    title_eq: str | None = None
    title_like: str | None = None
    description_eq: str | None = None
    description_like: str | None = None
    created_before: datetime | None = None
    created_after: datetime | None = None
    edited_before: datetime | None = None
    edited_after: datetime | None = None
    include_org_access: bool = False


class Paging(Wire):
    """What all paged lists take."""

    search: str | None = None
    order: Literal["name", "createdAt"] = "name"
    desc: bool = False
    page_token: str | None = None
    page_size: int = Field(100, ge=1, le=MAX_PAGE_SIZE)
    is_recursive: bool = False
    include_org_access: bool | None = None


class FolderFilter(Paging):
    """Filters of folder lists."""

    dataset_synced: bool | None = None


class ItemFilter(Paging):
    """Filters of item lists."""

    is_in_dataset: bool | None = None
    item_types: list[str] = Field(default_factory=list)
    include_client_metadata: bool | None = None


class DataRowFilter(BaseModel):
    """Filters of the legacy list of data rows."""

    title_eq: str | None = None
    title_like: str | None = None
    created_before: datetime | None = None
    created_after: datetime | None = None
    data_types: list[str] | None = None
    data_hashes: list[UUID] | None = None
    dataset_access_settings: dict[str, bool] = Field(default_factory=dict)


class LegacyValues(BaseModel):
    """The arguments of a legacy call."""

    uid: JsonValue = None
    payload: JsonValue = None


class LegacyRequest(BaseModel):
    """The envelope of the legacy protocol."""

    query_type: str
    query_method: str
    values: LegacyValues


# --- answers ----------------------------------------------------------------------------------


class EncordIntegration(Wire):
    """A stored credential."""

    integration_uuid: UUID
    title: str


class EncordIntegrations(Wire):
    """All that match."""

    result: list[EncordIntegration]


class DatasetCreated(Wire):
    """A new dataset."""

    dataset_uuid: UUID
    backing_folder_uuid: UUID | None


class ListedDataset(Wire):
    """A dataset in the list."""

    dataset_uuid: UUID
    title: str
    description: str
    created_at: datetime
    last_edited_at: datetime
    user_role: Literal["admin"] = "admin"
    backing_folder_uuid: UUID | None


class Datasets(Wire):
    """All that match; not paged."""

    result: list[ListedDataset]


class PathElement(Wire):
    """A folder on the way to the root."""

    uuid: UUID
    parent_uuid: UUID | None
    name: str
    synced_dataset_hash: UUID | None


class FolderAnswer(Wire):
    """A folder; its path begins with itself."""

    uuid: UUID
    parent: UUID | None
    name: str
    description: str
    client_metadata: str | None
    owner: str
    created_at: datetime
    last_edited_at: datetime
    user_role: Literal["admin"] = "admin"
    synced_dataset_hash: UUID | None
    path_to_root: list[PathElement]
    folder_type: Literal["generic"] = "generic"
    integration_hash: None = None
    remote_url: None = None


class ItemAnswer(Wire):
    """An item. URLs are never signed: the reader has its own credentials for the store.

    An item with child items has no URL of its own. Encord does not document what it answers there; its SDK
    allows null and points to the child items.
    """

    uuid: UUID
    parent: UUID
    item_type: str
    name: str
    description: str
    client_metadata: str
    owner: str
    created_at: datetime
    last_edited_at: datetime
    is_tombstone: bool = False
    is_placeholder: bool = False
    backed_data_units_count: int
    storage_location: str
    integration_hash: UUID | None
    url: str | None
    signed_url: None = None
    file_size: int | None = None
    mime_type: str | None = None
    duration: float | None = None
    fps: float | None = None
    height: int | None = None
    width: int | None = None
    dicom_instance_uid: str | None = None
    dicom_study_uid: str | None = None
    dicom_series_uid: str | None = None
    frame_count: int | None = None
    audio_sample_rate: int | None = None
    audio_bit_depth: int | None = None
    audio_codec: str | None = None
    audio_num_channels: int | None = None


class FolderPage(Wire):
    """One page of folders."""

    results: list[FolderAnswer]
    next_page_token: str | None


class ItemPage(Wire):
    """One page of items."""

    results: list[ItemAnswer]
    next_page_token: str | None = None


class ItemName(Wire):
    """An item that a job has registered."""

    item_uuid: UUID
    name: str


class DataName(Wire):
    """A data row that a job has made."""

    data_hash: str
    title: str
    backing_item_uuid: UUID


class UnitErrorAnswer(Wire):
    """A unit that was not registered, and why."""

    object_urls: list[str]
    error: str
    subtask_uuid: UUID
    action_description: str


class JobCounts(Wire):
    """Where a job stands: the counts add up to the units of its manifest at all times."""

    status: str
    errors: list[str]
    units_pending_count: int
    units_done_count: int
    units_error_count: int
    units_cancelled_count: int


class JobState(JobCounts):
    """An upload job as the v2 protocol tells it."""

    items_with_names: list[ItemName]
    unit_errors: list[UnitErrorAnswer]
    file_name: str | None


class DatasetJobState(JobCounts):
    """An upload job as the legacy protocol tells it."""

    data_hashes_with_titles: list[DataName]
    data_unit_errors: list[UnitErrorAnswer]


class JobCancelled(Wire):
    """How many units will not be processed any more."""

    units_cancelled_count: int
