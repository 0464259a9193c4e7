"""A sync without Airflow: the stages as their tasks run them, each to be run again in whatever process.

The result of a stage is kept in a file, as Airflow keeps it in an XCom. A stage that broke off has none, so
running the sync again goes on with it.
"""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from cloud_sync.errors import CloudSyncError
from cloud_sync.failures.failure_csv import CSV_NAME, write_failures
from cloud_sync.failures.report import RunFacts, make_report
from cloud_sync.failures.settle import SettleContext, settle
from cloud_sync.failures.verdict import check_verdict
from cloud_sync.integration import Integration
from cloud_sync.ledger import Ledger
from cloud_sync.manifest.build import build_manifests
from cloud_sync.manifest.model import SentItem, read_index
from cloud_sync.objects.listing import list_objects
from cloud_sync.objects.model import read_listing
from cloud_sync.objects.stores import open_s3
from cloud_sync.objects.urls import ObjectUrls, UrlStyle
from cloud_sync.planning.model import REGISTER_NAME, Sources, read_plan_rows
from cloud_sync.planning.plan import make_plan
from cloud_sync.registration.client import EncordClient
from cloud_sync.registration.connection import Timeouts
from cloud_sync.registration.folder import RENAMED_AT_MOST, find_items
from cloud_sync.registration.jobs import set_aside
from cloud_sync.registration.model import Target, read_target, write_target
from cloud_sync.registration.register import Registrar
from cloud_sync.registration.target import ensure_target_folder, folder_name, resolve_target
from cloud_sync.run_folder import FileRef, RunFolder

STAGES = ("list", "plan", "build", "register", "settle")
TRIES = 5
"""A task's tries with the retries that the DAG gives it."""
HOLD_S = 2.0
PAUSE_S = 0.2
FIRST_WAIT_S = 0.5


@dataclass(frozen=True)
class Sync:
    """One run of one integration; may be handed to another process.

    Attributes:
        root: Folder of run folders and ledgers.
        run_id: The run.
        dataset: Title of the dataset, and name of the integration.
        encord_integration: Title of the credential in Encord.
        domain: Where Encord is reached.
        private_key: The SSH key.
        store_url: Where the store is reached.
        url_endpoint: How the store is called in object URLs.
        login: Access key and secret.
        bucket: The bucket.
        prefix: The integration's prefix.
        items_per_manifest: As in the integration file.
        select: The section of the integration file.
    """

    root: Path
    run_id: str
    dataset: str
    encord_integration: str
    domain: str
    private_key: str
    store_url: str
    url_endpoint: str
    login: tuple[str, str]
    bucket: str
    prefix: str = ""
    items_per_manifest: int = 5
    select: dict[str, Any] = field(default_factory=dict)

    def __getstate__(self) -> dict[str, Any]:
        """Return what goes to another process: the fields, and no open connections."""
        return {one.name: getattr(self, one.name) for one in fields(self)}

    @property
    def folder(self) -> RunFolder:
        """The run folder."""
        return RunFolder(self.root / "runs" / self.run_id)

    @cached_property
    def integration(self) -> Integration:
        """The integration: images, and pairs of images as groups."""
        return Integration.model_validate(
            {
                "name": self.dataset,
                "storage": {"provider": "s3", "connection_id": "s3", "bucket": self.bucket},
                "target": {"connection_id": "encord", "dataset": self.dataset},
                "select": self.select,
                "groups": [
                    {
                        "type": "image_group",
                        "by": "folder",
                        "include": ["**/pair-*/"],
                        "complete": {"count": 2},
                    }
                ],
                "metadata": {"constants": {"source": "faults"}},
            }
        )

    @cached_property
    def urls(self) -> ObjectUrls:
        """How object URLs are built."""
        return ObjectUrls("s3", self.bucket, UrlStyle.PATH, endpoint_url=self.url_endpoint)

    @cached_property
    def client(self) -> Any:
        """The connection to Encord."""
        timeouts = Timeouts(connect_s=5, request_s=20, poll_s=10)
        return EncordClient(domain=self.domain, ssh_private_key=self.private_key, timeouts=timeouts)

    @cached_property
    def store(self) -> Any:
        """The bucket."""
        key_id, secret = self.login
        return open_s3(
            self.bucket, endpoint_url=self.store_url, access_key_id=key_id, secret_access_key=secret
        )

    @property
    def ledger(self) -> Ledger:
        """The ledger of the integration."""
        return Ledger(self.root / "ledgers" / self.dataset)

    def run(self, *stages: str) -> None:
        """Run these stages, or all; those that have ended before are left out."""
        for stage in stages or STAGES:
            if self.result(stage) is None:
                result = getattr(self, f"_{stage}")()
                self._results.write_json(f"{stage}.json", result)

    def run_with_tries(self, *stages: str) -> int:
        """Run stages as Airflow does: what may pass is tried again. Returns the number of tries needed.

        Raises:
            CloudSyncError: A stage failed for good, or in its last try.
        """
        tries = 0
        for stage in stages or STAGES:
            for left in reversed(range(TRIES)):
                tries += 1
                try:
                    self.run(stage)
                    break
                except CloudSyncError as error:
                    if not error.transient or not left:
                        raise
                    time.sleep(FIRST_WAIT_S * 2 ** (TRIES - 1 - left) + (error.retry_after_s or 0))
        return tries

    def result(self, stage: str) -> Any:
        """Return what a stage handed on; None before it ended."""
        name = f"{stage}.json"
        return self._results.read_json(name) if self._results.exists(name) else None

    def clear(self, *stages: str) -> None:
        """Have stages, or all, run again, as clearing their tasks does."""
        self._results.write_json("cleared.json", self._cleared + 1)
        for stage in stages or STAGES:
            self._results.path(f"{stage}.json").unlink(missing_ok=True)

    def failed_urls(self) -> set[str]:
        """Return the object URLs in the failure CSV."""
        with self.folder.path(CSV_NAME).open(newline="", encoding="utf-8") as file:
            return {row["object_url"] for row in csv.DictReader(file)}

    @property
    def report(self) -> dict[str, Any]:
        """The report of the run."""
        report: dict[str, Any] = self.folder.read_json("report.json")
        return report

    @property
    def _results(self) -> RunFolder:
        return RunFolder(self.root / "results" / self.run_id)

    @property
    def _cleared(self) -> int:
        """How often a person has cleared the run."""
        exists = self._results.exists("cleared.json")
        return int(self._results.read_json("cleared.json")) if exists else 0

    def _list(self) -> dict[str, Any]:
        self.store.check_access(self.prefix)
        attempt = f"cleared {self._cleared} times"
        return list_objects(self.store, self.prefix, self.folder, attempt=attempt).index.to_json()

    def _plan(self) -> dict[str, Any]:
        listing = read_listing(self.folder, FileRef.from_json(self.result("list")))
        target = resolve_target(
            self.client,
            dataset=self.dataset,
            encord_integration=self.encord_integration,
            folder=None,
            integration_name=self.dataset,
        )
        self.ledger.check_url_base(self.urls.base)
        plan = make_plan(
            self.folder,
            listing_parts=listing.parts,
            integration=self.integration,
            ledger=self.ledger.before(self.run_id),
            now=listing.listed_at,
            sources=Sources(lambda: self.store, self.ledger.files.root, self.root / "tables"),
        )
        write_target(self.folder, target)
        return plan.ref.to_json()

    def _build(self) -> dict[str, int]:
        plan = FileRef.from_json(self.result("plan"))
        self.folder.verified(plan)
        if plan.counts["to_register"]:
            target = ensure_target_folder(self.client, read_target(self.folder), folder_name(self.dataset))
            write_target(self.folder, target)
        _, index = build_manifests(
            self.folder,
            register_path=self.folder.path(REGISTER_NAME),
            build_urls=self.urls.build_many,
            items_per_manifest=self.items_per_manifest,
            jobs_in_flight=1,
            skip_duplicate_urls=True,
        )
        set_aside(self.folder, index.manifests)
        return {"shards": index.shards}

    def _register(self) -> dict[str, int]:
        registrar = Registrar(client=self.client, folder=self.folder, target=read_target(self.folder))
        manifests = read_index(self.folder).of_shard(0)
        for manifest in manifests:
            while not registrar.advance(manifest, hold_s=HOLD_S, resubmit_cancelled=True).status.final:
                time.sleep(PAUSE_S)
        return {"manifests": len(manifests)}

    def _settle(self) -> dict[str, str]:
        target = read_target(self.folder)
        settlement = settle(
            self.folder,
            context=SettleContext(
                run_id=self.run_id,
                integration=self.dataset,
                dataset=self.dataset,
                url_base=self.urls.base,
                parse_url=self.urls.parse,
            ),
            ledger=self.ledger,
            open_reader=lambda: self.store,
            encord_folder=_EncordFolder(self, target),
        )
        write_failures(self.folder, settlement.failures)
        report = make_report(self.folder, self._facts(target), settlement, self.integration.failures)
        check_verdict(report)
        return {"verdict": report["verdict"]}

    def _facts(self, target: Target) -> RunFacts:
        plan = read_plan_rows(self.folder)
        return RunFacts(
            integration=self.dataset,
            dag_id=f"sync__{self.dataset}",
            run_id=self.run_id,
            mode="sync",
            dataset={"uuid": target.dataset_uuid, "title": target.dataset_title},
            listed={"objects": sum(row.objects for row in plan), "total_bytes": 0},
            plan=plan,
            started_at="2026-11-22T02:00:00+00:00",
            finished_at="2026-11-22T02:01:00+00:00",
        )


@dataclass(frozen=True)
class _EncordFolder:
    """The target's folder, as settling needs it."""

    sync: Sync
    target: Target

    def find(self, items: Iterable[SentItem]) -> tuple[list[str], list[SentItem]]:
        if self.target.folder_uuid is None:
            return [], list(items)
        return find_items(self.sync.client, self.target.folder_uuid, items, renamed_at_most=RENAMED_AT_MOST)

    def link(self, item_uuids: Sequence[str]) -> None:
        if item_uuids and not self.target.is_backing_folder:
            self.sync.client.link_items(self.target.dataset_uuid, item_uuids)


def job_statuses(folder: RunFolder) -> dict[str, tuple[str, int]]:
    """Return status and submissions of each job record of a run folder."""
    records = {name: json.loads(folder.read(name)) for name in folder.names("jobs/*.json")}
    return {name: (record["status"], record["submissions"]) for name, record in records.items()}
