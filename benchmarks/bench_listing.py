"""What listing a bucket costs: Airflow's hooks, other clients and tools, a bare obstore stream, and ours.

    python -m benchmarks.bench_listing --api s3 gcs azure --objects 1000000

The server replays pages from memory (benchmarks/listing_responder.py), faster than every client; its own
speed is printed first. A second round has 80 ms a page, as from a real store; a third, of S3, a folder for
each key. Who would take minutes lists a tenth, one of ten cameras, and is compared by the key.
"""

from __future__ import annotations

import argparse
import http.client
import time
from typing import Final

from benchmarks.listing_clients import BARE, BUCKET, CLIENTS, OURS, PAGES_IN_FLIGHT, Client, client_of
from benchmarks.listing_responder import APIS, running_responder
from benchmarks.measure import Measurement, measure, table

SLOW_MS: Final = 80
SECONDS_OF_SPEED: Final = 1.0
A_TENTH: Final = {"prefix": "raw/camera-00/"}
TOO_SLOW: Final = ("azure_hook",)
"""Who takes minutes even when the server is fast."""
WAITING: Final = {
    "s3": ("s3_boto3", "s3_s5cmd"),
    "gcs": ("gcs_hook",),
    "azure": ("azure_hook",),
}
"""Who waits for one page after another, so that a slow server makes minutes of it."""
REQUESTS: Final = {
    "s3": {"a page": f"/{BUCKET}?list-type=2"},
    "gcs": {
        "a page of all fields": f"/storage/v1/b/{BUCKET}/o",
        "one of the fields that ours asks for": f"/storage/v1/b/{BUCKET}/o?fields=some",
        "one of the XML API": f"/{BUCKET}?list-type=2",
    },
    "azure": {"a page": f"/bench/{BUCKET}?restype=container&comp=list"},
}
"""What to ask the server for to see how fast it is."""
AS_OURS: Final = {"s3": "a page", "gcs": "one of the fields that ours asks for", "azure": "a page"}
"""Which of these ours asks for."""


def make_ready(endpoint_url: str, api: str) -> None:
    """Ask for a page as ours does: the server makes pages of a kind when one of them is first asked for."""
    connection = http.client.HTTPConnection(endpoint_url.removeprefix("http://"))
    connection.request("GET", REQUESTS[api][AS_OURS[api]])
    connection.getresponse().read()


def keys_per_second(endpoint_url: str, target: str) -> float:
    """Ask for a page again and again with a client that only receives.

    The server makes some pages ready when they are first asked for, so this one is asked for before.
    """
    connection = http.client.HTTPConnection(endpoint_url.removeprefix("http://"))

    def ask() -> bytes:
        connection.request("GET", target)
        return connection.getresponse().read()

    page = ask()
    keys = max(page.count(mark) for mark in (b"<Key>", b"<Blob>", b'"name":'))
    pages, started = 0, time.perf_counter()
    while (seconds := time.perf_counter() - started) < SECONDS_OF_SPEED:
        ask()
        pages += 1
    return pages * keys / seconds


def fast_round(api: str, objects: int, repeats: int, checksums: bool) -> list[Measurement]:
    """Compare CPU and memory; cheap clients run several times in turn, and the cheapest run counts."""
    clients = CLIENTS[api]
    runs: dict[Client, list[Measurement]] = {client: [] for client in clients}
    with running_responder(objects, api=api, checksums=checksums) as url:
        for what, target in REQUESTS[api].items():
            print(
                f"Asking for {what}, who only reads gets {keys_per_second(url, target):,.0f} keys a second."
            )
        for again in range(repeats):
            for client in clients:
                if client.is_cheap or not again:
                    runs[client].append(_measured(client, url, objects, client.function in TOO_SLOW))
    return [min(runs[client], key=lambda run: run.cpu_s) for client in clients]


def slow_round(api: str, objects: int) -> list[Measurement]:
    """Compare wall time when every page takes 80 ms: who waits for each page, who walks folders, and ours."""
    with running_responder(objects, api=api, delay_ms=SLOW_MS) as url:
        make_ready(url, api)
        walking = measure(
            f"rclone lsf -R, {PAGES_IN_FLIGHT} checkers",
            client_of(api, f"{api}_rclone").case,
            endpoint_url=url,
            in_flight=PAGES_IN_FLIGHT,
        )
        assert walking.result == objects, "a client lost keys"
        return [
            *(_measured(client_of(api, function), url, objects, True) for function in WAITING[api]),
            walking,
            _measured(client_of(api, f"{api}_ours"), url, objects, False),
        ]


def folders_round(objects: int) -> list[Measurement]:
    """Show what it costs to look for the folders first, where each key has one of its own."""
    with running_responder(objects, in_each=1) as url:
        return [_measured(client_of("s3", "s3_ours"), url, objects, False)]


def _measured(client: Client, url: str, objects: int, is_tenth: bool) -> Measurement:
    name = f"{client.name}, a tenth" if is_tenth else client.name
    measured = measure(name, client.case, endpoint_url=url, **(A_TENTH if is_tenth else {}))
    assert measured.result == (objects // 10 if is_tenth else objects), f"{name} got {measured.result} keys"
    return measured


def print_fast_round(api: str, measured: list[Measurement]) -> None:
    """Print the table of a fast round, and how ours compares."""
    print()
    print(table(measured, base=measured[0].name, by_result=True))
    cpu_s = {each.name: each.cpu_s / each.result for each in measured}
    ours = cpu_s.pop(OURS)
    bare = cpu_s.pop(BARE)
    tool = min(list(cpu_s)[1:], key=lambda name: cpu_s[name])
    ratios = {name: f"{cpu_s[name] / ours:.1f} times that of ours" for name in (measured[0].name, tool)}
    print(f"\n{api}, CPU a key: " + ", ".join(f"{name} {ratio}" for name, ratio in ratios.items()) + ".")
    print(f"Ours costs {ours / bare:.2f} times the CPU of the bare stream.")


def main() -> None:
    """Read the command line, measure, print Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--api", nargs="+", choices=APIS, default=APIS, help="whose pages to list")
    parser.add_argument("--objects", type=int, default=1_000_000, help="a number that 200 divides")
    parser.add_argument("--repeats", type=int, default=3, help="runs of the cheap clients")
    parser.add_argument("--checksums", action="store_true", help="objects with checksums: larger pages (S3)")
    options = parser.parse_args()
    for api in options.api:
        print(f"\n{api}, {options.objects:,} keys, server faster than the client:\n", flush=True)
        print_fast_round(api, fast_round(api, options.objects, options.repeats, options.checksums))
        print(f"\n{api}, {options.objects:,} keys, {SLOW_MS} ms a page:\n", flush=True)
        print(table(slow_round(api, options.objects), base=OURS, by_result=True))
    if "s3" in options.api:
        print(f"\ns3, {options.objects:,} keys, each in a folder of its own:\n", flush=True)
        print(table(folders_round(options.objects), base=OURS))


if __name__ == "__main__":
    main()
