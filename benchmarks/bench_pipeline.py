"""What list, plan and build of a large bucket cost together: everything new, and a usual night.

    python -m benchmarks.bench_pipeline [--objects 1000000] [--new 1000]
    python -m benchmarks.bench_pipeline --nights 100000 1000000 10000000

The store is the listing responder, which answers faster than any client asks. "All new" starts without a
ledger; "a usual night" has a ledger that knows all objects but the last ones. With `--nights` only nights are
measured, in buckets of several sizes: one in which as many objects as are new are gone, too. Their ledgers
are made from the listing itself, so that even the largest is there soon.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.listing_responder import running_responder
from benchmarks.measure import Measurement, measure, table

BUCKET = "bench"
PREFIX = "raw/"
CPU_S_ALL_NEW = 12
PEAK_MIB = 450
# CPU seconds and MB of a night, by the objects in the bucket.
NIGHT_TARGETS = {1_000_000: (7, 450), 10_000_000: (60, 700)}


def list_plan_build(endpoint_url: str, folder: str, ledger: str | None = None) -> dict[str, int]:
    """Run the three stages as the Airflow tasks do, in one process."""
    from cloud_sync.ledger import Ledger
    from cloud_sync.manifest.build import build_manifests
    from cloud_sync.objects.listing import list_objects
    from cloud_sync.objects.model import read_listing
    from cloud_sync.objects.stores import open_s3
    from cloud_sync.objects.urls import ObjectUrls, UrlStyle
    from cloud_sync.planning.model import REGISTER_NAME
    from cloud_sync.planning.plan import make_plan
    from cloud_sync.run_folder import RunFolder

    run = RunFolder(folder)
    store = open_s3(BUCKET, endpoint_url=endpoint_url, access_key_id="bench", secret_access_key="bench")  # noqa: S106
    listing = list_objects(store, PREFIX, run)
    written = read_listing(run, listing.index)
    plan = make_plan(
        run,
        listing_parts=written.parts,
        integration=_integration(),
        ledger=Ledger(Path(ledger)).current() if ledger else None,
        now=written.listed_at,
    )
    urls = ObjectUrls("s3", BUCKET, UrlStyle.PATH, endpoint_url=endpoint_url)
    _, index = build_manifests(
        run,
        register_path=run.path(REGISTER_NAME),
        build_urls=urls.build_many,
        items_per_manifest=1000,
        jobs_in_flight=4,
        skip_duplicate_urls=True,
    )
    removed = sum(row.items for row in plan.rows if row.reason == "removed")
    counts = {"listed": listing.objects, "planned": plan.to_register, "in_manifests": index.items}
    return counts | ({"removed": removed} if removed else {})


def write_known_ledger(endpoint_url: str, folder: str, ledger: str, new: int) -> None:
    """Write a ledger of the bucket as it was: without some that are new, with as many that are gone."""
    from cloud_sync.ledger import Ledger
    from cloud_sync.ledger_sql import copy_version
    from cloud_sync.objects.listing import list_objects
    from cloud_sync.objects.model import read_listing
    from cloud_sync.objects.stores import open_s3
    from cloud_sync.run_folder import RunFolder
    from cloud_sync.sql_engine import parquet, sql_engine

    run, now = RunFolder(folder), datetime.now(UTC)
    store = open_s3(BUCKET, endpoint_url=endpoint_url, access_key_id="bench", secret_access_key="bench")  # noqa: S106
    written = read_listing(run, list_objects(store, PREFIX, run).index)
    row = f"""
        SELECT
            key, '{endpoint_url}/{BUCKET}/' || key AS url, size_bytes, etag, last_modified, key AS item_key,
            'image' AS item_type, 'registered' AS state, 'm' AS manifest, 'job' AS upload_job_id,
            1::INTEGER AS attempts, NULL::VARCHAR AS failure_class, NULL::TIMESTAMPTZ AS first_failed_at,
            NULL::TIMESTAMPTZ AS last_failed_at, TIMESTAMPTZ '{now.isoformat()}' AS registered_at,
            NULL::INTEGER AS failed_runs
        FROM ({{objects}})
    """
    listed = f"FROM {parquet(written.parts)}"
    gone = f"SELECT * REPLACE (key || '.gone' AS key, etag || '-gone' AS etag) {listed} LIMIT {new}"
    version = row.format(objects=f"{listed} OFFSET {new}") + " UNION ALL " + row.format(objects=gone)
    with sql_engine(run.scratch()) as engine:
        known = Ledger(Path(ledger))
        known.replace(
            number=1,
            run_id="night before",
            url_base=endpoint_url,
            releases=None,
            write=lambda path: copy_version(engine, version, path),
        )


def write_ledger(folder: str, ledger: str) -> None:
    """Settle a run as if Encord had registered all of it."""
    from cloud_sync.ledger import Ledger, SettledManifest
    from cloud_sync.manifest.model import ITEMS_NAME, read_index
    from cloud_sync.run_folder import RunFolder

    run = RunFolder(folder)
    now = datetime.now(UTC)
    Ledger(Path(ledger)).commit(
        run_id="night before",
        url_base="bench",
        items_path=run.path(ITEMS_NAME),
        manifests=[SettledManifest(e.number, e.name, "job", now) for e in read_index(run).manifests],
        failures=[],
    )


def _integration() -> Any:
    from cloud_sync.integration import Integration

    return Integration.model_validate(
        {
            "name": "bench",
            "storage": {"provider": "s3", "connection_id": "bench", "bucket": BUCKET, "prefix": PREFIX},
            "target": {"connection_id": "bench", "dataset": "bench"},
            "select": {"exclude": ["*.tmp"]},
        }
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--objects", type=int, default=1_000_000)
    parser.add_argument("--new", type=int, default=1_000)
    parser.add_argument("--nights", type=int, nargs="+", metavar="OBJECTS", help="measure only nights")
    options = parser.parse_args()
    if options.nights:
        _nights(options.nights, options.new)
        return
    scratch = Path(tempfile.mkdtemp(prefix="bench-pipeline-"))
    try:
        measured = _measure(scratch, options.objects, options.new)
    finally:
        shutil.rmtree(scratch)
    first = measured[0].name
    print(table(measured, base=first))
    if options.objects == 1_000_000:
        print(f"\nTargets for all new: under {CPU_S_ALL_NEW} CPU s and {PEAK_MIB} MiB.")


def _nights(sizes: list[int], new: int) -> None:
    """Measure nights in buckets of several sizes, and print what they cost and how that grows."""
    measured = []
    for objects in sizes:
        scratch = Path(tempfile.mkdtemp(prefix="bench-pipeline-"))
        try:
            measured.append(_night(scratch, objects, new))
        finally:
            shutil.rmtree(scratch)
    print(table(measured, base=measured[0].name))
    for objects in sizes:
        if objects in NIGHT_TARGETS:
            cpu_s, peak_mb = NIGHT_TARGETS[objects]
            print(f"\nTarget for a night of {objects:,}: under {cpu_s} CPU s and {peak_mb} MB.")


def _night(scratch: Path, objects: int, new: int) -> Measurement:
    ledger, before = f"{scratch}/ledger", f"{scratch}/before"
    with running_responder(objects) as endpoint_url:
        case = "benchmarks.bench_pipeline:write_known_ledger"
        measure("ledger", case, endpoint_url=endpoint_url, folder=before, ledger=ledger, new=new)
        shutil.rmtree(before)
        night = measure(
            f"{objects:,} objects, {new:,} new, {new:,} gone",
            "benchmarks.bench_pipeline:list_plan_build",
            endpoint_url=endpoint_url,
            folder=f"{scratch}/night",
            ledger=ledger,
        )
    expected = {"listed": objects, "planned": new, "in_manifests": new, "removed": new}
    assert night.result == expected, night.result
    return night


def _measure(scratch: Path, objects: int, new: int) -> list[Measurement]:
    case = "benchmarks.bench_pipeline:list_plan_build"
    known, all_of_them = f"{scratch}/known", f"{scratch}/all"
    ledger = f"{scratch}/ledger"
    with running_responder(objects) as endpoint_url:
        all_new = measure(
            f"{objects:,} objects, all new", case, endpoint_url=endpoint_url, folder=all_of_them
        )
    # The responder's keys of a smaller bucket are not the first keys of a larger one, so the ledger is
    # made from the same listing, without its last objects.
    _leave_out_last(Path(all_of_them), new)
    measure("ledger", "benchmarks.bench_pipeline:write_ledger", folder=all_of_them, ledger=ledger)
    with running_responder(objects) as endpoint_url:
        night = measure(
            f"{objects:,} objects, {new:,} new",
            case,
            endpoint_url=endpoint_url,
            folder=known,
            ledger=ledger,
        )
    assert all_new.result == {"listed": objects, "planned": objects, "in_manifests": objects}, all_new.result
    assert night.result == {"listed": objects, "planned": new, "in_manifests": new}, night.result
    return [all_new, night]


def _leave_out_last(folder: Path, new: int) -> None:
    import pyarrow.parquet as pq

    items = pq.read_table(folder / "items.parquet")
    pq.write_table(items.slice(0, len(items) - new), folder / "items.parquet")


if __name__ == "__main__":
    main()
