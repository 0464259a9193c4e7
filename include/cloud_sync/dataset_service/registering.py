"""Turn checked units into items: once each, all together or not at all.

Everything here happens inside one writing transaction of the caller, so that a process which is killed
has either registered a unit and marked it so, or neither.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING
from uuid import uuid4

from sqlalchemy import insert, or_, select, update

from cloud_sync.dataset_service.datasets import add_rows, linked_items
from cloud_sync.dataset_service.item_types import ITEM_TYPES
from cloud_sync.dataset_service.tables import (
    Dataset,
    Folder,
    Item,
    Job,
    JobStatus,
    Unit,
    UnitStatus,
    utc_now,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from uuid import UUID

    from sqlalchemy.orm import Session

DIGESTS_AT_ONCE = 500

Identity = tuple[str, str]
"""What makes an item a duplicate: its type, and the digest of its exact URLs in their order."""


def identity_of(unit: Unit) -> Identity:
    """Return by what a unit is compared with the items of its folder."""
    return unit.item_type, digest_of(unit.urls)


def digest_of(urls: Sequence[str]) -> str:
    """Return by what lists of URLs are looked up; as JSON, because no separator is safe."""
    return hashlib.sha256(json.dumps(urls).encode()).hexdigest()


def registered_already(session: Session, job: Job, units: Sequence[Unit]) -> dict[Identity, UUID]:
    """Return which of these units the job's folder holds already; none if the job wants duplicates."""
    known: dict[Identity, UUID] = {}
    if not job.skip_duplicate_urls:
        return known
    digests = [digest_of(unit.urls) for unit in units]
    for start in range(0, len(digests), DIGESTS_AT_ONCE):
        query = select(Item.item_type, Item.urls_digest, Item.uuid).where(Item.folder_uuid == job.folder_uuid)
        query = query.where(Item.parent_item_uuid.is_(None))  # a file of a group is nobody's duplicate
        query = query.where(Item.urls_digest.in_(digests[start : start + DIGESTS_AT_ONCE]))
        for item_type, digest, uuid in session.execute(query):
            known.setdefault((item_type, digest), uuid)
    return known


def register(session: Session, job: Job, units: Sequence[Unit], storage_location: str) -> None:
    """Make items of checked units, skip duplicates, and put both into the job's datasets."""
    # Jobs of one folder take turns here: each must see what the other has registered.
    session.scalar(select(Folder.uuid).where(Folder.uuid == job.folder_uuid).with_for_update())
    known = registered_already(session, job, units)
    new: list[tuple[Item, Unit]] = []
    placed: list[tuple[UnitStatus, UUID]] = []
    for unit in units:
        twin = known.get(identity_of(unit))
        if twin is not None:
            placed.append((UnitStatus.SKIPPED, twin))
            continue
        item = _item_of(job, unit, storage_location)
        new.append((item, unit))
        placed.append((UnitStatus.REGISTERED, item.uuid))
        if job.skip_duplicate_urls:
            known[identity_of(unit)] = item.uuid
    session.add_all(item for item, _ in new)
    session.flush()  # units and child items refer to items, so those must be there first
    for item, unit in new:
        _add_child_items(session, item, unit)
    for unit, (status, item_uuid) in zip(units, placed, strict=True):
        unit.status, unit.item_uuid = status, item_uuid
        if status is UnitStatus.SKIPPED and job.upsert_metadata:
            _update_metadata(session, item_uuid, unit)
    _link(session, job, [item_uuid for _, item_uuid in placed])


def finish(session: Session, job: Job, status: JobStatus) -> None:
    """End a job; what was not registered by now never will be."""
    open_units = Unit.status.in_((UnitStatus.PENDING, UnitStatus.CHECKED))
    session.flush()
    session.execute(update(Unit).where(Unit.job_id == job.id, open_units).values(status=UnitStatus.CANCELLED))
    job.status = status
    job.finished_at = utc_now()


def _item_of(job: Job, unit: Unit, storage_location: str) -> Item:
    is_single = ITEM_TYPES[unit.item_type].child_type is None
    return Item(
        uuid=uuid4(),
        folder_uuid=job.folder_uuid,
        item_type=unit.item_type,
        url=unit.urls[0] if is_single else None,
        urls_digest=digest_of(unit.urls),
        name=unit.title,
        client_metadata=unit.client_metadata,
        media=unit.media or {},
        encord_integration_uuid=job.encord_integration_uuid,
        storage_location=storage_location,
        owner=job.owner,
    )


def _add_child_items(session: Session, item: Item, unit: Unit) -> None:
    child_type = ITEM_TYPES[unit.item_type].child_type
    if child_type is None:
        return
    shared = {
        "folder_uuid": item.folder_uuid,
        "parent_item_uuid": item.uuid,
        "item_type": child_type,
        "client_metadata": {},
        "encord_integration_uuid": item.encord_integration_uuid,
        "storage_location": item.storage_location,
        "owner": item.owner,
    }
    files = zip(unit.files, unit.file_media or [], strict=True)
    rows = [
        shared
        | {"position": position, "url": file["url"], "name": file["title"], "media": media}
        | {"urls_digest": digest_of([file["url"]])}
        for position, (file, media) in enumerate(files)
    ]
    session.execute(insert(Item), rows)


def _update_metadata(session: Session, item_uuid: UUID, unit: Unit) -> None:
    if unit.client_metadata:
        item = session.get_one(Item, item_uuid)
        item.client_metadata = {**item.client_metadata, **unit.client_metadata}
        item.last_edited_at = utc_now()


def _link(session: Session, job: Job, item_uuids: Iterable[UUID]) -> None:
    wanted = list(dict.fromkeys(item_uuids))
    mirrors = or_(Dataset.backing_folder_uuid == job.folder_uuid, Dataset.uuid == job.dataset_uuid)
    for dataset in session.scalars(select(Dataset).where(mirrors).with_for_update()).all():
        linked = linked_items(session, dataset.uuid, wanted)
        missing = [uuid for uuid in wanted if uuid not in linked]
        add_rows(session, dataset, [session.get_one(Item, uuid) for uuid in missing])
