"""Pages as S3 gives them: ListObjectsV2, and the older form that boto3's resources still ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import quote
from xml.sax.saxutils import escape

from benchmarks.listing_pages import Block, Keys, day_of, etag_of, minute_of, size_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.responder import Parts

MOST_KEYS: Final = 1000
HEAD: Final = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n'
    b'<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
)
END: Final = b"</ListBucketResult>"
ENTRY: Final = (
    "<Contents><Key>{key}</Key><LastModified>2025-11-{day:02d}T08:{minute:02d}:00.000Z</LastModified>"
    "<ETag>&quot;{etag:032x}&quot;</ETag>{checksum}<Size>{size}</Size><StorageClass>STANDARD</StorageClass></Contents>"
)
# What AWS adds for objects that were uploaded with a checksum, as its SDKs do since 2025.
CHECKSUM: Final = "<ChecksumAlgorithm>CRC64NVME</ChecksumAlgorithm><ChecksumType>FULL_OBJECT</ChecksumType>"


def pages_of(keys: Sequence[str], *, checksums: bool = False) -> S3Pages:
    """Return the pages of a bucket; `checksums` says whether its objects have some."""
    return S3Pages(keys, CHECKSUM if checksums else "")


class S3Pages:
    """Cuts pages from one block of XML that holds every entry.

    Args:
        keys: Every key of the bucket, in listing order; none needs encoding.
        checksum: What stands in every entry besides.
    """

    kind = "application/xml"

    def __init__(self, keys: Sequence[str], checksum: str = "") -> None:
        self._keys = Keys(keys)
        self._entries = Block(
            ENTRY.format(
                key=escape(key),
                checksum=checksum,
                day=day_of(number),
                minute=minute_of(number),
                etag=etag_of(number),
                size=size_of(number),
            )
            for number, key in enumerate(keys)
        )

    def page(self, query: Mapping[str, str]) -> Parts:
        """Return the answer to one request."""
        prefix, limit = query.get("prefix", ""), min(int(query.get("max-keys", MOST_KEYS)), MOST_KEYS)
        start = int(query.get("continuation-token", self._start(query)))
        encoded = query.get("encoding-type") == "url"
        if query.get("delimiter"):
            page = self._keys.folded(prefix, start, limit)
            count, following = len(page.folders) + len(page.numbers), page.following
            # A listing has all entries first, then all common prefixes.
            body = [self._entries.cut(number, number + 1) for number in page.numbers]
            body += [_folder(folder, encoded) for folder in page.folders]
        else:
            start, last, following = self._keys.cut(prefix, start, limit)
            count, body = last - start, [self._entries.cut(start, last)]
        return HEAD, _summary(prefix, limit, count, following, encoded), *body, END

    def _start(self, query: Mapping[str, str]) -> int:
        # `marker` is what the first version of ListObjects has.
        return self._keys.first_behind(query.get("start-after") or query.get("marker", ""))


def _folder(name: str, encoded: bool) -> memoryview:
    shown = quote(name) if encoded else escape(name)
    return memoryview(f"<CommonPrefixes><Prefix>{shown}</Prefix></CommonPrefixes>".encode())


def _summary(prefix: str, limit: int, count: int, following: int | None, encoded: bool) -> bytes:
    shown = quote(prefix) if encoded else escape(prefix)
    encoding = "<EncodingType>url</EncodingType>" if encoded else ""
    more = "false" if following is None else "true"
    token = "" if following is None else f"<NextContinuationToken>{following}</NextContinuationToken>"
    return (
        f"<Name>bench</Name><Prefix>{shown}</Prefix>{encoding}<KeyCount>{count}</KeyCount>"
        f"<MaxKeys>{limit}</MaxKeys><IsTruncated>{more}</IsTruncated>{token}"
    ).encode()
