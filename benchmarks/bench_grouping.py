"""What it costs to plan a large bucket of single frames as series, by each kind of rule.

    python -m benchmarks.bench_grouping [--objects 1000000]

The keys are those of cameras that write numbered frames, 250 in a series. The rule by a regular expression
with an index is the one with a target; without an index, and by folder, the order is the natural one of the
names, which costs more. "No rule" plans the same keys as single images.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.measure import measure, table

FRAMES = 250
CPU_S = 5
LISTED_AT = datetime(2026, 11, 22, tzinfo=UTC)
RULES: dict[str, dict[str, Any] | None] = {
    "no rule": None,
    "by regex, with index": {
        "by": "regex",
        "pattern": r"^(?P<group>.+)/frame(?P<index>[0-9]+)\.jpg$",
        "complete": {"count": FRAMES},
    },
    "by regex, without index": {"by": "regex", "pattern": r"^(?P<group>.+)/frame[0-9]+\.jpg$"},
    "by folder": {"by": "folder"},
}


def write_listing(path: str, objects: int) -> None:
    """Write a listing as the list stage does, in the order of keys."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from cloud_sync.objects.parts import PARQUET_OPTIONS, ROWS_PER_GROUP

    series, last = divmod(objects, FRAMES)
    sizes = [FRAMES] * series + [last]
    keys = sorted(
        f"raw/cam{n % 40:02}/2026-11-{n % 28 + 1:02}/run{n}/frame{frame}.jpg"
        for n, frames in enumerate(sizes)
        for frame in range(frames)
    )
    columns = {
        "key": keys,
        "size_bytes": range(100_000, 100_000 + objects),
        "last_modified": pa.array([datetime(2026, 1, 1, tzinfo=UTC)] * objects, pa.timestamp("us", "UTC")),
        "etag": [hashlib.md5(key.encode(), usedforsecurity=False).hexdigest() for key in keys],
    }
    pq.write_table(pa.table(columns), path, row_group_size=ROWS_PER_GROUP, **PARQUET_OPTIONS)


def plan(listing: str, folder: str, rule: dict[str, Any] | None) -> dict[str, int]:
    """Run the plan stage on a listing with one rule or none."""
    from cloud_sync.integration import Integration
    from cloud_sync.planning.plan import make_plan
    from cloud_sync.run_folder import RunFolder

    settings = {
        "name": "bench",
        "storage": {"provider": "s3", "connection_id": "bench", "bucket": "bench", "prefix": "raw/"},
        "target": {"connection_id": "bench", "dataset": "bench"},
        "groups": [{"type": "image_sequence", **rule}] if rule else [],
    }
    planned = make_plan(
        RunFolder(folder),
        listing_parts=[Path(listing)],
        integration=Integration.model_validate(settings),
        ledger=None,
        now=LISTED_AT,
    )
    return {"objects": planned.to_register, "items": planned.items}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--objects", type=int, default=1_000_000)
    objects = parser.parse_args().objects
    scratch = Path(tempfile.mkdtemp(prefix="bench-grouping-"))
    try:
        listing = f"{scratch}/listing.parquet"
        write_listing(listing, objects)
        measured = [
            measure(
                name,
                "benchmarks.bench_grouping:plan",
                listing=listing,
                folder=f"{scratch}/{number}",
                rule=rule,
            )
            for number, (name, rule) in enumerate(RULES.items())
        ]
    finally:
        shutil.rmtree(scratch)
    print(table(measured, base="no rule"))
    print(*(f"{each.name}: {each.result}" for each in measured), sep="\n")
    if objects == 1_000_000:
        assert all(each.result["objects"] == objects for each in measured)
        by_regex = measured[1].cpu_s
        print(f"\nTarget by regex: under {CPU_S} CPU s; measured {by_regex:.2f}.")


if __name__ == "__main__":
    main()
