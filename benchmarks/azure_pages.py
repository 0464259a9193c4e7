"""Pages as Azure Blob Storage gives them: List Blobs, of up to 5,000 blobs each.

The blobs are as a general-purpose account without a hierarchical namespace shows them, and have no metadata.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Final
from xml.sax.saxutils import escape

from benchmarks.listing_pages import Block, Keys, day_of, etag_of, minute_of, size_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.responder import Parts

MOST_BLOBS: Final = 5000
WEEKDAYS: Final = ("Sat", "Sun", "Mon", "Tue", "Wed", "Thu", "Fri")
"""Of the days of November 2025, the first one's first."""
HEAD: Final = (
    '\ufeff<?xml version="1.0" encoding="utf-8"?>'
    '<EnumerationResults ServiceEndpoint="https://bench.blob.core.windows.net/" ContainerName="bench">'
    "{prefix}{marker}<MaxResults>{limit}</MaxResults>{delimiter}<Blobs>"
)
END: Final = "</Blobs>{following}</EnumerationResults>"
ENTRY: Final = (
    "<Blob><Name>{key}</Name><Properties><Creation-Time>{time}</Creation-Time>"
    "<Last-Modified>{time}</Last-Modified><Etag>0x{etag:015X}</Etag><Content-Length>{size}</Content-Length>"
    "<Content-Type>image/jpeg</Content-Type><Content-Encoding /><Content-Language /><Content-CRC64 />"
    "<Content-MD5>{md5}</Content-MD5><Cache-Control /><Content-Disposition /><BlobType>BlockBlob</BlobType>"
    "<AccessTier>Hot</AccessTier><AccessTierInferred>true</AccessTierInferred>"
    "<LeaseStatus>unlocked</LeaseStatus><LeaseState>available</LeaseState>"
    "<ServerEncrypted>true</ServerEncrypted></Properties><OrMetadata /></Blob>"
)
ETAG_BITS: Final = 60


def pages_of(keys: Sequence[str], *, checksums: bool = False) -> AzurePages:
    """Return the pages of a container; its blobs have an MD5 anyway."""
    del checksums
    return AzurePages(keys)


class AzurePages:
    """Cuts pages from one block of XML that holds every entry.

    Args:
        keys: Every key of the container, in listing order.
    """

    kind = "application/xml"

    def __init__(self, keys: Sequence[str]) -> None:
        self._keys = Keys(keys)
        self._entries = Block(_entry(number, key) for number, key in enumerate(keys))

    def page(self, query: Mapping[str, str]) -> Parts:
        """Return the answer to one request."""
        prefix, limit = query.get("prefix", ""), min(int(query.get("maxresults", MOST_BLOBS)), MOST_BLOBS)
        start = int(query.get("marker", "0"))
        if query.get("delimiter"):
            page = self._keys.folded(prefix, start, limit)
            following = page.following
            body = [self._entries.cut(number, number + 1) for number in page.numbers]
            body += [_folder(folder) for folder in page.folders]
        else:
            start, last, following = self._keys.cut(prefix, start, limit)
            body = [self._entries.cut(start, last)]
        head = HEAD.format(
            prefix=_said("Prefix", prefix),
            marker=_said("Marker", query.get("marker", "")),
            limit=limit,
            delimiter=_said("Delimiter", query.get("delimiter", "")),
        )
        more = "<NextMarker />" if following is None else f"<NextMarker>{following}</NextMarker>"
        return head.encode(), *body, END.format(following=more).encode()


def _entry(number: int, key: str) -> str:
    etag = etag_of(number)
    day = day_of(number)
    return ENTRY.format(
        key=escape(key),
        time=f"{WEEKDAYS[(day - 1) % 7]}, {day:02d} Nov 2025 08:{minute_of(number):02d}:00 GMT",
        etag=etag % (1 << ETAG_BITS),
        size=size_of(number),
        md5=base64.b64encode(etag.to_bytes(16, "big")).decode(),
    )


def _folder(name: str) -> memoryview:
    return memoryview(f"<BlobPrefix><Name>{escape(name)}</Name></BlobPrefix>".encode())


def _said(name: str, value: str) -> str:
    return f"<{name}>{escape(value)}</{name}>" if value else ""
