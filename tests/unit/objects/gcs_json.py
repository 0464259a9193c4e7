"""Pages as Google Cloud Storage writes them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cloud_sync.objects.model import StoredObject

KIND = "storage#objects"


def item(each: StoredObject) -> dict[str, Any]:
    """Return what the API says of an object."""
    return {
        "name": each.key,
        "size": str(each.size_bytes),
        "timeCreated": f"{each.last_modified:%Y-%m-%dT%H:%M:%S}.000Z",
        "md5Hash": each.etag,
        "crc32c": "AAAAAA==",
        "generation": "1700000000000000",
    }


def page_json(
    objects: Iterable[StoredObject],
    *,
    prefixes: Sequence[str] = (),
    token: str | None = None,
    is_ascii: bool = False,
    indent: int | None = None,
) -> bytes:
    """Return one page; as the API does, it has no lists that are empty.

    Args:
        objects: What stands on it.
        prefixes: Common prefixes.
        token: What continues the listing.
        is_ascii: All other characters are escaped.
        indent: Written for people, by so many spaces a level.
    """
    content: dict[str, Any] = {"kind": KIND}
    content |= {"nextPageToken": token} if token else {}
    content |= {"prefixes": list(prefixes)} if prefixes else {}
    content |= {"items": items} if (items := [item(each) for each in objects]) else {}
    return json.dumps(content, ensure_ascii=is_ascii, indent=indent).encode()
