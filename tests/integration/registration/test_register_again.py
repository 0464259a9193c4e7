"""What has changed is registered again, by the real stages, SDK and servers; also after a kill."""

from __future__ import annotations

import io
import json
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from PIL import Image

from cloud_sync.errors import StorageError
from cloud_sync.ledger import Ledger
from cloud_sync.registration.unlink import removed_folder_name
from cloud_sync_airflow.operators.build import BuildOperator
from cloud_sync_airflow.operators.plan import PlanOperator
from cloud_sync_airflow.operators.register import RegisterOperator
from cloud_sync_airflow.operators.settle import SettleOperator
from cloud_sync_airflow.operators.unlink import UnlinkOperator
from tests.integration.registration.conftest import BUCKET, connect
from tests.unit.cloud_sync_airflow.operators.house import House
from tests.unit.tables import an_integration

HOLD_S = 20
FRAMES = ("rig/1.jpg", "rig/2.jpg")


@dataclass
class Site(House):
    """The project with a store and a dataset service; each stage may be called by hand, and twice."""

    bucket: Any = None
    encord: Any = None
    name: str = ""
    root: Path = Path()
    service: Any = None
    plans: dict[str, Any] = field(default_factory=dict)

    @property
    def settings(self) -> dict[str, Any]:
        integration = an_integration(
            name=self.name,
            storage={"provider": "s3", "connection_id": "aws_site", "bucket": BUCKET}
            | {"prefix": f"{self.name}/", "url_style": "path"},
            target={"connection_id": "encord_site", "dataset": self.name},
            groups=[
                {"type": "image_group", "by": "folder", "complete": {"count": 2}} | {"include": ["**/rig/"]}
            ],
            changes={"changed": "register_again"},
            approval={"changed_count": 9},
            retry={"rounds": 0},
        )
        return {"integration": integration.model_dump(mode="json")}

    def put(self, key: str, width: int = 48) -> None:
        picture = io.BytesIO()
        Image.effect_noise((width, 32), 60).save(picture, "JPEG")
        self.bucket.put_object(Bucket=BUCKET, Key=f"{self.name}/{key}", Body=picture.getvalue())

    def planned(self, run_id: str) -> None:
        context = self.context(run_id)
        task = PlanOperator(task_id="plan", listing=self.list(context), **self.settings)
        self.plans[run_id] = self.keep(task.execute(context))

    def unlinked(self, run_id: str) -> dict[str, int]:
        task = UnlinkOperator(task_id="unlink", plan=self.plans[run_id], leads=True, **self.settings)
        return task.execute(self.context(run_id))

    def registered(self, run_id: str) -> None:
        context = self.context(run_id)
        build = BuildOperator(task_id="build", plan=self.plans[run_id], **self.settings)
        for shard in build.execute(context):
            task = RegisterOperator(task_id="register", shard=shard, hold_s=HOLD_S, **self.settings)
            task.execute(context)

    def settled(self, run_id: str) -> dict[str, Any]:
        return SettleOperator(task_id="settle", **self.settings).execute(self.context(run_id))

    def night(self, run_id: str) -> dict[str, Any]:
        self.planned(run_id)
        self.unlinked(run_id)
        self.registered(run_id)
        return self.settled(run_id)

    def rows(self) -> dict[str, str]:
        """Title and item of each data row; a title that is there twice is an error."""
        dataset = self.encord.get_dataset(connect(self.service).find_dataset(self.name).uuid)
        rows = [(row.title, str(row.backing_item_uuid)) for row in dataset.list_data_rows()]
        assert len(dict(rows)) == len(rows)
        return dict(rows)

    def kept(self) -> list[str]:
        """The items in the folder of what has left."""
        client = connect(self.service)
        folder = client.find_folder(removed_folder_name(self.name))
        return [item.uuid for item in client.folder_items(folder)] if folder else []

    def known(self) -> dict[str, tuple[str, int]]:
        [folder] = (self.root / "ledgers" / self.name).iterdir()
        version = Ledger(folder).current()
        rows = pq.read_table(version.path).to_pylist() if version else []
        return {Path(row["key"]).name: (row["state"], row["size_bytes"]) for row in rows}


@pytest.fixture(params=[True, False], ids=["own folder", "no folder"])
def site(request, s3, service, tmp_path, monkeypatch) -> Site:
    """A site of which all is registered; then a single image and a frame of a group are written again."""
    monkeypatch.setenv("AIRFLOW__CLOUD_SYNC__STATE_FOLDER", str(tmp_path / "state"))
    aws = {"conn_type": "aws", "login": s3.access_key_id, "password": s3.secret_access_key}
    aws |= {"extra": {"endpoint_url": s3.endpoint_url, "region_name": "us-east-1"}}
    encord = {"conn_type": "encord", "host": service.url, "password": service.private_key}
    encord |= {"extra": {"encord_integration": service.encord_integration}}
    monkeypatch.setenv("AIRFLOW_CONN_AWS_SITE", json.dumps(aws))
    monkeypatch.setenv("AIRFLOW_CONN_ENCORD_SITE", json.dumps(encord))
    site = Site(
        bucket=s3.client(),
        encord=service.client(),
        name=f"again-{uuid.uuid4().hex[:8]}",
        root=tmp_path / "state",
        service=service,
    )
    site.encord.create_dataset(site.name, 4, create_backing_folder=request.param)
    for key in ("a.jpg", "b.jpg", *FRAMES):
        site.put(key)
    assert site.night("night-1")["registered"] == 3
    site.put("b.jpg", width=64)
    site.put(FRAMES[1], width=48)
    return site


def check_registered_once(site: Site, before: dict[str, str]) -> None:
    """Fail unless what has changed is there once and anew, and all else is as it was."""
    after = site.rows()
    assert after.keys() == before.keys()
    assert {title for title in after if after[title] == before[title]} == {"a.jpg"}
    assert sorted(site.kept()) == sorted(uuid for title, uuid in before.items() if title != "a.jpg")
    assert {state for state, _ in site.known().values()} == {"registered"}


def test_it_is_registered_once_and_a_rerun_changes_nothing(site):
    before = site.rows()
    assert site.night("night-2")["registered"] == 2
    check_registered_once(site, before)
    after, known = site.rows(), site.known()
    for run_id in ("night-2", "night-3"):
        site.night(run_id)
        site.unlinked(run_id)
        assert (site.rows(), site.known()) == (after, known)
    check_registered_once(site, before)


def test_killed_between_unlink_and_register_the_next_try_goes_on(site):
    before = site.rows()
    site.planned("night-2")
    for _ in range(2):
        assert site.unlinked("night-2") == {"items": 2, "absent": 0}
    assert set(site.rows()) == {"a.jpg"}
    for _ in range(2):
        site.registered("night-2")
        site.settled("night-2")
    check_registered_once(site, before)


def test_killed_between_unlink_and_register_the_next_night_registers_it(site):
    before = site.rows()
    site.planned("night-2")
    site.unlinked("night-2")
    assert sorted(state for state, _ in site.known().values()) == ["registered", *["removed"] * 3]
    assert site.night("night-3")["registered"] == 2
    check_registered_once(site, before)


def test_registered_by_a_run_that_never_settled_it_stays(site):
    before = site.rows()
    site.planned("night-2")
    site.unlinked("night-2")
    site.registered("night-2")
    after = site.rows()
    site.night("night-3")
    assert site.rows() == after
    check_registered_once(site, before)


def test_unlinked_without_the_ledger_knowing_it_is_registered_once(site, monkeypatch):
    before = site.rows()
    site.planned("night-2")

    def fails(*args: Any, **kwargs: Any) -> None:
        raise StorageError("the disk is full.", transient=True)

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "mark_removed", fails)
        with pytest.raises(StorageError):
            site.unlinked("night-2")
    site.night("night-3")
    check_registered_once(site, before)
