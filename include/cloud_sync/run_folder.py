"""The files of one DAG run: written atomically, named once, passed between tasks by reference."""

from __future__ import annotations

import hashlib
import json
import os
import re
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from cloud_sync.errors import StorageError

HASH_BLOCK_BYTES = 1 << 20
UNSAFE_IN_A_NAME = re.compile(r"[^A-Za-z0-9._+=@-]")


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
    if cleaned == text and len(cleaned) <= 120:  # noqa: PLR2004 (well under every file system's 255 bytes)
        return cleaned
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return f"{cleaned[:120]}-{digest}"


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

        On an exception the temporary file is removed and `name` stays as it was.
        """
        target = self.path(name)
        temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.tmp")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _storage_error("cannot be written", target, error) from error
        try:
            yield temporary
            try:
                _fsync(temporary)
                temporary.replace(target)
                _fsync(target.parent)
            except OSError as error:
                raise _storage_error("cannot be written", target, error) from error
        finally:
            temporary.unlink(missing_ok=True)

    def write(self, name: str, data: bytes) -> None:
        """Write a whole file."""
        with self.writing(name) as temporary:
            try:
                temporary.write_bytes(data)
            except OSError as error:
                raise _storage_error("cannot be written", self.path(name), error) from error

    def write_json(self, name: str, value: Any) -> None:
        """Write a small JSON file in a stable, readable form."""
        text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
        self.write(name, (text + "\n").encode())

    def read(self, name: str) -> bytes:
        """Read a whole file."""
        try:
            return self.path(name).read_bytes()
        except FileNotFoundError:
            raise _missing(self.path(name)) from None
        except OSError as error:
            raise _storage_error("cannot be read", self.path(name), error) from error

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
        return FileRef(path=name, sha256=sha256_of(self.path(name)), counts=counts)

    def verified(self, ref: FileRef) -> Path:
        """Return the path of a referenced file after checking that its bytes are the ones meant."""
        path = self.path(ref.path)
        if not path.is_file():
            raise _missing(path)
        if sha256_of(path) != ref.sha256:
            raise StorageError(
                "has changed since the task before wrote it.",
                where=str(path),
                remedy="Clear the run from its first task.",
            )
        return path


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


def _storage_error(what: str, path: Path, error: OSError) -> StorageError:
    return StorageError(
        f"{what}: {error.strerror}.",
        where=str(path),
        remedy="Check the disk and the permissions of the state folder.",
        transient=True,
    )
