"""Pages as Google Cloud Storage gives them, by its JSON API and, for obstore, by its XML API.

Who asks for some fields only gets those of `cloud_sync.objects.gcs_pages`; who does not gets all that an
object has. Nothing is compressed: Google compresses for clients that accept it, a page of ours to a fifth,
which costs the client a quarter of a CPU second a million keys.
"""

from __future__ import annotations

import base64
import json
from functools import cached_property
from typing import TYPE_CHECKING, Final

from benchmarks.listing_pages import Block, Keys, day_of, etag_of, minute_of, size_of
from benchmarks.s3_pages import S3Pages

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.responder import Parts

MOST_KEYS: Final = 1000
HEAD: Final = b'{"kind":"storage#objects"'
FIRST_GENERATION: Final = 1_700_000_000_000_000
SHORT: Final = (
    '"name":"{key}","size":"{size}","timeCreated":"{time}","md5Hash":"{md5}","crc32c":"{crc32c}",'
    '"generation":"{generation}"'
)
FULL: Final = (
    '{{"kind":"storage#object","id":"bench/{key}/{generation}",'
    '"selfLink":"https://www.googleapis.com/storage/v1/b/bench/o/{quoted}",'
    '"mediaLink":"https://storage.googleapis.com/download/storage/v1/b/bench/o/{quoted}'
    '?generation={generation}&alt=media",{short},"bucket":"bench","metageneration":"1",'
    '"contentType":"image/jpeg","storageClass":"STANDARD","etag":"CLjJ1tqZg4oDEAE=","updated":"{time}",'
    '"timeStorageClassUpdated":"{time}","timeFinalized":"{time}"}},'
)


def pages_of(keys: Sequence[str], *, checksums: bool = False) -> GcsPages:
    """Return the pages of a bucket; its objects have checksums anyway."""
    del checksums
    return GcsPages(keys)


class GcsPages:
    """Cuts pages from blocks of JSON that hold every entry; each is made when it is first needed.

    Args:
        keys: Every key of the bucket, in listing order; none needs escaping.
    """

    kind = "application/json"

    def __init__(self, keys: Sequence[str]) -> None:
        self._all = keys
        self._keys = Keys(keys)

    def page(self, query: Mapping[str, str]) -> Parts:
        """Return the answer to one request for a page, of either API."""
        if "list-type" in query:
            return self._as_xml.page(query)
        entries = self._short if "fields" in query else self._full
        prefix, limit = query.get("prefix", ""), min(int(query.get("maxResults", MOST_KEYS)), MOST_KEYS)
        start = int(query.get("pageToken", self._keys.first_from(query.get("startOffset", ""))))
        if query.get("delimiter"):
            page = self._keys.folded(prefix, start, limit)
            items = b"".join(entries.cut(number, number + 1) for number in page.numbers)
            folders = json.dumps(page.folders).encode()
            return HEAD, _token(page.following), b',"prefixes":', folders, *_items(memoryview(items))
        start, last, following = self._keys.cut(prefix, start, limit)
        return HEAD, _token(following), *_items(entries.cut(start, last))

    @cached_property
    def _short(self) -> Block:
        return Block(f"{{{_said(number, key)}}}," for number, key in enumerate(self._all))

    @cached_property
    def _full(self) -> Block:
        return Block(
            FULL.format(
                key=key,
                short=_said(number, key),
                quoted=key.replace("/", "%2F"),
                generation=FIRST_GENERATION + number,
                time=_time_of(number),
            )
            for number, key in enumerate(self._all)
        )

    @cached_property
    def _as_xml(self) -> S3Pages:
        return S3Pages(self._all)


def _said(number: int, key: str) -> str:
    digest = etag_of(number).to_bytes(16, "big")
    return SHORT.format(
        key=key,
        size=size_of(number),
        time=_time_of(number),
        md5=base64.b64encode(digest).decode(),
        crc32c=base64.b64encode(digest[:4]).decode(),
        generation=FIRST_GENERATION + number,
    )


def _time_of(number: int) -> str:
    return f"2025-11-{day_of(number):02d}T08:{minute_of(number):02d}:00.000Z"


def _items(entries: memoryview) -> Parts:
    # Every entry ends with a comma; the last one of a page must not.
    return (b',"items":[', entries[:-1], b"]}")


def _token(following: int | None) -> bytes:
    return b"" if following is None else f',"nextPageToken":"{following}"'.encode()
