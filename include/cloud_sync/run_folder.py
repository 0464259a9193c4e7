"""The files of one DAG run: written atomically, named once, passed between tasks by reference."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import logging
import os
import re
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from cloud_sync.errors import StorageError

log = logging.getLogger(__name__)

HASH_BLOCK_BYTES = 1 << 20
LONGEST_NAME = 120  # well under every file system's 255 bytes
UNSAFE_IN_A_NAME = re.compile(r"[^A-Za-z0-9._+=@-]")


LOCK_WAIT_S = 600.0
LOCK_PAUSE_S = 0.05
# File systems without locks, as some network file systems are.
NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL})

# What the disk itself says; other errors of the code that writes a file are its own to explain.
DISK_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO})
# A person has to change something; everything else may pass, as a full disk does.
LASTING_ERRORS = (
    FileNotFoundError,
    FileExistsError,
    PermissionError,
    IsADirectoryError,
    NotADirectoryError,
)


@dataclass(frozen=True, slots=True)
class FileRef:
    """What goes between Airflow tasks instead of data: under 1 KB as JSON.

    Attributes:
        path: Path relative to the run folder.
        sha256: Hex digest of the file's bytes.
        counts: What the file holds, by name (`{"objects": 1000000}`).
    """

    path: str
    sha256: str
    counts: Mapping[str, int]

    def to_json(self) -> dict[str, Any]:
        """Return the form that goes into XCom."""
        return {"path": self.path, "sha256": self.sha256, "counts": dict(self.counts)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Inverse of `to_json`."""
        return cls(path=data["path"], sha256=data["sha256"], counts=dict(data["counts"]))


def safe_name(text: str) -> str:
    """Turn a run id or title into a file name that is legal everywhere and still unique.

    Replaced characters could make two names equal, so a changed name carries a short hash.
    """
    cleaned = UNSAFE_IN_A_NAME.sub("_", text).strip(".")
    if text and cleaned == text and len(cleaned) <= LONGEST_NAME:
        return cleaned
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return f"{cleaned[:LONGEST_NAME]}-{digest}"


def sha256_of(path: Path) -> str:
    """Return the hex digest of a file, read in blocks."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(HASH_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


class RunFolder:
    """A folder whose files appear whole or not at all.

    A file is written beside its place, flushed to disk and renamed, so a process that is killed
    leaves the old file or the new one, never a torn one.

    Raises:
        StorageError: A file cannot be written or read, or is not the one a reference names.
    """

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)

    def path(self, name: str) -> Path:
        """Return the local path of a file, which need not exist."""
        return self.root / name

    def exists(self, name: str) -> bool:
        """Tell whether the file is there."""
        return self.path(name).is_file()

    def names(self, pattern: str) -> list[str]:
        """Return the names that match a glob pattern (`manifests/*.json`), sorted."""
        return sorted(p.relative_to(self.root).as_posix() for p in self.root.glob(pattern) if p.is_file())

    @contextmanager
    def writing(self, name: str) -> Iterator[Path]:
        """Give a temporary path to write to; on a clean exit it becomes `name`, durably.

        On an exception the temporary file is removed and `name` stays as it was. A full or broken disk is
        a StorageError, also where the code inside met it.
        """
        target = self.path(name)
        temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.tmp")
        with _disk_errors("cannot be written", target):
            _make_folder(target.parent)
        try:
            with _disk_errors("cannot be written", target, only=DISK_ERRORS):
                yield temporary
            with _disk_errors("cannot be written", target):
                _fsync(temporary)
                temporary.replace(target)
                _fsync(target.parent)
        finally:
            discard(temporary)

    def move(self, name: str, new_name: str) -> None:
        """Give a file another name, in whatever folder, durably."""
        source, target = self.path(name), self.path(new_name)
        with _disk_errors("cannot be moved", source):
            _make_folder(target.parent)
            source.replace(target)
            for changed in {source.parent, target.parent}:
                _fsync(changed)

    @contextmanager
    def locked(self, name: str, *, wait_s: float = LOCK_WAIT_S) -> Iterator[None]:
        """Keep other processes and threads out that lock the same file; the end of a process frees it.

        Where the file system knows no locks, this one is left out with a warning.

        Args:
            name: The file to lock, made if need be. Never remove or replace it.
            wait_s: How long to wait for another one at most.
        """
        path = self.path(name)
        with _disk_errors("cannot be locked", path):
            _make_folder(path.parent)
            file = path.open("ab")
        with file:
            with _disk_errors("cannot be locked", path):
                _lock(file.fileno(), path, time.monotonic() + wait_s)
            yield

    def write(self, name: str, data: bytes) -> None:
        """Write a whole file."""
        with self.writing(name) as temporary, _disk_errors("cannot be written", self.path(name)):
            temporary.write_bytes(data)

    def write_json(self, name: str, value: Any) -> None:
        """Write a small JSON file in a stable, readable form."""
        self.write(name, _json_bytes(value))

    def claim(self, name: str, value: Any) -> bool:
        """Write a small JSON file if it is not there; True for the one process that did.

        The name is there at once, the content a moment later: look at the name only.
        """
        path = self.path(name)
        with _disk_errors("cannot be written", path):
            _make_folder(path.parent)
            try:
                with path.open("xb") as file:
                    file.write(_json_bytes(value))
            except FileExistsError:
                return False
        return True

    def disclaim(self, name: str) -> None:
        """Remove a file that was claimed, so that another process may."""
        path = self.path(name)
        with _disk_errors("cannot be removed", path):
            path.unlink(missing_ok=True)

    def read(self, name: str) -> bytes:
        """Read a whole file."""
        path = self.path(name)
        if not path.is_file():
            raise _missing(path)
        with _disk_errors("cannot be read", path):
            return path.read_bytes()

    def read_json(self, name: str) -> Any:
        """Read a JSON file that this project wrote."""
        try:
            return json.loads(self.read(name))
        except ValueError as error:
            raise StorageError(
                "is not valid JSON.",
                where=str(self.path(name)),
                remedy="Clear the task that writes it, so that it is written again.",
            ) from error

    def ref(self, name: str, **counts: int) -> FileRef:
        """Make a reference to a file that exists."""
        return FileRef(path=name, sha256=_digest(self.path(name)), counts=counts)

    def verified(self, ref: FileRef) -> Path:
        """Return the path of a referenced file after checking that its bytes are the ones meant."""
        path = self.path(ref.path)
        if _digest(path) != ref.sha256:
            raise StorageError(
                "has changed since the task before wrote it.",
                where=str(path),
                remedy="Clear the run from its first task.",
            )
        return path


def _json_bytes(value: Any) -> bytes:
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode()


def _digest(path: Path) -> str:
    if not path.is_file():
        raise _missing(path)
    with _disk_errors("cannot be read", path):
        return sha256_of(path)


def _make_folder(folder: Path) -> None:
    """Make a folder and its parents, each durably: a synced file in a lost folder is lost."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    _fsync(folder.parent)


def _lock(handle: int, path: Path, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise StorageError(
                    "is held by another task.",
                    where=str(path),
                    remedy="Wait until that task has ended.",
                    transient=True,
                ) from None
            time.sleep(LOCK_PAUSE_S)
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            log.warning("%s cannot be locked (%s): two runs may overwrite each other", path, error.strerror)
            return
        else:
            return


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _missing(path: Path) -> StorageError:
    return StorageError(
        "is missing from the run folder.",
        where=str(path),
        remedy="Clear the task that writes it, so that it is written again.",
    )


def discard(path: Path) -> None:
    """Remove a temporary file that may not exist; on a disk that cannot be written it stays."""
    # What went wrong before is what has to be said: a read-only disk refuses this as well.
    with suppress(OSError):
        path.unlink(missing_ok=True)


@contextmanager
def _disk_errors(what: str, path: Path, only: frozenset[int] | None = None) -> Iterator[None]:
    """Turn an OSError into a StorageError; with `only`, just those with one of these numbers."""
    try:
        yield
    except OSError as error:
        if only is not None and error.errno not in only:
            raise
        raise StorageError(
            f"{what}: {error.strerror or error}.",
            where=str(path),
            remedy="Check the disk and the permissions of the state folder.",
            transient=not isinstance(error, LASTING_ERRORS),
        ) from error
