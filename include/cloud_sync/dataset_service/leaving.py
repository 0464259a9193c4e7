"""How items leave datasets: their data rows are deleted, or they move out of a dataset's own folder."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import delete, or_, select, update

from cloud_sync.dataset_service.access import dataset_of, folder_of, in_portions, items_of, require
from cloud_sync.dataset_service.datasets import add_rows, linked_items
from cloud_sync.dataset_service.refusals import InvalidRequest, NotFound
from cloud_sync.dataset_service.tables import DataRow, Dataset, Item, utc_now

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.orm import Session

    from cloud_sync.dataset_service.wire import MoveItems


def data_hashes(uid: object) -> list[UUID]:
    """Return the data rows that a legacy call names.

    Raises:
        InvalidRequest: It names none, or something else.
    """
    named = uid if isinstance(uid, list) else [uid]
    try:
        return [UUID(str(one)) for one in named]
    except (TypeError, ValueError, AttributeError) as error:
        raise InvalidRequest("The call names no data hashes.") from error


def delete_data_rows(session: Session, user: str, uuid: UUID, *, hashes: Sequence[UUID]) -> bool:
    """Take data rows out of a dataset; their items stay in their folders.

    Raises:
        NotFound, NotAllowed: The user has no such dataset, or it has no such data row.
        InvalidRequest: The dataset mirrors a folder. What Encord does then is not documented.
    """
    dataset = dataset_of(session, user, uuid)
    require(dataset.backing_folder_uuid is None, "This dataset mirrors its folder: move items out of that.")
    rows: list[DataRow] = []
    for some in in_portions(hashes):
        query = select(DataRow).where(DataRow.dataset_uuid == uuid, DataRow.uuid.in_(some))
        rows += session.scalars(query)
    if len(rows) < len(set(hashes)):
        raise NotFound("does not have all of these data rows.", where=f"Dataset {uuid}")
    for row in rows:
        session.delete(row)
    dataset.last_edited_at = utc_now()
    return True


def move_items(session: Session, user: str, folder_uuid: UUID, asked: MoveItems) -> None:
    """Move items to another folder, and with them out of the datasets and into those of both folders.

    Raises:
        NotAllowed: A folder or an item is not the user's.
        NotFound: An item is in another folder.
        InvalidRequest: Items would leave a dataset, and that was not allowed.
    """
    folder_of(session, user, folder_uuid)
    folder_of(session, user, asked.new_parent_uuid)
    items = items_of(session, user, asked.item_uuids)
    for item in items:
        if item.folder_uuid != folder_uuid or item.parent_item_uuid is not None:
            raise NotFound("is not in this folder.", where=f"Item {item.uuid}")
    for dataset in _mirrors(session, folder_uuid):
        linked = linked_items(session, dataset.uuid, asked.item_uuids)
        require(asked.allow_synced_dataset_move or not linked, "These items would leave a mirror dataset.")
        for some in in_portions(list(linked)):
            of_dataset = DataRow.dataset_uuid == dataset.uuid
            session.execute(delete(DataRow).where(of_dataset, DataRow.item_uuid.in_(some)))
        dataset.last_edited_at = utc_now()
    for some in in_portions(asked.item_uuids):
        moved = or_(Item.uuid.in_(some), Item.parent_item_uuid.in_(some))
        session.execute(update(Item).where(moved).values(folder_uuid=asked.new_parent_uuid))
    for dataset in _mirrors(session, asked.new_parent_uuid):
        linked = linked_items(session, dataset.uuid, asked.item_uuids)
        add_rows(session, dataset, [item for item in items if item.uuid not in linked])


def _mirrors(session: Session, folder_uuid: UUID) -> Sequence[Dataset]:
    query = select(Dataset).where(Dataset.backing_folder_uuid == folder_uuid).with_for_update()
    return session.scalars(query).all()
