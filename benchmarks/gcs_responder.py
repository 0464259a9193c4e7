"""Pages as Google Cloud Storage gives them, by its JSON API and, for obstore, by its XML API.

Who asks for some fields only gets those of `cloud_sync.objects.gcs_pages`; who does not gets all that an
object has. Nothing is compressed: Google compresses for clients that accept it, a page of ours to a fifth,
which costs the client a quarter of a CPU second a million keys.
"""

from __future__ import annotations

import base64
import json
from array import array
from bisect import bisect_left, bisect_right
from functools import lru_cache
from typing import TYPE_CHECKING

from benchmarks.listing_responder import LAST_CHARACTER, Pages

if TYPE_CHECKING:
    from collections.abc import Mapping

HEAD = b'{"kind":"storage#objects"'


class GcsPages:
    """Cuts pages from one block of JSON that holds every entry.

    Args:
        keys: Every key of the bucket, in listing order.
    """

    def __init__(self, keys: list[str]) -> None:
        self.keys = keys
        entries = bytearray()
        self.offsets = array("Q", [0])
        for number in range(len(keys)):
            entries += json.dumps(self._said(number), separators=(",", ":")).encode() + b","
            self.offsets.append(len(entries))
        self.entries = bytes(entries)
        self.cached = lru_cache(maxsize=4096)(self._folded)
        self.as_xml = Pages(keys)

    def page(self, query: Mapping[str, str]) -> bytes:
        """Return the answer to one request for a page, of either API."""
        if "list-type" in query:
            return self.as_xml.page(query)
        prefix, limit = query.get("prefix", ""), min(int(query.get("maxResults", "1000")), 1000)
        start = max(
            int(query.get("pageToken", "0")),
            bisect_left(self.keys, prefix),
            bisect_left(self.keys, query.get("startOffset", "")),
        )
        if query.get("delimiter"):
            return self.cached(prefix, start, limit)
        stop = bisect_right(self.keys, prefix + LAST_CHARACTER, lo=start)
        last = min(start + limit, stop)
        if "fields" in query:
            items = self.entries[self.offsets[start] : self.offsets[last]].removesuffix(b",")
        else:
            items = ",".join(self._full(number) for number in range(start, last)).encode()
        return b"".join((HEAD, _token(last if last < stop else None), b',"items":[', items, b"]}"))

    def _folded(self, prefix: str, start: int, limit: int) -> bytes:
        stop = bisect_right(self.keys, prefix + LAST_CHARACTER, lo=start)
        items, prefixes, position = [], [], start
        while position < stop and len(items) + len(prefixes) < limit:
            name, slash, _ = self.keys[position][len(prefix) :].partition("/")
            if slash:
                prefixes.append(f"{prefix}{name}/")
                position = bisect_right(self.keys, prefixes[-1] + LAST_CHARACTER, lo=position)
            else:
                items.append(self._said(position))
                position += 1
        content = json.dumps({"items": items, "prefixes": prefixes}).encode()
        return HEAD + _token(position if position < stop else None) + b"," + content[1:]

    def _said(self, number: int) -> dict[str, str]:
        digest = (number * 0x9E3779B97F4A7C15F39CC0605CEDC835 % (1 << 128)).to_bytes(16, "big")
        return {
            "name": self.keys[number],
            "size": str(number % 5_000_000 + 1),
            "timeCreated": f"2026-11-{number % 28 + 1:02d}T08:{number % 60:02d}:00.000Z",
            "md5Hash": base64.b64encode(digest).decode(),
            "crc32c": base64.b64encode(digest[:4]).decode(),
            "generation": str(1_700_000_000_000_000 + number),
        }

    def _full(self, number: int) -> str:
        said = self._said(number)
        name, created, generation = said["name"], said["timeCreated"], said["generation"]
        url = f"https://www.googleapis.com/storage/v1/b/bench/o/{name.replace('/', '%2F')}"
        more = {
            "kind": "storage#object",
            "id": f"bench/{name}/{generation}",
            "selfLink": url,
            "mediaLink": f"{url}?generation={generation}&alt=media",
            "bucket": "bench",
            "metageneration": "1",
            "contentType": "image/jpeg",
            "storageClass": "STANDARD",
            "etag": "CLjJ1tqZg4oDEAE=",
            "updated": created,
            "timeStorageClassUpdated": created,
            "timeFinalized": created,
        }
        return json.dumps(said | more, separators=(",", ":"))


def _token(following: int | None) -> bytes:
    return b"" if following is None else f',"nextPageToken":"{following}"'.encode()
