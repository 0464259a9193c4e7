"""What listing a bucket of Google Cloud Storage costs: GCSHook, a bare obstore stream, this project.

    python -m benchmarks.bench_gcs_listing --objects 1000000

The server replays pages from memory (benchmarks/gcs_responder.py). A second round has 80 ms a page.
"""

from __future__ import annotations

import argparse
import tempfile

from benchmarks.bench_listing import BARE, OURS, SLOW_MS
from benchmarks.listing_responder import running_responder
from benchmarks.measure import Measurement, measure, table

BUCKET = "bench"
THIS = "benchmarks.bench_gcs_listing"
HOOK = "GCSHook.list"


def with_gcs_hook(endpoint_url: str) -> int:
    """List with the hook that Airflow users start from."""
    import os

    os.environ["STORAGE_EMULATOR_HOST"] = endpoint_url
    os.environ["AIRFLOW_CONN_BENCH"] = (
        '{"conn_type": "google_cloud_platform", "extra": {"is_anonymous": true, "project": "bench"}}'
    )
    from airflow.providers.google.cloud.hooks.gcs import GCSHook

    return len(GCSHook("bench").list(BUCKET))


def with_bare_obstore(endpoint_url: str) -> int:
    """Count the rows of an Arrow stream and keep nothing."""
    from obstore.store import GCSStore

    store = GCSStore(
        BUCKET,
        base_url=endpoint_url,
        credential_provider=lambda: {"token": "bench", "expires_at": None},
        client_options={"allow_http": True},
    )
    return sum(batch.num_rows for batch in store.list(chunk_size=1000, return_arrow=True))


def with_ours(endpoint_url: str, pages_in_flight: int) -> int:
    """List to Parquet files."""
    from google.oauth2.credentials import Credentials

    from cloud_sync.objects.gcs import open_gcs
    from cloud_sync.objects.listing import list_objects
    from cloud_sync.run_folder import RunFolder

    store = open_gcs(BUCKET, credentials=Credentials("bench"), endpoint_url=endpoint_url)
    with tempfile.TemporaryDirectory() as root:
        return list_objects(store, "", RunFolder(root), pages_in_flight=pages_in_flight).objects


def fast_round(objects: int, repeats: int) -> list[Measurement]:
    """Compare CPU and memory; the cheap cases run several times in turn, and the cheapest run counts."""
    with running_responder(objects, api="gcs") as url:
        cheap: dict[str, list[Measurement]] = {BARE: [], OURS: []}
        for _ in range(repeats):
            cheap[BARE].append(measure(BARE, f"{THIS}:with_bare_obstore", endpoint_url=url))
            cheap[OURS].append(measure(OURS, f"{THIS}:with_ours", endpoint_url=url, pages_in_flight=32))
        measured = [
            measure(HOOK, f"{THIS}:with_gcs_hook", endpoint_url=url),
            *(min(runs, key=lambda run: run.cpu_s) for runs in cheap.values()),
        ]
    assert {each.result for each in measured} == {objects}, "a client lost keys"
    return measured


def slow_round(objects: int) -> list[Measurement]:
    """Show wall time when every page takes 80 ms."""
    with running_responder(objects, api="gcs", delay_ms=SLOW_MS) as url:
        measured = [measure("ours, 32 in flight", f"{THIS}:with_ours", endpoint_url=url, pages_in_flight=32)]
    assert measured[0].result == objects, "a client lost keys"
    return measured


def main() -> None:
    """Read the command line, measure, print Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--objects", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=3, help="runs of the two cheap cases")
    options = parser.parse_args()
    print(f"{options.objects:,} keys, server faster than the client:\n")
    print(table(fast_round(options.objects, options.repeats), base=HOOK))
    print(f"\n{options.objects:,} keys, {SLOW_MS} ms a page:\n")
    print(table(slow_round(options.objects), base="ours, 32 in flight"))


if __name__ == "__main__":
    main()
