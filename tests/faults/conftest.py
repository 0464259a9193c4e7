"""A store with good and bad objects, a dataset service, and for each test a sync with a dataset of its own.

Each test that takes a seed is run once for each round (`tests.fault_rounds`).
"""

from __future__ import annotations

import io
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.fault_rounds import once_a_seed
from tests.faults.proxy import FaultProxy, running_proxy
from tests.faults.sync import Sync, job_statuses
from tests.registered import Registered
from tests.servers import DatasetService, S3Server, running_dataset_service, running_s3

BUCKET = "faults"
GOOD = [f"camera-{number % 4}/{number:02}.jpg" for number in range(14)]
GOOD_GROUPS = [(f"rig/pair-{pair}/left.jpg", f"rig/pair-{pair}/right.jpg") for pair in range(2)]
BAD = ["bad/empty.jpg", "bad/text.jpg"]
BAD_GROUP = ("bad/pair-9/left.jpg", "bad/pair-9/right.jpg")

pytest_generate_tests = once_a_seed


def jpeg() -> bytes:
    """Return a small picture."""
    buffer = io.BytesIO()
    Image.effect_noise((48, 32), 60).save(buffer, "JPEG")
    return buffer.getvalue()


def bucket_contents() -> dict[str, bytes]:
    """Return what is in the bucket, by key."""
    picture = jpeg()
    good = [*GOOD, *(key for pair in GOOD_GROUPS for key in pair), BAD_GROUP[0]]
    bad = {"bad/empty.jpg": b"", "bad/text.jpg": b"I am no picture.", BAD_GROUP[1]: b"Neither am I."}
    return dict.fromkeys(good, picture) | bad


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A store that verifies signatures."""
    with running_s3(tmp_path_factory.mktemp("store"), [BUCKET]) as server:
        client = server.client()
        for key, body in bucket_contents().items():
            client.put_object(Bucket=BUCKET, Key=key, Body=body)
        yield server


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory, s3: S3Server) -> Iterator[DatasetService]:
    """A dataset service that reads from the store."""
    with running_dataset_service(tmp_path_factory.mktemp("service"), s3, [BUCKET]) as service:
        yield service


@dataclass(frozen=True)
class Bench:
    """Makes syncs and knows what has to become of them."""

    s3: S3Server
    service: DatasetService
    root: Path
    name: str

    def sync(self, *, backing_folder: bool = True, **changes: Any) -> Sync:
        """Make a dataset, and a sync into it."""
        dataset = f"{self.name}-{uuid.uuid4().hex[:8]}"
        self.service.client().create_dataset(dataset, 4, create_backing_folder=backing_folder)
        root = self.root / dataset
        plain: dict[str, Any] = {
            "root": root,
            "run_id": "night-1",
            "dataset": dataset,
            "encord_integration": self.service.encord_integration,
            "domain": self.service.url,
            "private_key": self.service.private_key,
            "store_url": self.s3.endpoint_url,
            "url_endpoint": self.s3.endpoint_url,
            "login": (self.s3.access_key_id, self.s3.secret_access_key),
            "bucket": BUCKET,
        }
        return Sync(**(plain | changes))

    def asking_much(self, store: FaultProxy, encord: FaultProxy) -> Sync:
        """Make a sync of many small manifests behind two proxies, which also links what it registers."""
        urls = {"domain": encord.url, "store_url": store.url}
        return self.sync(**urls, backing_folder=False, items_per_manifest=3)

    def check(self, sync: Sync) -> Registered:
        """Check that a sync that has settled lost nothing, registered nothing twice and has a verdict."""
        found = Registered.of(sync.folder, self.service)
        good = [*((key,) for key in GOOD), *GOOD_GROUPS]
        assert found.items == Counter(tuple(map(sync.urls.build, keys)) for keys in good)
        assert found.rows == len(good)
        assert sync.failed_urls() == {sync.urls.build(key) for key in (*BAD, BAD_GROUP[1])}
        assert sync.report["verdict"] == "ok_with_quarantine"
        version = sync.ledger.current()
        assert version is not None
        assert dict(version.counts) == {"registered": len(GOOD) + 4, "quarantined": 4}
        submissions = sum(number for _, number in job_statuses(sync.folder).values())
        manifests = sync.folder.names("manifests/0*.json")
        assert len(manifests) <= found.jobs <= submissions
        return found


@pytest.fixture
def bench(s3: S3Server, service: DatasetService, tmp_path: Path, request: pytest.FixtureRequest) -> Bench:
    """Makes syncs."""
    name = "".join(letter if letter.isalnum() else "-" for letter in request.node.name.lower())
    return Bench(s3, service, tmp_path, name.strip("-")[:40])


@dataclass(frozen=True)
class PlainSync:
    """A sync behind two proxies that did nothing to it.

    Attributes:
        tries: How many tries its stages needed.
        store: The proxy before the store.
        encord: The proxy before the dataset service.
    """

    tries: int
    store: FaultProxy
    encord: FaultProxy


@pytest.fixture(scope="session")
def plain_sync(s3: S3Server, service: DatasetService, tmp_path_factory: pytest.TempPathFactory) -> PlainSync:
    """What a sync costs if nothing goes wrong."""
    bench = Bench(s3, service, tmp_path_factory.mktemp("plain"), "plain")
    with running_proxy(s3.endpoint_url) as store, running_proxy(service.url) as encord:
        sync = bench.asking_much(store, encord)
        tries = sync.run_with_tries()
        bench.check(sync)
    return PlainSync(tries, store, encord)
