"""A lock that is an object in a bucket: who holds it says so again and again, and loses it by not doing so.

Whether the holder is alive is judged by whether the object changes, and how long it has not by the store's
own clock; nobody's idea of the time counts. What a lock protects has to be safe without it, as a process may
be held up for longer than its lease: the ledger's pointer is moved only if nobody else has moved it.
"""

from __future__ import annotations

import json
import logging
import os
import random
import socket
import threading
import time
import uuid
from contextlib import suppress
from typing import Any

from cloud_sync.errors import StorageError
from cloud_sync.run_folder.bucket import Bucket
from cloud_sync.run_folder.files import Tag, held

log = logging.getLogger(__name__)

LASTS_S = 60.0
RENEWALS = 4  # in the time that it lasts
LONGEST_S = 600.0  # of a holder with other settings
SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 1.0


class Lease:
    """Entered when nobody else holds the lock, which is free again at the end.

    Args:
        bucket: Where.
        key: The object, made if need be.
        wait_s: How long to wait for another one at most.
        lasts_s: How long it lasts after the holder was heard of last; `LASTS_S` if None.
    """

    def __init__(self, bucket: Bucket, key: str, *, wait_s: float, lasts_s: float | None = None) -> None:
        self._bucket = bucket
        self._key = key
        self._wait_s = wait_s
        self._lasts_s = LASTS_S if lasts_s is None else lasts_s
        self._owner = uuid.uuid4().hex
        self._renewed = 0
        self._tag = self._seen = Tag()
        self._dead_at = 0.0
        self._ended = threading.Event()
        self._renewing = threading.Thread(target=self._renew, name=f"lease {key}", daemon=True)

    def __enter__(self) -> None:
        """Wait for the lock, and hold it."""
        deadline, pause_s = time.monotonic() + self._wait_s, SHORTEST_PAUSE_S
        while not self._is_taken():
            if time.monotonic() > deadline:
                raise held(self._bucket.address(self._key))
            time.sleep(random.uniform(pause_s / 2, pause_s))  # noqa: S311 (no secret)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        self._renewing.start()

    def __exit__(self, *_: object) -> None:
        """Let go of the lock; if the store does not answer, it ends by itself."""
        self._ended.set()
        self._renewing.join()
        try:
            if self._bucket.swap(self._key, self._content(""), self._tag) is None:
                log.warning("%s was taken over by another task", self._bucket.address(self._key))
        except StorageError as error:
            log.warning("The lock is not given back, and ends by itself: %s", error)

    def _is_taken(self) -> bool:
        """Take the lock if nobody holds it, or if its holder was not heard of for too long."""
        mine = self._content(self._owner)
        found = self._bucket.get(self._key)
        if found is None:
            return self._holds(self._bucket.create(self._key, mine))
        data, stored = found
        if not _owner_of(data):
            return self._holds(self._bucket.swap(self._key, mine, stored.tag))
        if stored.tag != self._seen:
            self._seen = stored.tag
            self._dead_at = time.monotonic() + _lasts_s(data) - self._bucket.age_s(stored)
        if time.monotonic() < self._dead_at:
            return False
        if not self._holds(self._bucket.swap(self._key, mine, stored.tag)):
            return False
        log.warning(
            "%s was held by %s, which has not been heard of for %.0f s: taken over",
            self._bucket.address(self._key),
            _parsed(data).get("holder", "somebody"),
            _lasts_s(data),
        )
        return True

    def _holds(self, tag: Tag | None) -> bool:
        if tag is not None:
            self._tag = tag
        return tag is not None

    def _renew(self) -> None:
        while not self._ended.wait(self._lasts_s / RENEWALS):
            self._renewed += 1
            with suppress(StorageError):  # the next time, if it still lasts then
                if not self._holds(self._bucket.swap(self._key, self._content(self._owner), self._tag)):
                    return

    def _content(self, owner: str) -> bytes:
        """Return the object's content, never the same twice: by that it is known to have changed."""
        value = {
            "owner": owner,
            "holder": f"{socket.gethostname()}, process {os.getpid()}" if owner else "",
            "lasts_s": self._lasts_s,
            "change": f"{self._owner}, {self._renewed}{'' if owner else ', let go'}",
        }
        return json.dumps(value, indent=2).encode()


def _parsed(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _owner_of(data: bytes) -> Any:
    return _parsed(data).get("owner", "somebody")


def _lasts_s(data: bytes) -> float:
    lasts_s = _parsed(data).get("lasts_s")
    return min(max(lasts_s, 0.0), LONGEST_S) if isinstance(lasts_s, int | float) else LASTS_S
