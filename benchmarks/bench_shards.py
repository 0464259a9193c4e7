"""What it costs to share a listing between tasks.

    python -m benchmarks.bench_shards

Shards run one after the other here, each in a process of its own as its task would be; their CPU seconds are
added up, and the survey before them. How a listing grows with the bucket, `bench_listing_memory` says.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.listing_responder import running_responder
from benchmarks.measure import Measurement, measure, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cloud_sync.objects.model import ObjectStore

BUCKET = "bench"
THIS = "benchmarks.bench_shards"
SHARDED = 1_000_000
SHARDS = 4


def opened(endpoint_url: str) -> ObjectStore:
    """Open the bucket."""
    from cloud_sync.objects.stores import open_s3

    keys = {"region": "us-east-1", "access_key_id": "bench", "secret_access_key": "bench"}
    return open_s3(BUCKET, endpoint_url=endpoint_url, **keys)


def whole(endpoint_url: str, root: str) -> int:
    """List in one task, as the pipeline does: the progress is kept."""
    from cloud_sync.objects.listing import list_objects
    from cloud_sync.run_folder import RunFolder

    return list_objects(opened(endpoint_url), "", RunFolder(root), attempt="first").objects


def surveyed(endpoint_url: str, root: str, shards: int) -> int:
    """Divide the keys into shards."""
    from cloud_sync.objects.shards import survey
    from cloud_sync.run_folder import RunFolder

    return len(survey(opened(endpoint_url), "", RunFolder(root), shards=shards))


def shard(endpoint_url: str, root: str, number: int) -> int:
    """List one shard."""
    from cloud_sync.objects.shards import list_shard
    from cloud_sync.run_folder import RunFolder

    return list_shard(opened(endpoint_url), RunFolder(root), number, attempt="first").objects


def shared() -> list[Measurement]:
    """Measure the same bucket in one task, and in four."""
    with running_responder(SHARDED) as url, tempfile.TemporaryDirectory() as folder:
        options: dict[str, Any] = {"endpoint_url": url, "root": str(Path(folder) / "shards")}
        one = measure("1 task", f"{THIS}:whole", endpoint_url=url, root=str(Path(folder) / "one"))
        found = measure("the survey", f"{THIS}:surveyed", shards=SHARDS, **options)
        each = [
            measure(f"shard {number}", f"{THIS}:shard", number=number, **options)
            for number in range(found.result)
        ]
    assert one.result == sum(shard.result for shard in each) == SHARDED, "keys are missing"
    return [one, *each, found, added_up(f"survey and {len(each)} tasks", [found, *each])]


def added_up(name: str, measured: Sequence[Measurement]) -> Measurement:
    """Return what several processes cost: the sum of their time, and the most memory of one."""
    return Measurement(
        name,
        sum(each.cpu_s for each in measured),
        sum(each.wall_s for each in measured),
        max(each.peak_mib for each in measured),
        None,
    )


def main() -> None:
    """Measure, print Markdown."""
    print(f"{SHARDED:,} objects, in one task and in shards:\n")
    print(table(shared(), base="1 task"))


if __name__ == "__main__":
    main()
