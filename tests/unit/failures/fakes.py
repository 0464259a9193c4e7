"""An object store and a storage folder in memory, as diagnosis and settling see them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from cloud_sync.failures.model import Evidence
from cloud_sync.manifest.model import SentItem
from cloud_sync.objects.errors import ObjectStoreError
from cloud_sync.objects.model import StoredObject
from tests.unit.tables import LONG_AGO

JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + b"x" * 100 + b"\xff\xd9"
MP4 = b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isomiso2" + b"x" * 100


def refusal(reason: str) -> ObjectStoreError:
    """Return an error of a store; `connection` is no reason, but holds for whatever is asked."""
    if reason == "connection":
        return ObjectStoreError(
            "the token has expired.", reason="forbidden", remedy="Renew it.", is_general=True
        )
    return ObjectStoreError("refused.", reason=reason)


def refused(reason: str, **more: int) -> Evidence:
    """Return what is known of an object of such a refusal."""
    if reason == "missing":
        return Evidence(refusal=reason)
    error = refusal(reason)
    return Evidence(refusal=reason, detail=error.message, remedy=error.remedy or "", **more)


@dataclass
class FakeStore:
    """Objects by key; a text instead of bytes is the reason of a refusal, `hidden` that of one that is gone.

    Attributes:
        most_at_once: How many requests ran at one time at most.
    """

    objects: dict[str, bytes | str]
    sizes: dict[str, int] = field(default_factory=dict)
    delay_s: float = 0
    calls: list[tuple[str, str]] = field(default_factory=list)
    most_at_once: int = 0
    _running: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def _content(self, call: str, key: str) -> bytes:
        with self._lock:
            self.calls.append((call, key))
            self._running += 1
            self.most_at_once = max(self.most_at_once, self._running)
        time.sleep(self.delay_s)
        with self._lock:
            self._running -= 1
        content = self.objects.get(key, "missing")
        if isinstance(content, str):
            raise refusal("forbidden" if content == "hidden" else content)
        return content

    def head(self, key: str) -> StoredObject:
        size = len(self._content("head", key))
        return StoredObject(key, self.sizes.get(key, size), LONG_AGO, "etag")

    def is_listed(self, key: str) -> bool:
        with self._lock:
            self.calls.append(("listed", key))
        return self.objects.get(key, "hidden") != "hidden"

    def read_range(self, key: str, start: int, length: int) -> bytes:
        return self._content("range", key)[start : start + length]

    def read_start(self, key: str, length: int) -> tuple[int, bytes]:
        content = self._content("start", key)
        return self.sizes.get(key, len(content)), content[:length]

    def read_tail(self, key: str, length: int) -> bytes:
        return self._content("tail", key)[-length:]


@dataclass
class FakeFolder:
    """What the target's storage folder holds, as items by the URLs of their files, and what was linked."""

    held: Sequence[tuple[str, ...]] = ()
    linked: list[list[str]] = field(default_factory=list)
    reads: int = 0

    def find(self, items: Iterable[SentItem]) -> tuple[list[str], list[SentItem]]:
        self.reads += 1
        uuids = {urls: f"item-{number}" for number, urls in enumerate(self.held)}
        wanted = list(items)
        present = [uuids[item.object_urls] for item in wanted if item.object_urls in uuids]
        return present, [item for item in wanted if item.object_urls not in uuids]

    def link(self, item_uuids: Sequence[str]) -> None:
        self.linked.append(list(item_uuids))
