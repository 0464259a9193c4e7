"""What a run folder asks of the place where its files are."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

from cloud_sync.errors import StorageError

LOCK_WAIT_S = 600.0


class DamagedFileError(StorageError):
    """A file is missing, or not what was written."""


@dataclass(frozen=True, slots=True)
class Tag:
    """By which the content of a file is known again: the first of these that a place has.

    Attributes:
        e_tag: Changes with the content.
        version: Changes with each write.
    """

    e_tag: str | None = None
    version: str | None = None


class Files(Protocol):
    """The files of one folder. Each is there whole or not at all; names have slashes.

    Every method raises StorageError: the place cannot be read or written, or a file is missing.
    """

    def address(self, name: str = "") -> str:
        """Return what to call a file, or the folder, where people read it."""

    def below(self, folder: str) -> Self:
        """Return a folder in this one, which need not exist."""

    def check(self) -> None:
        """Refuse a place that cannot do what is asked of it here; asks it once.

        Raises:
            ConfigError: Two workers could overwrite each other in it.
        """

    def exists(self, name: str) -> bool:
        """Tell whether the file is there."""

    def has(self, name: str, sha256: str) -> bool:
        """Tell whether the file is there and has this digest."""

    def names(self, pattern: str) -> list[str]:
        """Return the names that match a glob pattern, sorted."""

    def folders(self) -> list[str]:
        """Return the names of the folders in this one, sorted."""

    def newest_folders(self, marker: str) -> list[str]:
        """Return the names of the folders in this one, the one that was changed last first.

        Args:
            marker: A file in each of them. Where folders have no time of change, that of the file counts.
        """

    def read(self, name: str) -> bytes:
        """Read a whole file."""

    def local(self, name: str) -> Path:
        """Return a path on this disk with the file's content; not to be written to."""

    def verified(self, name: str, sha256: str) -> Path | None:
        """Return what `local` does if the file has this digest; None if not."""

    def digest(self, name: str) -> str:
        """Return the hex digest (SHA-256) of a file."""

    def drafting(self, name: str) -> AbstractContextManager[Path]:
        """Give a path on this disk for a new file, which is removed at the end unless it was put."""

    def put(self, draft: Path, name: str) -> None:
        """Make a draft the file of this name, durably, in place of the one before."""

    def write(self, name: str, data: bytes) -> None:
        """Write a whole file, durably."""

    def move(self, name: str, new_name: str) -> None:
        """Give a file another name, durably. A process that is killed may leave both, never none."""

    def remove(self, name: str) -> None:
        """Remove a file that need not exist."""

    def remove_folder(self, folder: str) -> None:
        """Remove a folder, which need not exist, with all that is in it."""

    def claim(self, name: str, data: bytes) -> bool:
        """Write a file if it is not there; True for the one process that did."""

    def age_s(self, name: str) -> float | None:
        """Return how many seconds ago a file was written, by the clock of the place; None if it is gone."""

    def read_tagged(self, name: str) -> tuple[bytes, Tag] | None:
        """Read a whole file that another process may replace; None if it is not there."""

    def swap(self, name: str, data: bytes, seen: Tag | None) -> bool:
        """Write a file if it still is what was seen; False if another process was faster.

        Args:
            name: The file.
            data: Its new content.
            seen: As `read_tagged` gave it; None if the file was not there.
        """

    def locked(self, name: str, *, wait_s: float = LOCK_WAIT_S) -> AbstractContextManager[None]:
        """Keep others out that lock the same name; the end of a process frees it, sooner or later."""

    def scratch(self, name: str = "") -> Path:
        """Return a folder on this disk for what only this process needs."""


def missing(address: str) -> DamagedFileError:
    """Return the error of a file that an earlier task should have written."""
    return DamagedFileError(
        "is missing from the run folder.",
        where=address,
        remedy="Clear the task that writes it, so that it is written again.",
    )


def held(address: str) -> StorageError:
    """Return the error of a lock that another one has."""
    return StorageError(
        "is held by another task.",
        where=address,
        remedy="Wait until that task has ended.",
        transient=True,
    )
