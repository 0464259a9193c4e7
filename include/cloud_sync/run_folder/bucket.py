"""A part of a bucket: whole objects, and writes that happen only if nobody was faster.

On that rest claims, locks and the ledger's pointer where there is no rename and no lock of a file system. A
write whose answer was lost is made again; whether it was the first one or this that counted is told by what
is there.
"""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

from cloud_sync.errors import CloudSyncError, ConfigError, StorageError
from cloud_sync.objects.errors import ObjectStoreError, from_obstore
from cloud_sync.run_folder.files import Tag, missing

T = TypeVar("T")

# obstore tries again what does no harm twice; these are for writes with a condition.
ATTEMPTS = 5
FIRST_PAUSE_S = 0.2
REQUESTS_IN_FLIGHT = 16
BLOCK_BYTES = 1 << 20
# What is said of an object beside its content. Azure takes names of letters only.
SHA256, OWNER = "sha256", "owner"

REMEDIES = {
    "forbidden": "Let the user or role of the connection state_connection_id list, read, write and delete "
    "in the state folder.",
    "no_bucket": "Check the setting state_folder, and the endpoint of the connection state_connection_id.",
    "unreachable": "It is tried again; check the endpoint of the connection state_connection_id.",
}
"""What to do about an error of the state folder's store, whose own remedies speak of an integration."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What the store says of an object.

    Attributes:
        key: Its key below the part of the bucket.
        tag: Which content it has.
        modified: When that was written, by the store's clock.
        size_bytes: How much it is.
        attributes: What was said of it when it was written.
    """

    key: str
    tag: Tag
    modified: datetime
    size_bytes: int
    attributes: Mapping[str, str]


class Bucket:
    """A part of a bucket. All methods may be called from many threads, and raise StorageError.

    Args:
        store: A store of obstore.
        address: What to call it: `s3://bucket/prefix`.
        prefix: The prefix in the bucket, without slashes around it.
    """

    def __init__(self, store: Any, address: str, prefix: str) -> None:
        self._store = store
        self._address = address
        self._prefix = prefix
        self._lock = Lock()
        self._checked = False
        self._ahead_s = 0.0

    def address(self, key: str = "") -> str:
        """Return what to call an object where people read it."""
        return f"{self._address}/{key}" if key else self._address

    def head(self, key: str) -> Stored | None:
        """Return what the store says of an object; None if it is not there."""
        return self._of_one(key, {"head": True}, lambda got: _stored(key, got))

    def get(self, key: str) -> tuple[bytes, Stored] | None:
        """Return an object; None if it is not there."""
        return self._of_one(key, {}, lambda got: (bytes(got.bytes()), _stored(key, got)))

    def fetch(
        self, key: str, known: Tag | None, take: Callable[[Stored, Iterator[bytes]], T]
    ) -> tuple[T | None, bool]:
        """Read an object in blocks, unless it is known already.

        Args:
            key: The object.
            known: The content that need not be read.
            take: Is given what the store says of it, and its blocks.

        Returns:
            What `take` returned, and whether the object is the one known.
        """
        from obstore.exceptions import NotModifiedError

        options = {"if_none_match": known.e_tag} if known and known.e_tag else {}
        try:
            found = self._of_one(
                key, options, lambda got: take(_stored(key, got), _blocks(got)), passing=(NotModifiedError,)
            )
        except NotModifiedError:
            return None, True
        if found is None:
            raise missing(self.address(key))
        return found, False

    def put(self, key: str, content: bytes | Path, sha256: str) -> Tag:
        """Write an object, in place of the one before."""
        with self._translated(key):
            return self._put(key, content, {SHA256: sha256})

    def create(self, key: str, data: bytes) -> Tag | None:
        """Write an object if there is none; None if there is."""
        self.check()
        owner = uuid.uuid4().hex
        return self._insisted(key, lambda: self._created(key, data, owner))

    def swap(self, key: str, data: bytes, seen: Tag) -> Tag | None:
        """Write an object if it still is the one that was seen; None if it is not."""
        self.check()
        owner = uuid.uuid4().hex
        return self._insisted(key, lambda: self._swapped(key, data, seen, owner))

    def delete(self, keys: Collection[str]) -> None:
        """Remove objects that need not be there."""
        if not keys:
            return
        import obstore

        with self._translated(min(keys)):
            try:
                obstore.delete(self._store, [self._path(key) for key in keys])
            except FileNotFoundError:  # which S3 does not mind, and others do; some may be left then
                for key in keys:
                    with suppress(FileNotFoundError):
                        obstore.delete(self._store, self._path(key))

    def keys_below(self, folder: str) -> Iterator[str]:
        """Yield the keys of all objects in a folder and below it."""
        import obstore

        with self._translated(folder):
            for batch in obstore.list(self._store, self._path(folder)):
                yield from (self._key(one["path"]) for one in batch)

    def entries(self, folder: str) -> tuple[list[str], list[str]]:
        """Return the keys of the objects in a folder, and the names of the folders in it."""
        import obstore

        with self._translated(folder):
            found = obstore.list_with_delimiter(self._store, self._path(folder))
            folders = [path.rstrip("/").rpartition("/")[2] for path in found["common_prefixes"]]
            return [self._key(one["path"]) for one in found["objects"]], folders

    def heads(self, keys: Collection[str]) -> list[Stored | None]:
        """Return what the store says of several objects, in order."""
        with ThreadPoolExecutor(REQUESTS_IN_FLIGHT, thread_name_prefix="state") as pool:
            return list(pool.map(self.head, keys))

    def age_s(self, stored: Stored) -> float:
        """Return how many seconds ago an object was written, by the store's clock."""
        self.check()
        return max(0.0, time.monotonic() + self._ahead_s - stored.modified.timestamp())

    def check(self) -> None:
        """Find out, once, whether the store takes writes with a condition, and what time it has.

        Raises:
            ConfigError: It writes whatever the condition says.
        """
        with self._lock:
            if not self._checked:
                self._check()
                self._checked = True

    def _check(self) -> None:
        key = f".check-{uuid.uuid4().hex}"
        try:
            first = self._created(key, b"1", "first")
            stored = self.head(key)
            if first is None or stored is None:
                raise self._unfit("does not keep what is written")
            self._ahead_s = stored.modified.timestamp() - time.monotonic()
            if self._created(key, b"2", "second") is not None:
                raise self._unfit("replaces an object that was to be made only if there is none")
            if self._swapped(key, b"3", first, "third") is None:
                raise self._unfit("refuses to replace an object that is as it was seen")
            if self._swapped(key, b"4", first, "fourth") is not None:
                raise self._unfit("replaces an object that has changed meanwhile")
        except NotImplementedError:
            raise self._unfit("knows no writes with a condition") from None
        finally:
            with suppress(StorageError):
                self.delete([key])

    def _unfit(self, what: str) -> ConfigError:
        return ConfigError(
            f"cannot be the state folder: its store {what}, so two workers could overwrite each other.",
            where=self.address(),
            remedy="Name a bucket of a store with conditional writes (docs/deployment.md), or a folder on a "
            "disk that all workers share.",
        )

    def _created(self, key: str, data: bytes, owner: str) -> Tag | None:
        from obstore.exceptions import AlreadyExistsError, NotSupportedError, PreconditionError

        with self._translated(key):
            try:
                return self._put(key, data, {OWNER: owner}, "create")
            except NotSupportedError:
                raise NotImplementedError from None
            except (AlreadyExistsError, PreconditionError):
                pass
        return self._tag_of_own(key, owner)

    def _swapped(self, key: str, data: bytes, seen: Tag, owner: str) -> Tag | None:
        from obstore.exceptions import AlreadyExistsError, NotSupportedError, PreconditionError

        known_by = {"e_tag": seen.e_tag, "version": seen.version}
        mode = {name: value for name, value in known_by.items() if value is not None}
        with self._translated(key):
            try:
                return self._put(key, data, {OWNER: owner}, mode)
            except NotSupportedError:
                raise NotImplementedError from None
            except (AlreadyExistsError, PreconditionError, FileNotFoundError):
                pass
        return self._tag_of_own(key, owner)

    def _tag_of_own(self, key: str, owner: str) -> Tag | None:
        """Return what is there if an earlier attempt of this very write made it, whose answer was lost."""
        found = self.head(key)
        return found.tag if found and found.attributes.get(OWNER) == owner else None

    def _insisted(self, key: str, write: Callable[[], Tag | None]) -> Tag | None:
        """Make a write again whose answer did not come; it tells by itself whether it was made."""
        for attempt in range(ATTEMPTS):
            try:
                return write()
            except StorageError as error:
                if not error.transient or attempt == ATTEMPTS - 1:
                    raise
            time.sleep(random.uniform(0, FIRST_PAUSE_S * 2**attempt))  # noqa: S311 (no secret)
        raise AssertionError(key)

    def _put(
        self, key: str, content: bytes | Path, attributes: Mapping[str, str], mode: Any = "overwrite"
    ) -> Tag:
        import obstore

        put = obstore.put(
            self._store,
            self._path(key),
            content,
            attributes=dict(attributes),
            mode=mode,
            use_multipart=None if mode == "overwrite" else False,
        )
        return Tag(put["e_tag"], put["version"])

    def _of_one(
        self,
        key: str,
        options: Mapping[str, Any],
        read: Callable[[Any], T],
        passing: tuple[type[Exception], ...] = (),
    ) -> T | None:
        import obstore

        with self._translated(key, passing=passing):
            try:
                return read(obstore.get(self._store, self._path(key), options=dict(options)))
            except FileNotFoundError as error:
                # A bucket that is not there is no missing file.
                if from_obstore(error, "").reason == "no_bucket":
                    raise
        return None

    def _path(self, key: str) -> str:
        return "/".join(part for part in (self._prefix, key) if part)

    def _key(self, path: str) -> str:
        return path.removeprefix(f"{self._prefix}/") if self._prefix else path

    @contextmanager
    def _translated(self, key: str, passing: tuple[type[Exception], ...] = ()) -> Iterator[None]:
        """Turn whatever obstore raises into an ObjectStoreError that says what to do about a state folder."""
        try:
            yield
        except Exception as error:
            if isinstance(error, (CloudSyncError, NotImplementedError, *passing)):
                raise
            raise as_state_error(from_obstore(error, self.address(key))) from None


def as_state_error(error: ObjectStoreError) -> ObjectStoreError:
    """Return the error of a store in words that speak of the state folder."""
    if error.reason == "missing":  # of an object it is no error here, so it is what the objects are in
        error.reason, error.message = "no_bucket", "the bucket does not exist."
    error.remedy = REMEDIES.get(error.reason, error.remedy)
    return error


def _stored(key: str, got: Any) -> Stored:
    meta = got.meta
    return Stored(
        key,
        Tag(meta["e_tag"], meta["version"]),
        meta["last_modified"],
        meta["size"],
        {str(name): str(value) for name, value in got.attributes.items()},
    )


def _blocks(got: Any) -> Iterator[bytes]:
    return (bytes(block) for block in got.stream(min_chunk_size=BLOCK_BYTES))
