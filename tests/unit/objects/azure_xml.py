"""Pages as Azure writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from cloud_sync.objects.model import StoredObject


def name_xml(key: str) -> str:
    """Return the element of a name: percent-encoded where XML cannot hold it."""
    if any(character < " " or character in "\x7f\ufffe\uffff" for character in key):
        return f'<Name Encoded="true">{escape(quote(key, safe="/"))}</Name>'
    return f"<Name>{escape(key)}</Name>"


def blob_xml(
    each: StoredObject,
    *,
    kind: str = "",
    metadata: Mapping[str, str] | str = "",
    md5: str = "",
    gap: str = "",
) -> str:
    """Return one blob.

    Args:
        each: The blob; one without an etag has no such element.
        kind: `file` or `directory`, which accounts with a hierarchical namespace say.
        metadata: Of the blob; a string stands for the element itself.
        md5: Of the content; an empty element if it has none.
        gap: White space between elements.
    """
    named = metadata if isinstance(metadata, str) else _metadata_xml(metadata)
    return gap.join(
        (
            "<Blob>",
            name_xml(each.key),
            "<Properties>",
            "<Creation-Time>Thu, 01 Jan 1970 00:00:00 GMT</Creation-Time>",
            f"<Last-Modified>{each.last_modified:%a, %d %b %Y %H:%M:%S} GMT</Last-Modified>",
            f"<Etag>{escape(each.etag)}</Etag>" if each.etag else "",
            f"<ResourceType>{kind}</ResourceType>" if kind else "",
            f"<Content-Length>{each.size_bytes}</Content-Length>",
            "<Content-Type>image/jpeg</Content-Type>",
            f"<Content-MD5>{md5}</Content-MD5>" if md5 else "<Content-MD5 />",
            "<BlobType>BlockBlob</BlobType>",
            "</Properties>",
            named,
            "<OrMetadata />",
            "</Blob>",
        )
    )


def _metadata_xml(metadata: Mapping[str, str]) -> str:
    named = "".join(f"<{name}>{escape(text)}</{name}>" for name, text in metadata.items())
    return f"<Metadata>{named}</Metadata>"


def folder_xml(prefix: str, *, has_properties: bool = False) -> str:
    """Return one common prefix, with properties as accounts with a hierarchical namespace have them."""
    properties = (
        "<Properties><Last-Modified>Thu, 01 Jan 1970 00:00:00 GMT</Last-Modified><Etag>folder</Etag>"
        "<ResourceType>directory</ResourceType><Content-Length>0</Content-Length></Properties>"
    )
    return f"<BlobPrefix>{name_xml(prefix)}{properties if has_properties else ''}</BlobPrefix>"


def page_xml(entries: Iterable[str], *, marker: str = "", gap: str = "", asked: Sequence[str] = ()) -> bytes:
    """Return one page.

    Args:
        entries: Blobs and common prefixes.
        marker: What continues the listing.
        gap: White space between elements.
        asked: Elements that say again what was asked for.
    """
    parts = (
        '\ufeff<?xml version="1.0" encoding="utf-8"?>',
        '<EnumerationResults ServiceEndpoint="https://account.blob.core.windows.net/" ContainerName="media">',
        *asked,
        "<MaxResults>5000</MaxResults>",
        "<Blobs>",
        *entries,
        "</Blobs>",
        f"<NextMarker>{escape(marker)}</NextMarker>" if marker else "<NextMarker />",
        "</EnumerationResults>",
    )
    return gap.join(parts).encode()
