"""Copies on this disk of files in a bucket, for what reads files only. They end with their owner.

They lie in the system's folder of temporary files, one folder a process. What a killed process has left
there, the next one on the machine removes.
"""

from __future__ import annotations

import atexit
import fcntl
import itertools
import os
import shutil
import tempfile
import weakref
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PosixPath
from threading import Lock
from typing import Any

from cloud_sync.run_folder.files import Tag
from cloud_sync.run_folder.refs import discard

PREFIX = "cloud-sync-state-"
ALIVE_NAME = "alive.lock"
# So much of what was written here is kept in case it is read again; what was asked for is kept anyway.
KEPT_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class Copy:
    """A file's content on this disk.

    Attributes:
        path: Where.
        tag: Which content it is.
        sha256: Its hex digest.
    """

    path: Path
    tag: Tag
    sha256: str


class HeldPath(PosixPath):
    """The path of a copy, which is there as long as this object.

    Attributes:
        owner: What removes the copy when nobody needs it any more.
    """

    owner: Any


class Copies:
    """The copies of one folder's files, one a name. They are removed with this object and the paths from it.

    What was handed out stays until then, as somebody may read it. What was only written is dropped, the
    oldest first, when there is much of it.
    """

    def __init__(self, kept_bytes: int = KEPT_BYTES) -> None:
        self._kept_bytes = kept_bytes
        self._lock = Lock()
        self._root: Path | None = None
        self._numbers = itertools.count()
        self._by_name: dict[str, Copy] = {}
        self._handed_out: set[Path] = set()

    @property
    def root(self) -> Path:
        """The folder, made when it is first needed."""
        with self._lock:
            if self._root is None:
                self._root = Path(tempfile.mkdtemp(dir=_folder_of_this_process()))
                weakref.finalize(self, _remove, self._root, os.getpid()).atexit = False
            return self._root

    def new_path(self, name: str) -> Path:
        """Return a path for a copy or a draft, whose last part is that of the name."""
        folder = self.root / str(next(self._numbers))
        folder.mkdir()
        return folder / Path(name).name

    def known(self, name: str) -> Copy | None:
        """Return the copy that there is, of whatever content."""
        with self._lock:
            copy = self._by_name.get(name)
            return copy if copy is not None and copy.path.is_file() else None

    def hand_out(self, name: str) -> tuple[Path, Copy]:
        """Return the path of the copy that there is, which stays from now on, and the copy."""
        with self._lock:
            copy = self._by_name[name]
            self._handed_out.add(copy.path)
        path = HeldPath(copy.path)
        path.owner = self
        return path, copy

    def keep(self, name: str, copy: Copy) -> None:
        """Take a copy in, in place of that of an earlier content."""
        with self._lock:
            before = self._by_name.pop(name, None)
            self._by_name[name] = copy
            if before is not None:
                self._drop(before)
            self._bound()

    def forget(self, name: str) -> None:
        """Let a copy go, because the file was removed."""
        with self._lock:
            if (copy := self._by_name.pop(name, None)) is not None:
                self._drop(copy)

    def _bound(self) -> None:
        droppable = [
            (name, copy) for name, copy in self._by_name.items() if copy.path not in self._handed_out
        ]
        size = sum(_size_bytes(copy.path) for _, copy in droppable)
        for name, copy in droppable:
            if size <= self._kept_bytes:
                return
            size -= _size_bytes(copy.path)
            del self._by_name[name]
            self._drop(copy)

    def _drop(self, copy: Copy) -> None:
        if copy.path not in self._handed_out:
            discard(copy.path)


_process_folder: tuple[int, Path, int] | None = None
_process_lock = Lock()


def _folder_of_this_process() -> Path:
    """Return the folder of this process's copies; a fork makes its own."""
    global _process_folder  # noqa: PLW0603 (one for all folders of the process)
    with _process_lock:
        if _process_folder is None or _process_folder[0] != os.getpid() or not _process_folder[1].is_dir():
            _remove_orphans(Path(tempfile.gettempdir()))
            while (made := _made_folder()) is None:
                pass
            _process_folder = (os.getpid(), *made)
            atexit.register(_remove, made[0], os.getpid())
        return _process_folder[1]


def _made_folder() -> tuple[Path, int] | None:
    """Make a folder and hold its lock; None if another process took it for that of a killed one."""
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    with suppress(FileNotFoundError):
        handle = os.open(folder / ALIVE_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if _try_lock(handle) and (folder / ALIVE_NAME).exists():
            return folder, handle
        os.close(handle)
    return None


def _remove_orphans(parent: Path) -> None:
    """Remove what processes have left that were killed: nobody holds the lock in it."""
    for folder in parent.glob(f"{PREFIX}*"):
        with suppress(OSError):
            handle = os.open(folder / ALIVE_NAME, os.O_RDWR)
            try:
                if _try_lock(handle):
                    shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(handle)


def _try_lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _remove(folder: Path, owner: int) -> None:
    if os.getpid() == owner:  # a fork has its parent's handlers
        shutil.rmtree(folder, ignore_errors=True)


def _size_bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
