"""SIGKILL of a listing at any moment: the next process goes on behind the last full file, to the same end."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cloud_sync.objects.listing import list_objects
from cloud_sync.objects.shards import list_shard, survey
from cloud_sync.run_folder import RunFolder
from tests.faults.processes import CONTEXT
from tests.unit.objects.fake_store import FakeStore
from tests.unit.objects.listings import rows_of

PAGE_S = 0.004
PAGE_SIZE = 20
PART_ROWS = 150
KILLS = 4
SHARDS = 3


@dataclass
class SlowStore(FakeStore):
    """Takes its time for each page."""

    def page(self, prefix: str, **options: Any) -> Any:
        time.sleep(PAGE_S)
        return super().page(prefix, **options)


def bucket(seed: int) -> SlowStore:
    """Return a bucket of folders of all sizes, some of them nested, and markers."""
    source = random.Random(f"{seed} bucket")
    sizes: dict[str, int] = {}
    for number in range(40):
        folder = f"raw/{number % 7}{source.choice('-./')}{number:02d}/"
        sizes[folder] = 0
        sizes |= {f"{folder}{name:03d}.jpg": 5 for name in range(source.choice([1, 3, 40, 120]))}
    return SlowStore(sizes, PAGE_SIZE)


def list_one(root: Path, seed: int) -> None:
    """List the bucket in one task."""
    list_objects(bucket(seed), "", RunFolder(root), attempt="first", pages_in_flight=4, part_rows=PART_ROWS)


def list_shards(root: Path, seed: int) -> None:
    """List the shards that a survey has made, one after the other; those that have ended are left out."""
    folder = RunFolder(root)
    for shard in range(len(folder.read_json("listing/shards.json")["shards"])):
        if not folder.exists(f"listing/{shard:04d}/index.json"):
            list_shard(
                bucket(seed), folder, shard, attempt="first", pages_in_flight=4, part_rows=PART_ROWS // 3
            )


def killed_again_and_again(listing: Any, root: Path, seed: int, longest_s: float) -> int:
    """Run a listing in processes that are killed, then in one that is not; return how many were."""
    moments = random.Random(f"{seed} moments")
    killed = 0
    for last in (*[False] * KILLS, True):
        process = CONTEXT.Process(target=listing, args=(root, seed), daemon=True)
        process.start()
        process.join(60 if last else moments.uniform(longest_s / 4, longest_s))
        process.kill()
        process.join()
        killed += process.exitcode != 0
        assert not last or process.exitcode == 0
    return killed


@pytest.fixture
def undisturbed(tmp_path: Path, seed: int) -> tuple[Path, float]:
    """A listing that nobody kills, and how long its process takes, in seconds."""
    root = tmp_path / "undisturbed"
    process = CONTEXT.Process(target=list_one, args=(root, seed), daemon=True)
    began_at = time.monotonic()
    process.start()
    process.join()
    return root, time.monotonic() - began_at


def test_a_killed_listing_ends_with_the_same_bytes(tmp_path, undisturbed, seed):
    reference, seconds = undisturbed
    killed_again_and_again(list_one, tmp_path, seed, seconds)
    ends, expected = (RunFolder(root).read_json("listing/index.json") for root in (tmp_path, reference))
    for name in ("parts", "objects", "bytes", "folder_markers", "prefix"):
        assert ends[name] == expected[name], name
    assert RunFolder(tmp_path).names("listing/.waiting-*/*") == []


def test_killed_shards_hold_every_key_once(tmp_path, undisturbed, seed):
    reference, seconds = undisturbed
    found = survey(bucket(seed), "", RunFolder(tmp_path), shards=SHARDS)
    assert len(found) > 1
    killed_again_and_again(list_shards, tmp_path, seed, seconds)
    folder = RunFolder(tmp_path)
    indexes = [folder.ref(f"listing/{shard.number:04d}/index.json") for shard in found]
    assert rows_of(tmp_path, *indexes) == rows_of(reference, RunFolder(reference).ref("listing/index.json"))
