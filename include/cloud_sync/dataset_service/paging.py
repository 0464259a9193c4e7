"""Pages that neither skip nor repeat while rows are added: each begins after the last row before it."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar
from uuid import UUID

from sqlalchemy import Select, tuple_

from cloud_sync.dataset_service.refusals import InvalidRequest
from cloud_sync.dataset_service.tables import Folder, Item

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from cloud_sync.dataset_service.wire import Paging

Row = TypeVar("Row", Folder, Item)


def page_of(
    session: Session, query: Select[Row], table: type[Row], paging: Paging
) -> tuple[Sequence[Row], str | None]:
    """Return one page and the token of the next, or None on the last.

    Raises:
        InvalidRequest: The token is none of ours.
    """
    by_name = paging.order == "name"
    keys = (table.name, table.uuid) if by_name else (table.created_at, table.uuid)
    if paging.page_token:
        value, uuid = _decode(paging.page_token, by_name=by_name)
        place, last = tuple_(*keys), tuple_(value, uuid)
        query = query.where(place < last if paging.desc else place > last)
    query = query.order_by(*(key.desc() if paging.desc else key.asc() for key in keys))
    # One row more than asked for tells whether there is a next page.
    rows = session.scalars(query.limit(paging.page_size + 1)).all()
    page = rows[: paging.page_size]
    if len(rows) == len(page):
        return page, None
    return page, _encode(page[-1], by_name=by_name)


def _encode(row: Folder | Item, *, by_name: bool) -> str:
    value = row.name if by_name else row.created_at.isoformat()
    return base64.urlsafe_b64encode(json.dumps([value, str(row.uuid)]).encode()).decode()


def _decode(token: str, *, by_name: bool) -> tuple[str | datetime, UUID]:
    try:
        value, uuid = json.loads(base64.urlsafe_b64decode(token))
        return value if by_name else datetime.fromisoformat(value), UUID(uuid)
    except (ValueError, TypeError, AttributeError, binascii.Error) as error:
        raise InvalidRequest("The page token is not one that this list gave.") from error
