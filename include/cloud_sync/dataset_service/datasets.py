"""Datasets and their data rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import select

from cloud_sync.dataset_service.access import (
    dataset_of,
    in_portions,
    items_of,
    refuse_organisation_access,
    require,
)
from cloud_sync.dataset_service.item_types import IMAGE, ITEM_TYPES
from cloud_sync.dataset_service.refusals import AlreadyExists
from cloud_sync.dataset_service.tables import DataRow, Dataset, Folder, Item, utc_now
from cloud_sync.dataset_service.wire import (
    CreateDataset,
    DataRowFilter,
    DatasetCreated,
    DatasetFilter,
    Datasets,
    LinkItems,
    ListedDataset,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from uuid import UUID

    from sqlalchemy import ColumnElement
    from sqlalchemy.orm import Session

Value = TypeVar("Value")

# The legacy protocol's numbers for where data is stored (encord.orm.dataset.StorageLocation).
LEGACY_LOCATION = {"s3": 1, "gcp": 2, "azure": 3, "s3Compatible": 4}
# Encord keeps this field of old datasets; for new ones it says nothing about where the data is.
LEGACY_DATASET_TYPE = "CORD_STORAGE"


def create_dataset(session: Session, user: str, asked: CreateDataset) -> DatasetCreated:
    """Create a dataset, with a folder of the same name behind it if that is asked for."""
    folder = None
    if asked.create_backing_folder:
        folder = Folder(
            name=asked.title, description=asked.description or "", client_metadata=None, owner=user
        )
        session.add(folder)
        session.flush()
    dataset = Dataset(
        title=asked.title,
        description=asked.description or "",
        owner=user,
        backing_folder_uuid=folder.uuid if folder else None,
    )
    session.add(dataset)
    session.flush()
    return DatasetCreated(dataset_uuid=dataset.uuid, backing_folder_uuid=dataset.backing_folder_uuid)


def list_datasets(session: Session, user: str, asked: DatasetFilter) -> Datasets:
    """List the user's datasets that match, oldest first."""
    refuse_organisation_access(asked.include_org_access)
    conditions: list[ColumnElement[bool] | None] = [
        _if(asked.title_eq, lambda text: Dataset.title == text),
        _if(asked.title_like, Dataset.title.ilike),
        _if(asked.description_eq, lambda text: Dataset.description == text),
        _if(asked.description_like, Dataset.description.ilike),
        _if(asked.created_before, lambda moment: Dataset.created_at < moment),
        _if(asked.created_after, lambda moment: Dataset.created_at >= moment),
        _if(asked.edited_before, lambda moment: Dataset.last_edited_at < moment),
        _if(asked.edited_after, lambda moment: Dataset.last_edited_at >= moment),
    ]
    query = select(Dataset).where(Dataset.owner == user, *(each for each in conditions if each is not None))
    found = session.scalars(query.order_by(Dataset.created_at, Dataset.uuid))
    return Datasets(result=[_listed(dataset) for dataset in found])


def dataset_answer(session: Session, user: str, uuid: UUID, *, settings: dict[str, bool]) -> dict[str, Any]:
    """Return the legacy form of a dataset, with its data rows unless `fetch_rows` is false.

    Raises:
        NotFound, NotAllowed: The user has no such dataset.
    """
    dataset = dataset_of(session, user, uuid)
    answer: dict[str, Any] = {
        "dataset_hash": str(dataset.uuid),
        "title": dataset.title,
        "description": dataset.description,
        "dataset_type": LEGACY_DATASET_TYPE,
        "backing_folder_uuid": str(dataset.backing_folder_uuid) if dataset.backing_folder_uuid else None,
    }
    if settings.get("fetch_rows", True):
        answer["data_rows"] = data_rows(session, user, uuid, DataRowFilter(dataset_access_settings=settings))
    return answer


def data_rows(session: Session, user: str, uuid: UUID, asked: DataRowFilter) -> list[dict[str, Any]]:
    """Return the legacy form of the data rows that match, oldest first; the legacy list has no pages.

    Raises:
        NotFound, NotAllowed: The user has no such dataset.
    """
    dataset_of(session, user, uuid)
    if asked.data_types is not None:
        types = [each.name for each in ITEM_TYPES.values() if each.data_type in asked.data_types]
    else:
        types = None
    conditions: list[ColumnElement[bool] | None] = [
        _if(asked.title_eq, lambda text: DataRow.title == text),
        _if(asked.title_like, DataRow.title.ilike),
        _if(asked.created_before, lambda moment: DataRow.created_at < moment),
        _if(asked.created_after, lambda moment: DataRow.created_at >= moment),
        _if(types, Item.item_type.in_),
        _if(asked.data_hashes, DataRow.uuid.in_),
    ]
    query = select(DataRow, Item).join(Item, Item.uuid == DataRow.item_uuid)
    query = query.where(DataRow.dataset_uuid == uuid, *(each for each in conditions if each is not None))
    metadata = asked.dataset_access_settings.get("fetch_client_metadata", False)
    found = session.execute(query.order_by(DataRow.id))
    return [row_answer(row, item, with_metadata=metadata) for row, item in found]


def link_items(session: Session, user: str, uuid: UUID, asked: LinkItems) -> list[dict[str, Any]]:
    """Put items into a dataset and return the new data rows.

    Raises:
        NotFound, NotAllowed: The dataset or an item is not the user's.
        InvalidRequest: An item is a child item.
        AlreadyExists: With `FAIL`, an item is in the dataset already or named twice.
    """
    dataset = dataset_of(session, user, uuid)
    # Two links of one item at the same time must see each other.
    session.refresh(dataset, with_for_update=True)
    items = items_of(session, user, asked.item_uuids)
    # Encord does not document this. One file of a series is no annotation task by itself.
    parts = [item for item in items if item.parent_item_uuid is not None]
    require(not parts, "Files of a group or series are not linked: link the item that holds them.")
    if asked.duplicates_behavior == "DUPLICATE":
        new = items
    else:
        linked = linked_items(session, uuid, asked.item_uuids)
        new = list({item.uuid: item for item in items if item.uuid not in linked}.values())
    if asked.duplicates_behavior == "FAIL" and len(new) < len(items):
        raise AlreadyExists("holds some of these items already.", where=f"Dataset {uuid}")
    rows = add_rows(session, dataset, new)
    return [row_answer(row, item) for row, item in zip(rows, new, strict=True)]


def add_rows(session: Session, dataset: Dataset, items: Iterable[Item]) -> list[DataRow]:
    """Add data rows to a dataset, in order."""
    rows = [DataRow(dataset_uuid=dataset.uuid, item_uuid=item.uuid, title=item.name) for item in items]
    if rows:
        session.add_all(rows)
        dataset.last_edited_at = utc_now()
        session.flush()
    return rows


def linked_items(session: Session, dataset_uuid: UUID, item_uuids: Sequence[UUID]) -> set[UUID]:
    """Return which of these items are in the dataset."""
    linked: set[UUID] = set()
    for some in in_portions(item_uuids):
        query = select(DataRow.item_uuid).where(DataRow.dataset_uuid == dataset_uuid)
        linked.update(session.scalars(query.where(DataRow.item_uuid.in_(some))))
    return linked


def row_answer(row: DataRow, item: Item, *, with_metadata: bool = False) -> dict[str, Any]:
    """Return the legacy form of a data row; its `file_link` is the object URL, if it has one."""
    item_type = ITEM_TYPES[item.item_type]
    return {
        "data_hash": str(row.uuid),
        "data_title": row.title,
        "data_type": item_type.data_type,
        "created_at": row.created_at.isoformat(),
        "last_edited_at": item.last_edited_at.isoformat(),
        "width": item.media.get("width"),
        "height": item.media.get("height"),
        "file_link": item.url,
        "file_size": item.media.get("file_size"),
        "file_type": item.media.get("mime_type"),
        "storage_location": LEGACY_LOCATION[item.storage_location],
        "frames_per_second": item.media.get("fps"),
        "duration": item.media.get("duration"),
        "client_metadata": item.client_metadata if with_metadata else None,
        "signed_url": None,
        "is_optimised_image_group": item_type.makes_video if item_type.child_type == IMAGE.name else None,
        "backing_item_uuid": str(item.uuid),
        "images_data": None,
    }


def _listed(dataset: Dataset) -> ListedDataset:
    return ListedDataset(
        dataset_uuid=dataset.uuid,
        title=dataset.title,
        description=dataset.description,
        created_at=dataset.created_at,
        last_edited_at=dataset.last_edited_at,
        backing_folder_uuid=dataset.backing_folder_uuid,
    )


def _if(value: Value | None, condition: Callable[[Value], ColumnElement[bool]]) -> ColumnElement[bool] | None:
    return None if value is None else condition(value)
