"""A sync whose store and Encord are in memory: only the disk is real, and the clock."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cloud_sync.manifest.model import SentItem
from cloud_sync.registration.model import JobState, UnitError
from tests.faults.conftest import BAD, BAD_GROUP, GOOD, GOOD_GROUPS, bucket_contents, jpeg
from tests.faults.sync import Sync
from tests.unit.cloud_sync_airflow.operators.house import Bucket, Encord

DATASET = "in-memory"
ENDPOINT = "https://store.example.com"


@dataclass
class ShyEncord(Encord):
    """Encord that has moods.

    Attributes:
        shy_of: What it does not register for the time being: items with a file whose URL holds this.
    """

    shy_of: str | None = None

    def _process(self, items: list[SentItem], ignore_errors: bool) -> JobState:
        shy = [item for item in items if self.shy_of and self.shy_of in item.object_urls[0]]
        state = super()._process([item for item in items if item not in shy], ignore_errors)
        errors = tuple(UnitError(item.object_urls, "busy", "unit-shy", "Processing") for item in shy)
        return replace(state, failed=state.failed + len(shy), unit_errors=state.unit_errors + errors)


@dataclass(frozen=True)
class MemorySync(Sync):
    """A run whose store and Encord are in memory. Runs of one `World` share them, and the ledger."""

    store: Any = None
    client: Any = None


@dataclass
class World:
    """A store and Encord, and what has to become of what is in the store.

    Attributes:
        root: Folder of run folders and ledgers.
    """

    root: Path
    bucket: Bucket = field(default_factory=lambda: Bucket(bucket_contents()))
    encord: ShyEncord = field(default_factory=ShyEncord)

    def sync(self, run_id: str = "night-1", **changes: Any) -> MemorySync:
        """Make a run."""
        return MemorySync(
            root=self.root,
            run_id=run_id,
            dataset=DATASET,
            encord_integration="S3",
            domain="",
            private_key="",
            store_url="",
            url_endpoint=ENDPOINT,
            login=("", ""),
            bucket="recordings",
            store=self.bucket,
            client=self.encord,
            **changes,
        )

    def add(self, key: str) -> None:
        """Put another good image into the store."""
        self.bucket.contents.objects[key] = jpeg()
        self.bucket.sizes = {**self.bucket.sizes, key: len(jpeg())}
        self.bucket.keys = sorted(self.bucket.sizes)

    def check_registered(self, sync: Sync) -> None:
        """Check that each good item is registered exactly once, and nothing else."""
        good = [*((key,) for key in GOOD), *GOOD_GROUPS]
        held = Counter(self.encord.files[uuid] for uuid in self.encord.items)
        assert held == Counter(tuple(map(sync.urls.build, keys)) for keys in good)

    def check(self, sync: Sync) -> None:
        """Check that a run that has settled lost nothing, registered nothing twice and has a verdict."""
        self.check_registered(sync)
        assert sync.failed_urls() == {sync.urls.build(key) for key in (*BAD, BAD_GROUP[1])}
        assert sync.report["verdict"] == "ok_with_quarantine"
        version = sync.ledger.current()
        assert version is not None
        assert dict(version.counts) == {"registered": len(GOOD) + 4, "quarantined": 4}
