"""Read what Google Cloud Storage's JSON API says of objects: pages of a listing, and single objects.

The etag of an object is the MD5 of its content, in base64 as the API has it. Composite objects, of which
parallel uploads make one out of several, have none: theirs is the CRC32C. The API shows neither of an object
that is encrypted with a customer's own key; the generation, which every write changes, stands for it. The
API's own `etag` is no tag of the content, because a change of the metadata changes it too.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final, Literal, TypeVar

import msgspec
import pyarrow as pa

from cloud_sync.objects.model import Page, StoredObject
from cloud_sync.objects.rows import LISTING_SCHEMA, TIMESTAMP, no_rows, strings

T = TypeVar("T")

ITEM_FIELDS: Final = "name,size,timeCreated,md5Hash,crc32c,generation"
PAGE_FIELDS: Final = f"kind,nextPageToken,prefixes,items({ITEM_FIELDS})"
"""What pages are asked for: without the rest they are a fifth as long. Only `kind` tells an empty page from
an answer that is none."""


class TornAnswer(ValueError):  # noqa: N818 (says what the error is)
    """An answer that begins as it should and ends in the middle."""


class Item(msgspec.Struct, gc=False, frozen=True):
    """What the API says of one object. `timeCreated` is when its content was written, `updated` is not."""

    name: str
    size: str
    timeCreated: str  # noqa: N815 (names of the API)
    md5Hash: str = ""  # noqa: N815
    crc32c: str = ""
    generation: str = ""

    @property
    def etag(self) -> str:
        """What changes with the content."""
        return self.md5Hash or self.crc32c or self.generation


class Items(msgspec.Struct, frozen=True):
    """What the API says of a page."""

    kind: Literal["storage#objects"]
    items: list[Item] = []
    prefixes: list[str] = []
    nextPageToken: str = ""  # noqa: N815


DECODERS: Final[dict[type, msgspec.json.Decoder[Any]]] = {
    kind: msgspec.json.Decoder(kind) for kind in (Item, Items)
}


def read_page(body: bytes) -> Page:
    """Read a page of a listing.

    Raises:
        TornAnswer: Something is missing at its end.
        ValueError: It is not a page of a listing.
    """
    page = _decoded(body, Items)
    return Page(_rows(page.items), tuple(page.prefixes), page.nextPageToken or None)


def read_object(body: bytes) -> StoredObject:
    """Read what is said of one object.

    Raises:
        TornAnswer: Something is missing at its end.
        ValueError: It is not about an object.
    """
    item = _decoded(body, Item)
    try:
        created = datetime.fromisoformat(item.timeCreated).astimezone(UTC)
        return StoredObject(item.name, int(item.size), created, item.etag)
    except ValueError:
        raise ValueError("the object has no proper size or time") from None


def _rows(items: list[Item]) -> pa.RecordBatch:
    if not items:
        return no_rows()
    try:
        sizes = strings([item.size for item in items]).cast(pa.int64())
        times = strings([item.timeCreated for item in items]).cast(TIMESTAMP)
    except pa.ArrowInvalid:
        raise ValueError("an object has no proper size or time") from None
    # The property would cost as much as all else.
    etags = strings([item.md5Hash or item.crc32c or item.generation for item in items])
    keys = strings([item.name for item in items])
    return pa.RecordBatch.from_arrays([keys, sizes, times, etags], schema=LISTING_SCHEMA)


def _decoded(body: bytes, kind: type[T]) -> T:
    try:
        decoded: T = DECODERS[kind].decode(body)
    except msgspec.ValidationError as error:
        raise ValueError(f"{error}".rstrip(".")) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        kind_of_error = TornAnswer if body[:1] in {b"", b"{"} else ValueError
        raise kind_of_error(f"{error}".rstrip(".")) from None
    return decoded
