"""The project with one integration, a bucket and Encord, all in memory; runs its stages as Airflow would."""

from __future__ import annotations

import json
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from airflow.sdk.exceptions import AirflowSkipException

from cloud_sync.registration.model import DatasetRef
from cloud_sync_airflow import settings
from cloud_sync_airflow.assets import dataset_asset
from cloud_sync_airflow.operators.build import BuildOperator
from cloud_sync_airflow.operators.list import ListOperator
from cloud_sync_airflow.operators.list_shard import ListShardOperator
from cloud_sync_airflow.operators.plan import PlanOperator
from cloud_sync_airflow.operators.register import RegisterOperator
from cloud_sync_airflow.operators.retry import SelectOperator
from cloud_sync_airflow.operators.settle import SettleOperator
from cloud_sync_airflow.operators.survey import SurveyOperator
from cloud_sync_airflow.operators.unlink import UnlinkOperator
from tests.unit.failures.fakes import FakeStore as Contents
from tests.unit.objects.fake_store import FakeStore as Listed
from tests.unit.objects.fake_store import stored
from tests.unit.registration.fakes import FakeEncord
from tests.unit.registration.keys import ed25519_key
from tests.unit.tables import an_integration

S3_SECRET, S3_TOKEN = "canary-secret-0815", "canary-token-4711"
SIGNATURE = "canary-signature-2342"
SSH_KEY = ed25519_key()
CANARIES = [S3_SECRET, S3_TOKEN, SIGNATURE, *SSH_KEY.splitlines()[1:-1]]


def state_folder() -> Path:
    """Return the state folder, which is on a disk in most tests."""
    return settings.state_folder().root


class Bucket(Listed):
    """A bucket that can be listed and read."""

    def __init__(self, contents: dict[str, bytes]) -> None:
        super().__init__({key: len(content) for key, content in contents.items()})
        self.contents = Contents(contents)
        self.refusal: Exception | None = None

    def check_access(self, prefix: str = "") -> None:
        if self.refusal:
            raise self.refusal

    def head(self, key: str) -> Any:
        return stored(key, self.contents.head(key).size_bytes)  # as it is listed

    def read_range(self, key: str, start: int, length: int) -> bytes:
        return self.contents.read_range(key, start, length)

    def read_start(self, key: str, length: int) -> tuple[int, bytes]:
        return self.contents.read_start(key, length)

    def read_tail(self, key: str, length: int) -> bytes:
        return self.contents.read_tail(key, length)

    def is_listed(self, key: str) -> bool:
        return self.contents.is_listed(key)


class Encord(FakeEncord):
    """Encord with one dataset, whose backing folder is `folder-1`."""

    def find_dataset(self, title_or_hash: str) -> DatasetRef:
        return DatasetRef("dataset-1", title_or_hash, "folder-1")

    def find_encord_integration(self, title_or_uuid: str) -> tuple[str, str]:
        return "credential-1", title_or_uuid


@dataclass
class House:
    """The project with one integration, a bucket and Encord; runs its stages as Airflow would."""

    bucket: Bucket
    encord: Encord
    options: dict[str, Any] = field(default_factory=dict)
    storage: dict[str, Any] = field(default_factory=dict)
    listing_shards: int = 1
    xcoms: list[Any] = field(default_factory=list)

    def context(self, run_id: str, **params: Any) -> dict[str, Any]:
        started = datetime(2026, 11, 22, 2, tzinfo=UTC)
        form = {"mode": "sync", "prefix": None, "full_pass": False}
        return {
            "dag": SimpleNamespace(params=form),
            "dag_run": SimpleNamespace(
                run_id=run_id, dag_id="sync__cameras", start_date=started, clear_number=0, conf=params or None
            ),
            "params": form | params,
            "ti": SimpleNamespace(xcom_push=lambda key, value: self.xcoms.append(value)),
            "outlet_events": defaultdict(SimpleNamespace),
        }

    @property
    def settings(self) -> dict[str, Any]:
        target = {"connection_id": "encord_cameras", "dataset": "Cameras", "encord_integration": "S3"}
        storage: dict[str, Any] = {"provider": "s3", "connection_id": "aws_cameras", "bucket": "media"}
        storage |= {"prefix": "in/", "listing_shards": self.listing_shards} | self.storage
        options = {"retry": {"first_wait": "0s"}} | self.options
        integration = an_integration(storage=storage, target=target, **options)
        return {"integration": integration.model_dump(mode="json")}

    @property
    def rounds(self) -> int:
        """How many retry rounds the integration has."""
        return int(self.settings["integration"]["retry"]["rounds"])

    def run(self, run_id: str, **params: Any) -> dict[str, Any]:
        """Run all stages; returns what settle returned."""
        context = self.context(run_id, **params)
        listing = self.list(context)
        plan = self.keep(PlanOperator(task_id="plan", listing=listing, **self.settings).execute(context))
        changes = self.settings["integration"]["changes"]
        if leads := changes["changed"] == "register_again":
            self.unlink(context, plan)
        try:
            shards = self.keep(BuildOperator(task_id="build", plan=plan, **self.settings).execute(context))
        except AirflowSkipException:
            shards = []
        self.register(context, shards)
        self.retry(context)
        if changes["removed"] == "unlink" and not leads:
            self.unlink(context, plan)
        asset = dataset_asset(an_integration())
        settle = SettleOperator(task_id="settle", rounds=self.rounds, outlets=[asset], **self.settings)
        result = self.keep(settle.execute(context))
        self.keep(context["outlet_events"][asset].extra)
        return result

    def list(self, context: Any) -> Any:
        """List, in one task or in shards; returns what the plan stage is given."""
        if self.settings["integration"]["storage"]["listing_shards"] == 1:
            return self.keep(ListOperator(task_id="list", **self.settings).execute(context))
        survey = SurveyOperator(task_id="survey", **self.settings)
        return [self.list_shard(context, shard) for shard in self.keep(survey.execute(context))]

    def list_shard(self, context: Any, shard: int) -> Any:
        return self.keep(ListShardOperator(task_id="list", shard=shard, **self.settings).execute(context))

    def register(self, context: Any, shards: list[int], of_round: int = 0) -> None:
        for shard in shards:
            task = RegisterOperator(
                task_id="register", shard=shard, of_round=of_round, hold_s=0, **self.settings
            )
            self.keep(task.execute(context))

    def retry(self, context: Any) -> None:
        """Run the retry rounds, until there is nothing left to send again."""
        for of_round in range(1, self.rounds + 1):
            select = SelectOperator(task_id="select", of_round=of_round, **self.settings)
            try:
                shards = self.keep(select.execute(context))
            except AirflowSkipException:
                return
            self.register(context, shards, of_round)

    def unlink(self, context: Any, plan: Any) -> None:
        """Take out of the dataset what is gone or registered again; nothing if nothing is."""
        leads = self.settings["integration"]["changes"]["changed"] == "register_again"
        task = UnlinkOperator(task_id="unlink", plan=plan, leads=leads, **self.settings)
        with suppress(AirflowSkipException):
            self.keep(task.execute(context))

    def keep(self, value: Any) -> Any:
        """Remember an XCom, and pass it on as Airflow does: through JSON."""
        text = json.dumps(value)
        self.xcoms.append(value)
        return json.loads(text)
