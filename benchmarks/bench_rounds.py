"""What retry rounds add to a run in which one object of a hundred fails once for a passing reason.

    python -m benchmarks.bench_rounds [--objects 5000] [--tries 3]

List, plan, build, register, retry rounds and settle as the Airflow tasks do them, without Airflow and without
waits, against a SeaweedFS and the dataset service. The objects that fail are gone while the manifests are
registered the first time, and there again before the first round. Putting them there is not counted.
"""

from __future__ import annotations

import argparse
import io
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.servers import DatasetService, S3Server, running_dataset_service, running_s3

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cloud_sync.failures.settle import Settlement
    from cloud_sync.registration.client import EncordClient
    from cloud_sync.registration.model import Target
    from cloud_sync.run_folder import RunFolder

BUCKET = "bench"
REGION = "us-east-1"
ROUNDS = 2
JOBS_IN_FLIGHT = 4
ITEMS_PER_MANIFEST = 1000
FAILING_PER_HUNDRED = 1
MOST_ADDED = 0.3
HOLD_S = 20.0


@dataclass
class Clock:
    """Adds up the seconds of the stages, by stage."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def running(self, stage: str) -> Iterator[None]:
        """Count the time inside."""
        started = time.perf_counter()
        yield
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - started

    @property
    def total_s(self) -> float:
        """All stages together."""
        return sum(self.seconds.values())


@dataclass
class Bucket:
    """A bucket of pictures, some of which can be taken away and put back."""

    server: S3Server
    keys: Sequence[str]
    picture: bytes

    @property
    def failing(self) -> Sequence[str]:
        """The keys that fail at first."""
        return self.keys[:: 100 // FAILING_PER_HUNDRED]

    def put(self, keys: Sequence[str]) -> None:
        """Put pictures under these keys."""
        client = self.server.client()
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(lambda key: client.put_object(Bucket=BUCKET, Key=key, Body=self.picture), keys))

    def remove(self, keys: Sequence[str]) -> None:
        """Take these objects away."""
        client = self.server.client()
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(lambda key: client.delete_object(Bucket=BUCKET, Key=key), keys))

    def open(self) -> Any:
        """Open the store as the hooks do."""
        from cloud_sync.objects.stores import open_s3

        return open_s3(
            BUCKET,
            endpoint_url=self.server.endpoint_url,
            region=REGION,
            access_key_id=self.server.access_key_id,
            secret_access_key=self.server.secret_access_key,
        )


class Run:
    """One run into a dataset of its own."""

    def __init__(self, root: Path, name: str, bucket: Bucket, service: DatasetService) -> None:
        from cloud_sync.objects.urls import ObjectUrls, UrlStyle
        from cloud_sync.registration.client import EncordClient
        from cloud_sync.run_folder import RunFolder

        self.clock = Clock()
        self.bucket = bucket
        self.folder: RunFolder = RunFolder(root / name)
        self.root, self.name = root, name
        self.urls = ObjectUrls("s3", BUCKET, UrlStyle.PATH, endpoint_url=bucket.server.endpoint_url)
        service.client().create_dataset(name, 4, create_backing_folder=True)
        self.client: EncordClient = EncordClient(domain=service.url, ssh_private_key=service.private_key)
        self.target = self._target(service)

    def go(self, rounds: int) -> Settlement:
        """Run all stages."""
        with self.clock.running("list, plan, build"):
            shards = self._build()
        self.bucket.remove(self.bucket.failing)
        with self.clock.running("register"):
            self._register(shards)
        self.bucket.put(self.bucket.failing)
        with self.clock.running("rounds"):
            for of_round in range(1, rounds + 1):
                self._retry(of_round)
        with self.clock.running("settle"):
            return self._settle()

    def _build(self) -> int:
        from cloud_sync.integration import Integration
        from cloud_sync.manifest.build import build_manifests
        from cloud_sync.objects.listing import list_objects
        from cloud_sync.objects.model import read_listing
        from cloud_sync.planning.model import REGISTER_NAME
        from cloud_sync.planning.plan import make_plan

        listing = list_objects(self.bucket.open(), "", self.folder)
        written = read_listing(self.folder, listing.index)
        integration = {
            "name": self.name,
            "storage": {"provider": "s3", "connection_id": "bench", "bucket": BUCKET},
            "target": {"connection_id": "bench", "dataset": self.name},
        }
        make_plan(
            self.folder,
            listing_parts=written.parts,
            integration=Integration.model_validate(integration),
            ledger=None,
            now=written.listed_at,
        )
        _, index = build_manifests(
            self.folder,
            register_path=self.folder.path(REGISTER_NAME),
            build_urls=self.urls.build_many,
            items_per_manifest=ITEMS_PER_MANIFEST,
            jobs_in_flight=JOBS_IN_FLIGHT,
            skip_duplicate_urls=True,
        )
        return index.shards

    def _register(self, shards: int, of_round: int = 0) -> None:
        from cloud_sync.manifest.model import items_name, read_index
        from cloud_sync.registration.register import Registrar

        registrar = Registrar(self.client, self.folder, self.target, items_name=items_name(of_round))
        index = read_index(self.folder, of_round)

        def work(shard: int) -> None:
            for manifest in index.of_shard(shard):
                while not registrar.advance(manifest, hold_s=HOLD_S).status.final:
                    pass

        with ThreadPoolExecutor(max(shards, 1)) as pool:
            list(pool.map(work, range(shards)))

    def _retry(self, of_round: int) -> None:
        from cloud_sync.failures.rounds import items_to_retry
        from cloud_sync.integration import Retry
        from cloud_sync.manifest.rebuild import rebuild_manifests

        items = items_to_retry(
            self.folder,
            of_round=of_round,
            parse_url=self.urls.parse,
            open_reader=self.bucket.open,
            encord_folder=self,
        )
        if items:
            index = rebuild_manifests(
                self.folder,
                items,
                of_round=of_round,
                items_per_manifest=Retry().items_per_manifest,
                jobs_in_flight=JOBS_IN_FLIGHT,
            )
            self._register(index.shards, of_round)

    def _settle(self) -> Settlement:
        from cloud_sync.failures.settle import SettleContext, settle
        from cloud_sync.ledger import Ledger

        return settle(
            self.folder,
            context=SettleContext("night", self.name, self.name, self.urls.base, self.urls.parse),
            ledger=Ledger(self.root / f"ledger of {self.name}"),
            open_reader=self.bucket.open,
            encord_folder=self,
        )

    def _target(self, service: DatasetService) -> Target:
        from cloud_sync.registration.target import resolve_target

        return resolve_target(
            self.client,
            dataset=self.name,
            encord_integration=service.encord_integration,
            folder=None,
            integration_name=self.name,
        )

    def find(self, items: Any) -> Any:
        """Look into the target's folder, as settling asks for."""
        from cloud_sync.registration.folder import find_items

        return find_items(self.client, str(self.target.folder_uuid), items)

    def link(self, item_uuids: Sequence[str]) -> None:
        """Do nothing: what is in a backing folder is in the dataset."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--objects", type=int, default=5_000)
    parser.add_argument("--tries", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-rounds-") as scratch:
        without, with_rounds = _measure(Path(scratch), options.objects, options.tries)
    print("| case | list, plan, build s | register s | rounds s | settle s | wall s |")
    print("|---|---|---|---|---|---|")
    for name, clock in (("without rounds", without), (f"with {ROUNDS} rounds", with_rounds)):
        print(f"| {name} | {' | '.join(f'{s:.2f}' for s in clock.seconds.values())} | {clock.total_s:.2f} |")
    ratio = with_rounds.total_s / without.total_s
    added = with_rounds.seconds["rounds"] / (with_rounds.total_s - with_rounds.seconds["rounds"])
    print(f"\nWith rounds / without: {ratio:.2f} (the best of {options.tries} tries each).")
    print(f"The rounds add {added:.1%} to the stages of their own run; target: under {MOST_ADDED:.0%}.")


def _measure(scratch: Path, objects: int, tries: int) -> tuple[Clock, Clock]:
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (64, 48)).save(buffer, "JPEG")
    keys = [f"camera-{number % 10}/{number:07}.jpg" for number in range(objects)]
    with (
        running_s3(scratch / "store", [BUCKET]) as server,
        running_dataset_service(scratch / "service", server, [BUCKET]) as service,
    ):
        bucket = Bucket(server, keys, buffer.getvalue())
        bucket.put(keys)
        clocks: dict[int, list[Clock]] = {0: [], ROUNDS: []}
        for number in range(1 + tries):  # the first ones warm up, and do not count
            for rounds, of_case in clocks.items():
                run = Run(scratch, f"run-{number}-{rounds}", bucket, service)
                result = run.go(rounds)
                failed = 0 if rounds else len(bucket.failing)
                assert (result.registered, result.failed) == (objects - failed, failed), result.rounds
                if number:
                    of_case.append(run.clock)
    without, with_rounds = (min(each, key=lambda clock: clock.total_s) for each in clocks.values())
    return without, with_rounds


if __name__ == "__main__":
    main()
