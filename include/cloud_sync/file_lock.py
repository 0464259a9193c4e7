"""One process at a time: a lock on a file, which ends with the process that holds it."""

from __future__ import annotations

import errno
import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from cloud_sync.errors import StorageError

LONGEST_WAIT_S: Final = 120.0
PAUSE_S: Final = 0.05

NO_LOCKS: Final = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP})
"""What a file system says that knows no locks; there things go on without, as they did before."""


@contextmanager
def locked(path: Path, *, longest_wait_s: float = LONGEST_WAIT_S) -> Iterator[None]:
    """Hold a lock; the file is made, and stays.

    Raises:
        StorageError: Another process holds it for too long (transient), or the file cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("ab")
    except OSError as error:
        raise StorageError(
            f"cannot be locked: {error.strerror or error}.",
            where=str(path),
            remedy="Check the disk and the permissions of the state folder.",
            transient=not isinstance(error, PermissionError),
        ) from error
    with file:  # closing it ends the lock
        _wait(file, path, time.monotonic() + longest_wait_s)
        yield


def _wait(file: IO[bytes], path: Path, deadline_s: float) -> None:
    while not _take(file):
        if time.monotonic() > deadline_s:
            raise StorageError(
                "another process holds it for too long.",
                where=str(path),
                remedy="It is tried again; if it stays so, look for a process that hangs.",
                transient=True,
            )
        time.sleep(PAUSE_S)


def _take(file: IO[bytes]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
    return True
