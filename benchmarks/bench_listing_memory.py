"""How memory and CPU of ours grow with the bucket: listed to Parquet, 32 pages in flight, 80 ms a page.

    python -m benchmarks.bench_listing_memory --api s3 gcs azure --objects 100000 1000000 10000000

The server holds every page in memory: up to 8 GB for ten million objects.
"""

from __future__ import annotations

import argparse
from typing import Final

from benchmarks.bench_listing import SLOW_MS, make_ready
from benchmarks.listing_clients import client_of
from benchmarks.listing_responder import APIS, running_responder
from benchmarks.measure import Measurement, measure, table

OBJECTS: Final = (100_000, 1_000_000, 10_000_000)
MOST_MIB: Final = 200e6 / (1 << 20)
"""The target, 200 MB."""


def listed(api: str, objects: int) -> Measurement:
    """List one bucket."""
    with running_responder(objects, api=api, delay_ms=SLOW_MS) as url:
        make_ready(url, api)
        measured = measure(f"{api}, {objects:,} keys", client_of(api, f"{api}_ours").case, endpoint_url=url)
    assert measured.result == objects, f"got {measured.result} keys"
    return measured


def main() -> None:
    """Read the command line, measure, print Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--api", nargs="+", choices=APIS, default=APIS, help="whose pages to list")
    parser.add_argument("--objects", nargs="+", type=int, default=OBJECTS, help="numbers that 200 divides")
    options = parser.parse_args()
    for api in options.api:
        measured = [listed(api, objects) for objects in sorted(options.objects)]
        print(f"\n{table(measured, base=measured[0].name, by_result=True)}\n", flush=True)
        largest = max(each.peak_mib for each in measured)
        said = "under" if largest < MOST_MIB else "NOT under"
        print(
            f"{api}: at most {largest:.0f} MiB, {said} the target of {MOST_MIB:.0f} MiB (200 MB).", flush=True
        )


if __name__ == "__main__":
    main()
