"""The files of one DAG run: written whole, named once, passed between tasks by reference."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from cloud_sync.run_folder.files import LOCK_WAIT_S, DamagedFileError, Files, Tag
from cloud_sync.run_folder.local import LocalFiles
from cloud_sync.run_folder.refs import FileRef, sha256_of

DIGITS_IN_A_NAME = 12


@dataclass(slots=True)
class Draft:
    """A file that gets its name from its content.

    Attributes:
        path: Where to write it.
        ref: What it is called, once it was written.
    """

    path: Path
    ref: FileRef | None = None


class RunFolder:
    """A folder whose files appear whole or not at all, on a disk or in a bucket.

    Whatever moment a process is killed at, it leaves the old file or the new one, never a torn one.

    Args:
        root: A folder on a disk, or another place.

    Attributes:
        files: The place.

    Raises:
        StorageError: A file cannot be written or read, or is not the one a reference names.
    """

    def __init__(self, root: Path | str | Files) -> None:
        self.files: Files = LocalFiles(Path(root)) if isinstance(root, Path | str) else root

    @property
    def is_on_disk(self) -> bool:
        """Whether the files are on this disk, so that nothing is copied."""
        return isinstance(self.files, LocalFiles)

    @property
    def root(self) -> Path:
        """The folder on this disk, for those who know that it is there: tests, the demo."""
        if not isinstance(self.files, LocalFiles):
            raise TypeError(f"{self.address()} is not on this disk")
        return self.files.root

    def path(self, name: str) -> Path:
        """Return where a file is on this disk, for those who know that it is there: tests, the demo."""
        return self.root / name

    def address(self, name: str = "") -> str:
        """Return what to call a file, or the folder, where people read it: its path or URL."""
        return self.files.address(name)

    def below(self, folder: str) -> RunFolder:
        """Return a folder in this one, which need not exist."""
        return RunFolder(self.files.below(folder))

    def check(self) -> None:
        """Refuse a bucket that writes whatever it is told to; asks it once.

        Raises:
            ConfigError: Two workers could overwrite each other in it.
        """
        self.files.check()

    def exists(self, name: str) -> bool:
        """Tell whether the file is there."""
        return self.files.exists(name)

    def has(self, name: str, sha256: str) -> bool:
        """Tell whether the file is there and has this digest."""
        return self.files.has(name, sha256)

    def names(self, pattern: str) -> list[str]:
        """Return the names that match a glob pattern (`manifests/*.json`), sorted."""
        return self.files.names(pattern)

    def folders(self) -> list[str]:
        """Return the names of the folders in this one, sorted."""
        return self.files.folders()

    def newest_folders(self, marker: str) -> list[str]:
        """Return the names of the folders in this one, the one that was changed last first.

        Args:
            marker: A file in each of them. Where folders have no time of change, that of the file counts.
        """
        return self.files.newest_folders(marker)

    @contextmanager
    def writing(self, name: str) -> Iterator[Path]:
        """Give a temporary path to write to; on a clean exit it becomes `name`, durably.

        On an exception the temporary file is removed and `name` stays as it was. A full or broken disk is
        a StorageError, also where the code inside met it.
        """
        with self.files.drafting(name) as draft:
            yield draft
            self.files.put(draft, name)

    @contextmanager
    def writing_by_content(self, stem: str, suffix: str) -> Iterator[Draft]:
        """Give a draft that becomes `<stem>-<sha256 prefix><suffix>` on a clean exit, durably.

        So a file that somebody reads is never touched.
        """
        with self.files.drafting(stem) as path:
            draft = Draft(path)
            yield draft
            sha256 = sha256_of(path)
            name = f"{stem}{_digits(sha256)}{suffix}"
            self.files.put(path, name)
            draft.ref = FileRef(name, sha256, {})

    def write(self, name: str, data: bytes) -> None:
        """Write a whole file."""
        self.files.write(name, data)

    def write_json(self, name: str, value: Any) -> None:
        """Write a small JSON file in a stable, readable form."""
        self.files.write(name, json_bytes(value))

    def move(self, name: str, new_name: str) -> None:
        """Give a file another name, in whatever folder, durably."""
        self.files.move(name, new_name)

    def remove(self, name: str) -> None:
        """Remove a file that need not exist."""
        self.files.remove(name)

    def remove_folder(self, folder: str) -> None:
        """Remove a folder, which need not exist, with all that is in it."""
        self.files.remove_folder(folder)

    def locked(self, name: str, *, wait_s: float = LOCK_WAIT_S) -> AbstractContextManager[None]:
        """Keep other processes and threads out that lock the same file; the end of a process frees it.

        In a bucket it is freed a minute after that. Where a file system knows no locks, this one is left out
        with a warning.

        Args:
            name: The file to lock, made if need be. Never remove or replace it.
            wait_s: How long to wait for another one at most.
        """
        return self.files.locked(name, wait_s=wait_s)

    def claim(self, name: str, value: Any) -> bool:
        """Write a small JSON file if it is not there; True for the one process that did.

        The name is there at once, on a disk the content a moment later: look at the name only.
        """
        return self.files.claim(name, json_bytes(value))

    def disclaim(self, name: str) -> None:
        """Remove a file that was claimed, so that another process may."""
        self.files.remove(name)

    def age_s(self, name: str) -> float | None:
        """Return how many seconds ago a file was written; None if it is not there."""
        return self.files.age_s(name)

    def swap_json(self, name: str, value: Any, seen: Tag | None) -> bool:
        """Write a small JSON file if it still is what was seen; False if another process was faster.

        Args:
            name: The file.
            value: Its new content.
            seen: As `read_tagged_json` gave it; None if the file was not there.
        """
        return self.files.swap(name, json_bytes(value), seen)

    def read(self, name: str) -> bytes:
        """Read a whole file."""
        return self.files.read(name)

    def read_json(self, name: str) -> Any:
        """Read a JSON file that this project wrote."""
        return self._parsed(name, self.files.read(name))

    def read_tagged_json(self, name: str) -> tuple[Any, Tag] | None:
        """Read a JSON file that another process may replace, and what `swap_json` knows it by."""
        found = self.files.read_tagged(name)
        return (self._parsed(name, found[0]), found[1]) if found is not None else None

    def _parsed(self, name: str, data: bytes) -> Any:
        try:
            return json.loads(data)
        except ValueError as error:
            raise DamagedFileError(
                "is not valid JSON.",
                where=self.address(name),
                remedy="Clear the task that writes it, so that it is written again.",
            ) from error

    def local(self, name: str) -> Path:
        """Return a path with the file's content, for what reads files only: not to be written to.

        What is in a bucket is fetched once; the copy lasts as long as this folder or the path itself.
        """
        return self.files.local(name)

    def scratch(self, name: str = "") -> Path:
        """Return a folder on this disk for what only this process needs, such as what DuckDB spills.

        Args:
            name: A folder of this one beside whose files it should be, where that is on a disk.
        """
        return self.files.scratch(name)

    def digest(self, name: str) -> str:
        """Return the hex digest (SHA-256) of a file."""
        return self.files.digest(name)

    def ref(self, name: str, **counts: int) -> FileRef:
        """Make a reference to a file that exists."""
        return FileRef(path=name, sha256=self.files.digest(name), counts=counts)

    def verified(self, ref: FileRef) -> Path:
        """Return what `local` does, after checking that the file's bytes are the ones meant."""
        path = self.files.verified(ref.path, ref.sha256)
        if path is None:
            raise DamagedFileError(
                "has changed since the task before wrote it.",
                where=self.address(ref.path),
                remedy="Clear the run from its first task.",
            )
        return path


def is_named_after(path: Path, name: str) -> bool:
    """Tell whether a file's content is that of the name which `writing_by_content` gave it."""
    return PurePath(name).stem.endswith(_digits(sha256_of(path)))


def _digits(sha256: str) -> str:
    return f"-{sha256[:DIGITS_IN_A_NAME]}"


def json_bytes(value: Any) -> bytes:
    """Return JSON in a stable, readable form."""
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode()
