"""What files are called, and how they are known again: by the digest of their bytes."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

HASH_BLOCK_BYTES = 1 << 20
LONGEST_NAME = 120  # well under every file system's 255 bytes
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


def discard(path: Path) -> None:
    """Remove a temporary file that may not exist; on a disk that cannot be written it stays."""
    # What went wrong before is what has to be said: a read-only disk refuses this as well.
    with suppress(OSError):
        path.unlink(missing_ok=True)
