"""A folder in a bucket: objects are there whole or not at all, and conditions stand for renames and locks."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from fnmatch import fnmatchcase
from pathlib import Path

from cloud_sync.errors import StorageError
from cloud_sync.run_folder.bucket import SHA256, Bucket, Stored
from cloud_sync.run_folder.copies import Copies, Copy
from cloud_sync.run_folder.files import LOCK_WAIT_S, Tag, missing
from cloud_sync.run_folder.lease import Lease
from cloud_sync.run_folder.local import DISK_ERRORS, disk_errors
from cloud_sync.run_folder.refs import discard, sha256_of

OF_TEMPORARY_FILES = "Give this machine's folder of temporary files (TMPDIR) room, or name another one."
WILDCARDS = frozenset("*?[")


class RemoteFiles:
    """Files in a bucket, as `files.Files` says. What reads paths gets copies on this disk.

    Args:
        bucket: Where.
        folder: The folder in it, without slashes around it.
    """

    def __init__(self, bucket: Bucket, folder: str = "") -> None:
        self._bucket = bucket
        self._folder = folder
        self._copies = Copies()

    def address(self, name: str = "") -> str:
        """Return the URL."""
        return self._bucket.address(self._key(name))

    def below(self, folder: str) -> RemoteFiles:
        """Return a folder in this one."""
        return RemoteFiles(self._bucket, self._key(folder))

    def check(self) -> None:
        """Refuse a store without writes that depend on what is there; asks it once.

        Raises:
            ConfigError: It has none.
        """
        self._bucket.check()

    def exists(self, name: str) -> bool:
        """Tell whether the object is there."""
        return self._bucket.head(self._key(name)) is not None

    def has(self, name: str, sha256: str) -> bool:
        """Tell whether the object is there and has this digest."""
        stored = self._bucket.head(self._key(name))
        return stored is not None and self._digest_of(name, stored) == sha256

    def names(self, pattern: str) -> list[str]:
        """Return the names that match a glob pattern, sorted; wildcards match no slash."""
        parts = pattern.split("/")
        fixed = next((place for place, part in enumerate(parts) if WILDCARDS.intersection(part)), len(parts))
        folder = self._key("/".join(parts[: min(fixed, len(parts) - 1)]))
        keys = self._bucket.entries(folder)[0] if fixed >= len(parts) - 1 else self._bucket.keys_below(folder)
        return sorted(name for name in map(self._name, keys) if _matches(name.split("/"), parts))

    def folders(self) -> list[str]:
        """Return the names of the folders in this one, sorted."""
        return sorted(self._bucket.entries(self._folder)[1])

    def newest_folders(self, marker: str) -> list[str]:
        """Return the names of the folders in this one that have the file, the last written file first."""
        names = self.folders()
        found = self._bucket.heads([self._key(f"{name}/{marker}") for name in names])
        changed = [(one.modified, name) for name, one in zip(names, found, strict=True) if one is not None]
        return [name for _, name in sorted(changed, reverse=True)]

    def read(self, name: str) -> bytes:
        """Read a whole object."""
        found = self._bucket.get(self._key(name))
        if found is None:
            raise missing(self.address(name))
        return found[0]

    def local(self, name: str) -> Path:
        """Return the path of a copy of the object, which lasts as long as the path."""
        return self._copy(name)[0]

    def verified(self, name: str, sha256: str) -> Path | None:
        """Return the path of a copy of the object if it has this digest."""
        path, copy = self._copy(name)
        return path if copy.sha256 == sha256 else None

    def digest(self, name: str) -> str:
        """Return the hex digest of an object: what was noted when it was written, else that of a copy."""
        stored = self._bucket.head(self._key(name))
        if stored is None:
            raise missing(self.address(name))
        return self._digest_of(name, stored)

    @contextmanager
    def drafting(self, name: str) -> Iterator[Path]:
        """Give a path among the temporary files of this machine."""
        with self._disk_errors(name):
            draft = self._copies.new_path(name)
        try:
            with self._disk_errors(name, only=DISK_ERRORS):
                yield draft
        finally:
            known = self._copies.known(name)
            if known is None or known.path != draft:
                discard(draft)

    def put(self, draft: Path, name: str) -> None:
        """Upload a draft. It stays as a copy, in case that it is read again."""
        with self._disk_errors(name):
            sha256 = sha256_of(draft)
        tag = self._bucket.put(self._key(name), draft, sha256)
        with self._disk_errors(name):
            kept = draft.rename(self._copies.new_path(name))
        self._copies.keep(name, Copy(kept, tag, sha256))

    def write(self, name: str, data: bytes) -> None:
        """Write a whole object."""
        self._bucket.put(self._key(name), data, hashlib.sha256(data).hexdigest())
        self._copies.forget(name)

    def move(self, name: str, new_name: str) -> None:
        """Write an object under another name, then remove it under this one."""
        self.write(new_name, self.read(name))
        self.remove(name)

    def remove(self, name: str) -> None:
        """Remove an object that need not be there."""
        self._bucket.delete([self._key(name)])
        self._copies.forget(name)

    def remove_folder(self, folder: str) -> None:
        """Remove a folder, which need not exist, with all that is in it."""
        keys = list(self._bucket.keys_below(self._key(folder)))
        self._bucket.delete(keys)
        for key in keys:
            self._copies.forget(self._name(key))

    def claim(self, name: str, data: bytes) -> bool:
        """Write an object if it is not there."""
        return self._bucket.create(self._key(name), data) is not None

    def age_s(self, name: str) -> float | None:
        """Return how many seconds ago an object was written, by the store's clock."""
        stored = self._bucket.head(self._key(name))
        return None if stored is None else self._bucket.age_s(stored)

    def read_tagged(self, name: str) -> tuple[bytes, Tag] | None:
        """Read a whole object; the store says what it is known by."""
        found = self._bucket.get(self._key(name))
        return None if found is None else (found[0], found[1].tag)

    def swap(self, name: str, data: bytes, seen: Tag | None) -> bool:
        """Write an object if it still is what was seen; the store sees to it that nobody comes between."""
        key = self._key(name)
        tag = self._bucket.create(key, data) if seen is None else self._bucket.swap(key, data, seen)
        return tag is not None

    def locked(self, name: str, *, wait_s: float = LOCK_WAIT_S) -> AbstractContextManager[None]:
        """Hold a lease; the end of a process frees it when the lease ends."""
        return Lease(self._bucket, self._key(name), wait_s=wait_s)

    def scratch(self, name: str = "") -> Path:
        """Return a folder among the temporary files of this machine, which goes with this object."""
        with self._disk_errors(name):
            return self._copies.root

    def _copy(self, name: str) -> tuple[Path, Copy]:
        """Return the path of a copy of the object as it is now, and the copy."""
        known = self._copies.known(name)

        def take(stored: Stored, blocks: Iterator[bytes]) -> Copy:
            with self._disk_errors(name):
                return self._fetched(name, stored, blocks)

        fetched, same = self._bucket.fetch(self._key(name), known.tag if known else None, take)
        if not same and fetched is not None:
            self._copies.keep(name, fetched)
        return self._copies.hand_out(name)

    def _fetched(self, name: str, stored: Stored, blocks: Iterator[bytes]) -> Copy:
        path, digest, size_bytes = self._copies.new_path(name), hashlib.sha256(), 0
        try:
            with path.open("wb") as file:
                for block in blocks:
                    digest.update(block)
                    size_bytes += file.write(block)
        except BaseException:
            discard(path)
            raise
        noted = stored.attributes.get(SHA256)
        if size_bytes != stored.size_bytes or noted not in {None, digest.hexdigest()}:
            discard(path)
            raise StorageError(
                "did not arrive whole.",
                where=self.address(name),
                remedy="It is tried again; if it stays so, look at the store.",
                transient=True,
            )
        return Copy(path, stored.tag, digest.hexdigest())

    def _digest_of(self, name: str, stored: Stored) -> str:
        return stored.attributes.get(SHA256) or self._copy(name)[1].sha256

    def _key(self, name: str) -> str:
        return "/".join(part for part in (self._folder, name) if part)

    def _name(self, key: str) -> str:
        return key.removeprefix(f"{self._folder}/") if self._folder else key

    def _disk_errors(self, name: str, only: frozenset[int] | None = None) -> AbstractContextManager[None]:
        what = "cannot be written on this machine"
        return disk_errors(what, self.address(name), only=only, remedy=OF_TEMPORARY_FILES)


def _matches(parts: list[str], patterns: list[str]) -> bool:
    return len(parts) == len(patterns) and all(map(fnmatchcase, parts, patterns))
