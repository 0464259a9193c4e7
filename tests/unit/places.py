"""The places where a folder may be: on a disk, and in a bucket that is in memory."""

from __future__ import annotations

from pathlib import Path

from obstore.store import MemoryStore

from cloud_sync.run_folder import RunFolder
from cloud_sync.run_folder.address import parse_address
from cloud_sync.run_folder.stores import bucket_folder

PLACES = ["disk", "bucket"]


def make_folder(place: str, tmp_path: Path) -> RunFolder:
    """Return an empty folder; each call makes a bucket of its own."""
    return RunFolder(tmp_path) if place == "disk" else in_memory()


def in_memory() -> RunFolder:
    """Return an empty folder in a bucket of its own."""
    return bucket_folder(MemoryStore(), parse_address("s3://state/prefix", "the test"))
