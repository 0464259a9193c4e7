"""Pages as S3 writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote_plus
from xml.sax.saxutils import escape

from cloud_sync.objects.s3_pages import PAGE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cloud_sync.objects.model import StoredObject

SAFE = "/"


def page_xml(
    objects: Iterable[StoredObject],
    *,
    prefixes: Sequence[str] = (),
    token: str | None = None,
    continues: str | None = None,
    is_encoded: bool = True,
    quote: str = "&quot;",
    gap: str = "",
) -> bytes:
    """Return one page.

    Args:
        objects: What stands on it; one without an etag has no such element.
        prefixes: Common prefixes.
        token: What continues the listing.
        continues: The token that the page was asked for with; the store says it again.
        is_encoded: Keys are percent-encoded, as botocore asks for, else escaped as XML.
        quote: How the quotes around etags are written.
        gap: White space between elements.
    """

    def shown(key: str) -> str:
        return quote_plus(key, safe=SAFE) if is_encoded else escape(key, {"\r": "&#13;", "\n": "&#xA;"})

    entries = [
        gap.join(
            (
                "<Contents>",
                f"<Key>{shown(each.key)}</Key>",
                f"<LastModified>{each.last_modified:%Y-%m-%dT%H:%M:%S}.000Z</LastModified>",
                f"<ETag>{quote}{escape(each.etag)}{quote}</ETag>" if each.etag else "",
                "<Owner><ID>Size</ID></Owner>",
                f"<Size>{each.size_bytes}</Size>",
                "</Contents>",
            )
        )
        for each in objects
    ]
    entries += [f"<CommonPrefixes><Prefix>{shown(folder)}</Prefix></CommonPrefixes>" for folder in prefixes]
    parts = (
        '<?xml version="1.0" encoding="UTF-8"?>',
        '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">',
        "<Name>media</Name><Prefix></Prefix>",
        "<EncodingType>url</EncodingType>" if is_encoded else "",
        f"<IsTruncated>{'true' if token else 'false'}</IsTruncated>",
        f"<NextContinuationToken>{escape(token)}</NextContinuationToken>" if token else "",
        f"<ContinuationToken>{escape(continues)}</ContinuationToken>" if continues else "",
        *entries,
        "</ListBucketResult>",
    )
    return gap.join(parts).encode()


def answer(body: bytes) -> dict[str, bytes]:
    """Return what a client that keeps pages hands out."""
    return {PAGE: body}
