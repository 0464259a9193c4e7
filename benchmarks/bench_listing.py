"""What listing a bucket costs: Airflow's S3Hook, boto3, a bare obstore stream, and this project to Parquet.

    python -m benchmarks.bench_listing --objects 1000000

The server replays pages from memory (benchmarks/listing_responder.py), faster than every client; its own
speed is printed first. A second round has 80 ms a page, as from a real store; a third a folder for each key.
"""

from __future__ import annotations

import argparse
import http.client
import tempfile
import time
from typing import Any

from benchmarks.listing_responder import running_responder
from benchmarks.measure import Measurement, measure, table

BUCKET = "bench"
KEYS: dict[str, Any] = {"region": "us-east-1", "access_key_id": "bench", "secret_access_key": "bench"}
THIS = "benchmarks.bench_listing"
SLOW_MS = 80
BARE = "bare obstore Arrow stream"
OURS = "ours, to Parquet"


def with_s3_hook(endpoint_url: str, prefix: str) -> int:
    """List with the hook that Airflow users start from."""
    import os

    os.environ["AIRFLOW_CONN_BENCH"] = (
        f'{{"conn_type": "aws", "login": "bench", "password": "bench", '
        f'"extra": {{"endpoint_url": "{endpoint_url}", "region_name": "us-east-1"}}}}'
    )
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook

    return len(S3Hook("bench").list_keys(BUCKET, prefix=prefix))


def with_boto3(endpoint_url: str, prefix: str) -> int:
    """List with boto3's paginator, keeping the keys."""
    import boto3

    client = boto3.client(
        "s3",
        endpoint_url=endpoint_url,
        region_name=KEYS["region"],
        aws_access_key_id=KEYS["access_key_id"],
        aws_secret_access_key=KEYS["secret_access_key"],
    )
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
    return len([entry["Key"] for page in pages for entry in page.get("Contents", ())])


def with_bare_obstore(endpoint_url: str, prefix: str) -> int:
    """Count the rows of an Arrow stream and keep nothing."""
    from obstore.store import S3Store

    store = S3Store(BUCKET, endpoint=endpoint_url, client_options={"allow_http": True}, **KEYS)
    batches = store.list(prefix or None, chunk_size=1000, return_arrow=True)
    return sum(batch.num_rows for batch in batches)


def with_ours(endpoint_url: str, prefix: str, pages_in_flight: int) -> int:
    """List to Parquet files."""
    from cloud_sync.objects.listing import list_objects
    from cloud_sync.objects.stores import open_s3
    from cloud_sync.run_folder import RunFolder

    store = open_s3(BUCKET, endpoint_url=endpoint_url, **KEYS)
    with tempfile.TemporaryDirectory() as root:
        return list_objects(store, prefix, RunFolder(root), pages_in_flight=pages_in_flight).objects


def pages_per_second(endpoint_url: str, pages: int = 1000) -> float:
    """Ask for pages with a client that only receives."""
    connection = http.client.HTTPConnection(endpoint_url.removeprefix("http://"))
    started = time.perf_counter()
    for _ in range(pages):
        connection.request("GET", f"/{BUCKET}?list-type=2")
        connection.getresponse().read()
    return pages / (time.perf_counter() - started)


def fast_round(objects: int, repeats: int, checksums: bool) -> list[Measurement]:
    """Compare CPU and memory; the cheap cases run several times in turn, and the cheapest run counts."""
    with running_responder(objects, checksums=checksums) as url:
        print(f"A client that only reads gets {pages_per_second(url):,.0f} pages a second of the server.\n")
        cheap: dict[str, list[Measurement]] = {BARE: [], OURS: []}
        for _ in range(repeats):
            cheap[BARE].append(measure(BARE, f"{THIS}:with_bare_obstore", endpoint_url=url, prefix=""))
            cheap[OURS].append(
                measure(OURS, f"{THIS}:with_ours", endpoint_url=url, prefix="", pages_in_flight=32)
            )
        measured = [
            measure("S3Hook.list_keys", f"{THIS}:with_s3_hook", endpoint_url=url, prefix=""),
            measure("boto3 paginator", f"{THIS}:with_boto3", endpoint_url=url, prefix=""),
            *(min(runs, key=lambda run: run.cpu_s) for runs in cheap.values()),
        ]
    assert {each.result for each in measured} == {objects}, "a client lost keys"
    return measured


def slow_round(objects: int) -> list[Measurement]:
    """Compare wall time when every page takes 80 ms; boto3 lists a tenth, one of ten cameras."""
    with running_responder(objects, delay_ms=SLOW_MS) as url:
        return [
            measure(
                "boto3 paginator, a tenth", f"{THIS}:with_boto3", endpoint_url=url, prefix="raw/camera-00/"
            ),
            measure(
                "ours, 32 in flight, all",
                f"{THIS}:with_ours",
                endpoint_url=url,
                prefix="",
                pages_in_flight=32,
            ),
        ]


def folders_round(objects: int) -> list[Measurement]:
    """Show what it costs to look for the folders first, where each key has one of its own."""
    with running_responder(objects, in_each=1) as url:
        return [measure(OURS, f"{THIS}:with_ours", endpoint_url=url, prefix="raw/", pages_in_flight=32)]


def main() -> None:
    """Read the command line, measure, print Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--objects", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=3, help="runs of the two cheap cases")
    parser.add_argument("--checksums", action="store_true", help="objects with checksums: larger pages")
    options = parser.parse_args()
    measured = fast_round(options.objects, options.repeats, options.checksums)
    print(f"{options.objects:,} keys, server faster than the client:\n")
    print(table(measured, base="S3Hook.list_keys"))
    cpu_s = {each.name: each.cpu_s for each in measured}
    print(f"\nOurs costs {cpu_s[OURS] / cpu_s[BARE]:.2f} times the CPU of the bare stream.\n")
    print(f"{options.objects:,} keys, {SLOW_MS} ms a page:\n")
    print(table(slow_round(options.objects), base="boto3 paginator, a tenth"))
    print(f"\n{options.objects:,} keys, each in a folder of its own:\n")
    print(table(folders_round(options.objects), base=OURS))


if __name__ == "__main__":
    main()
