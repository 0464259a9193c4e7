"""Folders and what is in them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from sqlalchemy import Select, exists, func, select

from cloud_sync.dataset_service.access import (
    folder_of,
    in_portions,
    items_of,
    refuse_organisation_access,
    require,
)
from cloud_sync.dataset_service.paging import page_of
from cloud_sync.dataset_service.refusals import NotFound
from cloud_sync.dataset_service.tables import DataRow, Dataset, Folder, Item
from cloud_sync.dataset_service.wire import (
    CreateFolder,
    FolderAnswer,
    FolderFilter,
    FolderPage,
    ItemAnswer,
    ItemFilter,
    ItemPage,
    PathElement,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from sqlalchemy import ColumnElement
    from sqlalchemy.orm import InstrumentedAttribute, Session


def create_folder(session: Session, user: str, asked: CreateFolder) -> FolderAnswer:
    """Create a folder.

    Raises:
        InvalidRequest: Its client metadata is not a JSON object, or it is to be cloud-synced.
        NotAllowed: The parent is not the user's.
    """
    require(asked.cloud_synced_folder_params is None, "Cloud-synced folders are not supported here.")
    require(_is_json_object(asked.client_metadata), "The client metadata is not a JSON object.")
    if asked.parent is not None:
        folder_of(session, user, asked.parent)
    folder = Folder(
        parent_uuid=asked.parent,
        name=asked.name,
        description=asked.description or "",
        client_metadata=asked.client_metadata,
        owner=user,
    )
    session.add(folder)
    session.flush()
    return folder_answer(session, folder)


def get_folder(session: Session, user: str, uuid: UUID) -> FolderAnswer:
    """Return a folder.

    Raises:
        NotAllowed: It is not the user's.
    """
    return folder_answer(session, folder_of(session, user, uuid))


def list_folders(
    session: Session, user: str, asked: FolderFilter, *, parent: UUID | None = None, everywhere: bool = False
) -> FolderPage:
    """List the folders below `parent` (None: the top), or all of them with `everywhere`.

    Raises:
        NotAllowed: The parent is not the user's.
    """
    refuse_organisation_access(asked.include_org_access)
    query = select(Folder).where(Folder.owner == user)
    if parent is not None:
        folder_of(session, user, parent)
    if parent is not None and asked.is_recursive:
        query = query.where(Folder.uuid.in_(_tree(parent)), Folder.uuid != parent)
    elif not everywhere:
        query = query.where(Folder.parent_uuid == parent)
    if asked.search:
        query = query.where(contains(Folder.name, asked.search))
    if asked.dataset_synced is not None:
        synced = exists().where(Dataset.backing_folder_uuid == Folder.uuid)
        query = query.where(synced if asked.dataset_synced else ~synced)
    folders, token = page_of(session, query, Folder, asked)
    return FolderPage(results=[folder_answer(session, each) for each in folders], next_page_token=token)


def list_items(session: Session, user: str, folder_uuid: UUID, asked: ItemFilter) -> ItemPage:
    """List the items of a folder, with those of its subfolders if it is asked to be recursive.

    Raises:
        NotAllowed: The folder is not the user's.
    """
    refuse_organisation_access(asked.include_org_access)
    folder_of(session, user, folder_uuid)
    inside = (
        Item.folder_uuid.in_(_tree(folder_uuid)) if asked.is_recursive else Item.folder_uuid == folder_uuid
    )
    # Whether Encord lists child items here is not documented; it gives them by their item.
    query = select(Item).where(inside, Item.owner == user, Item.parent_item_uuid.is_(None))
    if asked.search:
        query = query.where(contains(Item.name, asked.search))
    if asked.item_types:
        query = query.where(Item.item_type.in_(asked.item_types))
    if asked.is_in_dataset is not None:
        linked = exists().where(DataRow.item_uuid == Item.uuid)
        query = query.where(linked if asked.is_in_dataset else ~linked)
    items, token = page_of(session, query, Item, asked)
    with_metadata = asked.include_client_metadata is not False
    return ItemPage(results=item_answers(session, items, with_metadata=with_metadata), next_page_token=token)


def get_items(session: Session, user: str, uuids: Sequence[UUID]) -> list[ItemAnswer]:
    """Return items in the order asked for.

    Raises:
        NotAllowed: One of them is not the user's.
    """
    return item_answers(session, items_of(session, user, uuids))


def child_items(session: Session, user: str, folder_uuid: UUID, item_uuid: UUID) -> ItemPage:
    """Return the child items of an item, in order; none for an item of one file. There is only one page.

    Raises:
        NotAllowed: The item is not the user's.
        NotFound: It is in another folder.
    """
    (item,) = items_of(session, user, [item_uuid])
    if item.folder_uuid != folder_uuid:
        raise NotFound("is not in this folder.", where=f"Item {item_uuid}")
    query = select(Item).where(Item.parent_item_uuid == item_uuid).order_by(Item.position)
    return ItemPage(results=item_answers(session, session.scalars(query).all()))


def folder_answer(session: Session, folder: Folder) -> FolderAnswer:
    """Return the wire form of a folder."""
    path = [_path_element(session, folder)]
    while path[-1].parent_uuid is not None:
        path.append(_path_element(session, session.get_one(Folder, path[-1].parent_uuid)))
    return FolderAnswer(
        uuid=folder.uuid,
        parent=folder.parent_uuid,
        name=folder.name,
        description=folder.description,
        client_metadata=folder.client_metadata,
        owner=folder.owner,
        created_at=folder.created_at,
        last_edited_at=folder.last_edited_at,
        synced_dataset_hash=path[0].synced_dataset_hash,
        path_to_root=path,
    )


def item_answers(session: Session, items: Sequence[Item], *, with_metadata: bool = True) -> list[ItemAnswer]:
    """Return the wire form of items."""
    counts: dict[UUID, int] = {}
    for uuids in in_portions([item.uuid for item in items]):
        rows = select(DataRow.item_uuid, func.count()).where(DataRow.item_uuid.in_(uuids))
        counts |= {row[0]: row[1] for row in session.execute(rows.group_by(DataRow.item_uuid))}
    return [_item_answer(item, counts.get(item.uuid, 0), with_metadata=with_metadata) for item in items]


def contains(column: InstrumentedAttribute[str], text: str) -> ColumnElement[bool]:
    """Match text anywhere in a column, whatever the case, with no pattern characters."""
    return column.icontains(text, autoescape=True)


def _item_answer(item: Item, data_rows: int, *, with_metadata: bool) -> ItemAnswer:
    return ItemAnswer(
        uuid=item.uuid,
        parent=item.folder_uuid,
        item_type=item.item_type,
        name=item.name,
        description=item.description,
        client_metadata=json.dumps(item.client_metadata if with_metadata else {}),
        owner=item.owner,
        created_at=item.created_at,
        last_edited_at=item.last_edited_at,
        backed_data_units_count=data_rows,
        storage_location=item.storage_location,
        integration_hash=item.encord_integration_uuid,
        url=item.url,
        **item.media,
    )


def _path_element(session: Session, folder: Folder) -> PathElement:
    dataset = session.scalar(select(Dataset.uuid).where(Dataset.backing_folder_uuid == folder.uuid))
    return PathElement(
        uuid=folder.uuid, parent_uuid=folder.parent_uuid, name=folder.name, synced_dataset_hash=dataset
    )


def _tree(root: UUID) -> Select[UUID]:
    """The folder and everything below it."""
    tree = select(Folder.uuid).where(Folder.uuid == root).cte(recursive=True)
    below = select(Folder.uuid).where(Folder.parent_uuid == tree.c.uuid)
    return select(tree.union_all(below).c.uuid)


def _is_json_object(text: str | None) -> bool:
    if text is None:
        return True
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False
