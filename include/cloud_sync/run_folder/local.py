"""A folder on a disk: files are written beside their place, flushed to disk and renamed."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import logging
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cloud_sync.errors import StorageError
from cloud_sync.run_folder.files import LOCK_WAIT_S, Tag, held, missing
from cloud_sync.run_folder.refs import discard, sha256_of

log = logging.getLogger(__name__)

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
OF_THE_STATE_FOLDER = "Check the disk and the permissions of the state folder."


class LocalFiles:
    """Files on a disk, as `files.Files` says. Nothing is copied.

    Attributes:
        root: The folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def _path(self, name: str) -> Path:
        return self.root / name

    def address(self, name: str = "") -> str:
        """Return the path."""
        return str(self._path(name))

    def below(self, folder: str) -> LocalFiles:
        """Return a folder in this one."""
        return LocalFiles(self._path(folder))

    def check(self) -> None:
        """Refuse nothing: what a file system lacks is lived with."""

    def exists(self, name: str) -> bool:
        """Tell whether the file is there."""
        return self._path(name).is_file()

    def has(self, name: str, sha256: str) -> bool:
        """Tell whether the file is there and has this digest; all of it is read."""
        return self._path(name).is_file() and self.digest(name) == sha256

    def names(self, pattern: str) -> list[str]:
        """Return the names that match a glob pattern, sorted."""
        return sorted(p.relative_to(self.root).as_posix() for p in self.root.glob(pattern) if p.is_file())

    def folders(self) -> list[str]:
        """Return the names of the folders in this one, sorted."""
        return sorted(path.name for path in self.root.glob("*") if path.is_dir())

    def newest_folders(self, marker: str) -> list[str]:
        """Return the names of the folders in this one, the one that was changed last first."""
        changed = ((_changed_at(self._path(name)), name) for name in self.folders())
        return [name for when, name in sorted(changed, reverse=True) if when is not None]

    def read(self, name: str) -> bytes:
        """Read a whole file."""
        path = self._existing(name)
        with disk_errors("cannot be read", str(path)):
            return path.read_bytes()

    def local(self, name: str) -> Path:
        """Return the path of the file itself."""
        return self._existing(name)

    def verified(self, name: str, sha256: str) -> Path | None:
        """Return the path of the file itself if it has this digest; all of it is read."""
        return self._path(name) if self.digest(name) == sha256 else None

    def digest(self, name: str) -> str:
        """Return the hex digest of a file; all of it is read."""
        path = self._existing(name)
        with disk_errors("cannot be read", str(path)):
            return sha256_of(path)

    @contextmanager
    def drafting(self, name: str) -> Iterator[Path]:
        """Give a path beside the place of the file."""
        target = self._path(name)
        draft = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.tmp")
        with disk_errors("cannot be written", str(target)):
            _make_folder(target.parent)
        try:
            with disk_errors("cannot be written", str(target), only=DISK_ERRORS):
                yield draft
        finally:
            discard(draft)

    def put(self, draft: Path, name: str) -> None:
        """Flush a draft to disk, then rename it."""
        target = self._path(name)
        with disk_errors("cannot be written", str(target)):
            _fsync(draft)
            draft.replace(target)
            _fsync(target.parent)

    def write(self, name: str, data: bytes) -> None:
        """Write a whole file, durably."""
        with self.drafting(name) as draft:
            with disk_errors("cannot be written", self.address(name)):
                draft.write_bytes(data)
            self.put(draft, name)

    def move(self, name: str, new_name: str) -> None:
        """Rename a file, durably."""
        source, target = self._path(name), self._path(new_name)
        with disk_errors("cannot be moved", str(source)):
            _make_folder(target.parent)
            source.replace(target)
            for changed in {source.parent, target.parent}:
                _fsync(changed)

    def remove(self, name: str) -> None:
        """Remove a file that need not exist."""
        path = self._path(name)
        with disk_errors("cannot be removed", str(path)):
            path.unlink(missing_ok=True)

    def remove_folder(self, folder: str) -> None:
        """Remove a folder, which need not exist, with all that is in it."""
        path = self._path(folder)
        with disk_errors("cannot be removed", str(path)):
            if path.exists():
                shutil.rmtree(path)

    def claim(self, name: str, data: bytes) -> bool:
        """Write a file if it is not there. The name is there at once, the content a moment later."""
        path = self._path(name)
        with disk_errors("cannot be written", str(path)):
            _make_folder(path.parent)
            try:
                with path.open("xb") as file:
                    file.write(data)
            except FileExistsError:
                return False
        return True

    def age_s(self, name: str) -> float | None:
        """Return how many seconds ago a file was written, by this machine's clock."""
        written_at = _changed_at(self._path(name))
        return None if written_at is None else time.time() - written_at

    def read_tagged(self, name: str) -> tuple[bytes, Tag] | None:
        """Read a whole file; its content is what it is known by."""
        if not self._path(name).is_file():
            return None
        data = self.read(name)
        return data, _tag_of(data)

    def swap(self, name: str, data: bytes, seen: Tag | None) -> bool:
        """Write a file if it still is what was seen. Only a lock keeps others out between the two."""
        found = self.read_tagged(name)
        if (found[1] if found else None) != seen:
            return False
        self.write(name, data)
        return True

    @contextmanager
    def locked(self, name: str, *, wait_s: float = LOCK_WAIT_S) -> Iterator[None]:
        """Hold the file system's lock on a file; the end of the process frees it at once."""
        path = self._path(name)
        with disk_errors("cannot be locked", str(path)):
            _make_folder(path.parent)
            file = path.open("ab")
        with file:
            with disk_errors("cannot be locked", str(path)):
                _lock(file.fileno(), path, time.monotonic() + wait_s)
            yield

    def scratch(self, name: str = "") -> Path:
        """Return a folder of this one, where there is room for its files."""
        path = self._path(name)
        with disk_errors("cannot be written", str(path)):
            path.mkdir(parents=True, exist_ok=True)
        return path

    def _existing(self, name: str) -> Path:
        path = self._path(name)
        if not path.is_file():
            raise missing(str(path))
        return path


@contextmanager
def disk_errors(
    what: str, address: str, only: frozenset[int] | None = None, remedy: str = OF_THE_STATE_FOLDER
) -> Iterator[None]:
    """Turn an OSError into a StorageError; with `only`, just those with one of these numbers."""
    try:
        yield
    except OSError as error:
        if only is not None and error.errno not in only:
            raise
        raise StorageError(
            f"{what}: {error.strerror or error}.",
            where=address,
            remedy=remedy,
            transient=not isinstance(error, LASTING_ERRORS),
        ) from error


def _tag_of(data: bytes) -> Tag:
    return Tag(e_tag=hashlib.sha256(data).hexdigest())


def _changed_at(path: Path) -> float | None:
    """Return when a file or folder was changed; None if it is gone, as one that was removed since."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return None


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
                raise held(str(path)) from None
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
