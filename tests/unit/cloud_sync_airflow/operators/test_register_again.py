"""What has changed is registered again: the old item leaves first, and whatever dies, one item is there."""

from __future__ import annotations

import csv
import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pyarrow.parquet as pq
import pytest
from airflow.sdk.exceptions import AirflowSkipException

from cloud_sync.errors import ConfigError, EncordError, StorageError
from cloud_sync.failures.verdict import RunFailed
from cloud_sync.ledger import Ledger
from cloud_sync.planning.model import Answer, Decision, write_answer
from cloud_sync.registration import jobs
from cloud_sync.registration.model import DatasetRef
from cloud_sync_airflow.operators.build import BuildOperator
from cloud_sync_airflow.operators.plan import PlanOperator
from cloud_sync_airflow.operators.settle import SettleOperator
from cloud_sync_airflow.operators.unlink import UnlinkOperator
from tests.unit.cloud_sync_airflow.operators.house import Bucket, Encord, House, state_folder
from tests.unit.failures.fakes import JPEG

AGAIN = {"changes": {"changed": "register_again"}, "approval": {"changed_count": 9}}
CHANGED = "in/0.jpg"
REMOVED = "folder 'cloud-sync cameras removed'"


class Shared(Encord):
    """Encord with a dataset that has no folder of its own."""

    def find_dataset(self, title_or_hash: str) -> DatasetRef:
        return DatasetRef("dataset-1", title_or_hash, None)

    def find_folder(self, name_or_uuid: str) -> str:
        return "folder-1"


@pytest.fixture(params=[True, False], ids=["own folder", "no folder"])
def house(request, house: House, monkeypatch: pytest.MonkeyPatch) -> House:
    """A house of which everything good is registered, and one object has changed since.

    What happens in it is minutes apart, as between nights: the records hold whole seconds.
    """
    began, minutes = datetime.now(UTC) - timedelta(hours=5), count()
    monkeypatch.setattr(
        jobs, "now", lambda: (began + timedelta(minutes=next(minutes))).isoformat(timespec="seconds")
    )
    house.encord = Encord() if request.param else Shared()
    house.encord.is_backing_folder = request.param
    house.run("night-1")
    house.options = dict(AGAIN)
    write(house, CHANGED, JPEG + b"more")
    return house


def write(house: House, key: str, content: bytes) -> None:
    house.bucket = Bucket({**house.bucket.contents.objects, key: content})


def items_of(house: House, key: str = CHANGED) -> list[str]:
    """The items of an object that are in the dataset."""
    encord = house.encord
    items = [uuid for uuid, item in encord.items.items() if (item.url or "").endswith(key)]
    return [uuid for uuid in items if encord.is_backing_folder or uuid in encord.linked]


def known(key: str = CHANGED) -> dict[str, Any]:
    version = Ledger(state_folder() / "ledgers" / "cameras" / "dataset-1").current()
    assert version is not None
    return next(row for row in pq.read_table(version.path).to_pylist() if row["key"] == key)


def report(run_id: str) -> dict[str, Any]:
    return json.loads((state_folder() / "runs" / "cameras" / run_id / "report.json").read_text())


class Stages:
    """The stages of a run one by one, as of a run that dies between two of them."""

    def __init__(self, house: House, run_id: str) -> None:
        self.house = house
        self.context = house.context(run_id)
        self.plan: Any = None

    def planned(self) -> Stages:
        listing = self.house.list(self.context)
        task = PlanOperator(task_id="plan", listing=listing, **self.house.settings)
        self.plan = task.execute(self.context)
        return self

    def unlink(self) -> dict[str, int]:
        task = UnlinkOperator(task_id="unlink", plan=self.plan, leads=True, **self.house.settings)
        return task.execute(self.context)

    def build(self) -> list[int]:
        return BuildOperator(task_id="build", plan=self.plan, **self.house.settings).execute(self.context)

    def register(self) -> None:
        self.house.register(self.context, self.build())

    def settle(self) -> dict[str, Any]:
        task = SettleOperator(task_id="settle", rounds=self.house.rounds, **self.house.settings)
        return task.execute(self.context)


def test_it_is_one_item_again_and_the_next_night_has_nothing_to_do(house):
    [old] = items_of(house)
    assert house.run("night-2")["registered"] == 1
    [new] = items_of(house)
    assert new != old
    assert {uuid: where for uuid, (where, _) in house.encord.moved.items()} == {old: REMOVED}
    row, url = known(), house.encord.files[new][0]
    assert (row["state"], row["size_bytes"], row["url"]) == ("registered", len(JPEG) + 4, url)
    assert (row["upload_job_id"], row["attempts"]) == (f"job-{len(house.encord.sent)}", 1)
    said = report("night-2")
    assert (said["unlinked"]["changed"], said["unlinked"]["changed_absent"]) == (1, 0)
    assert [one["reason"] for one in said["planned"] if one["action"] == "register"] == ["changed"]

    sent = len(house.encord.sent)
    for run_id in ("night-3", "night-2", "night-3"):  # and a run that is cleared from its first task
        house.run(run_id)
        assert (len(house.encord.sent), items_of(house)) == (sent, [new])
    assert known()["state"] == "registered"


def test_by_default_it_is_reported_in_each_run(house):
    house.options, before = {}, items_of(house)
    for run_id in ("night-2", "night-3"):
        house.run(run_id)
        assert [one["action"] for one in report(run_id)["planned"] if one["reason"] == "changed"] == [
            "report"
        ]
    assert (items_of(house), house.encord.moved) == (before, {})


def test_killed_between_unlink_and_register_the_next_try_registers_it(house):
    run = Stages(house, "night-2").planned()
    assert run.unlink() == {"items": 1, "absent": 0}
    assert (items_of(house), known()["state"]) == ([], "removed")
    assert run.unlink() == {"items": 1, "absent": 0}
    run.register()
    run.unlink()  # whoever clears it now does no harm
    run.settle()
    assert len(items_of(house)) == 1
    assert (known()["state"], known()["size_bytes"]) == ("registered", len(JPEG) + 4)


@pytest.mark.parametrize("settles", [True, False])
def test_killed_between_unlink_and_register_the_next_night_registers_it(house, settles):
    run = Stages(house, "night-2").planned()
    run.unlink()
    if settles:
        with pytest.raises(RunFailed, match="1 item was never answered for"):
            run.settle()
    house.run("night-3")
    assert len(items_of(house)) == 1
    assert (known()["state"], known()["size_bytes"]) == ("registered", len(JPEG) + 4)
    assert len(house.encord.moved) == 1


def test_killed_in_the_middle_and_planned_anew_it_is_registered_once(house):
    Stages(house, "night-2").planned().unlink()
    house.run("night-2")
    assert len(items_of(house)) == 1
    assert known()["state"] == "registered"


def test_what_was_registered_by_a_run_that_never_settled_stays(house):
    run = Stages(house, "night-2").planned()
    run.unlink()
    run.register()
    [new] = items_of(house)
    assert house.run("night-3")["already_registered"] > 0
    assert items_of(house) == [new]
    assert (known()["state"], known()["size_bytes"]) == ("registered", len(JPEG) + 4)


def test_killed_before_the_ledger_knows_the_next_try_tells_it(house, monkeypatch):
    run = Stages(house, "night-2").planned()
    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "mark_removed", lambda *args, **kwargs: (_ for _ in ()).throw(full()))
        with pytest.raises(StorageError):
            run.unlink()
    assert known()["state"] == "registered"
    run.unlink()
    assert known()["state"] == "removed"


def test_if_the_ledger_never_learned_of_it_the_next_night_registers_it_once(house, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "mark_removed", lambda *args, **kwargs: (_ for _ in ()).throw(full()))
        with suppress(StorageError):
            Stages(house, "night-2").planned().unlink()
    house.run("night-3")
    assert len(items_of(house)) == 1
    assert report("night-3")["unlinked"]["changed_absent"] == 1
    assert known()["state"] == "registered"


def test_an_earlier_run_that_settles_once_more_meanwhile_brings_nothing_back(house):
    run = Stages(house, "night-2").planned()
    run.unlink()
    house.options = {}
    Stages(house, "night-1").settle()
    house.options = dict(AGAIN)
    assert known()["state"] == "registered"
    with pytest.raises(RunFailed):
        run.settle()
    assert known()["state"] == "removed"


def test_a_run_that_had_settled_and_is_cleared_and_dies_says_what_has_left(house):
    house.run("night-2")
    write(house, "in/1.jpg", JPEG + b"later")
    write(house, "in/new.jpg", JPEG)
    cleared = Stages(house, "night-2").planned()
    assert cleared.unlink() == {"items": 1, "absent": 0}
    with suppress(RunFailed):
        cleared.settle()
    assert known("in/1.jpg")["state"] == "removed"
    cleared.register()
    cleared.settle()
    assert len(items_of(house, "in/1.jpg")) == len(items_of(house)) == 1
    row = known("in/1.jpg")
    assert (row["state"], row["attempts"], row["size_bytes"]) == ("registered", 1, len(JPEG) + 5)


def test_clocks_that_differ_between_workers_do_no_harm(house, monkeypatch):
    run = Stages(house, "night-2").planned()
    began = datetime.fromisoformat(jobs.now())
    run.unlink()
    monkeypatch.setattr(jobs, "now", began.isoformat)  # the worker that registers is behind
    run.register()
    for _ in range(2):
        run.settle()
        assert known()["state"] == "registered"


def full() -> StorageError:
    return StorageError("the disk is full.", transient=True)


def test_a_run_whose_unlink_failed_sends_nothing_of_it(house):
    before, sent = items_of(house), len(house.encord.sent)
    house.encord.raises = {"move": [EncordError("is down.", transient=True)]}
    run = Stages(house, "night-2").planned()
    with pytest.raises(EncordError):
        run.unlink()
    with pytest.raises(ConfigError, match="its old items have not left the dataset"):
        run.build()  # somebody marked the task as success
    with pytest.raises(RunFailed, match="1 item was never answered for"):
        run.settle()
    assert len(house.encord.sent) == sent
    assert known()["state"] == "registered"
    house.run("night-3")
    assert (len(items_of(house)), len(house.encord.moved)) == (1, 1)
    assert items_of(house) != before


def test_new_content_that_fails_is_quarantined_and_the_report_says_what_is_gone(house):
    house.options |= {"failures": {"fail_at_share": "100%"}}
    write(house, CHANGED, b"")
    write(house, "in/new.jpg", JPEG)
    house.encord.refuses = {CHANGED: 99}
    assert house.run("night-2")["failed"] == 1
    assert (items_of(house), known()["state"]) == ([], "quarantined")
    assert (known()["attempts"], known()["registered_at"]) == (1, None)
    said = report("night-2")
    assert said["failed_replaced"] == 1
    assert "1 item that was to be registered again has left the dataset." in said["why"]
    with (state_folder() / "runs" / "cameras" / "night-2" / "failures.csv").open(encoding="utf-8") as file:
        [row] = csv.DictReader(file)
    assert row["reason"].endswith(
        "The item that it was before the object changed has left the dataset; it is kept in the folder "
        "cloud-sync cameras removed."
    )
    house.run("night-2")
    assert known()["state"] == "quarantined"
    sent = len(house.encord.sent)
    house.run("night-3")
    assert (len(house.encord.sent), report("night-3")["verdict"]) == (sent, "ok_with_quarantine")

    house.encord.refuses = {}
    write(house, CHANGED, JPEG)
    house.run("night-4")
    assert len(items_of(house)) == 1
    assert len(house.encord.moved) == 1


def test_a_plan_that_was_refused_changes_nothing(house):
    before = items_of(house)
    run = Stages(house, "night-2").planned()
    at, digest = "2026-11-24T02:00:00+00:00", state_folder_of("night-2").digest("plan.json")
    answer = Answer(Decision.REFUSED, ("changed items: 1",), "admin", at, digest)
    write_answer(state_folder_of("night-2"), answer)
    for stage in (run.unlink, run.build):
        with pytest.raises(ConfigError, match="the plan was refused by admin"):
            stage()
    with pytest.raises(AirflowSkipException, match="The plan was refused"):
        run.settle()
    assert (items_of(house), house.encord.moved, known()["state"]) == (before, {}, "registered")


def test_a_plan_that_is_refused_after_its_items_have_left_is_settled(house):
    run = Stages(house, "night-2").planned()
    run.unlink()
    at, digest = "2026-11-24T02:00:00+00:00", state_folder_of("night-2").digest("plan.json")
    answer = Answer(Decision.REFUSED, ("changed items: 1",), "admin", at, digest)
    write_answer(state_folder_of("night-2"), answer)
    run.settle()
    assert known()["state"] == "removed"
    assert f"refused by admin at {at}, after 1 item had left the dataset." in report("night-2")["why"]


def state_folder_of(run_id: str) -> Any:
    from cloud_sync_airflow import settings

    return settings.state_folder().below(f"runs/cameras/{run_id}")


def test_a_run_that_only_plans_changes_nothing(house):
    before = items_of(house)
    with pytest.raises(AirflowSkipException, match="the dataset is as it was"):
        house.run("manual-1", mode="plan")
    assert (items_of(house), house.encord.moved) == (before, {})


def test_with_nothing_to_do_it_does_not_skip_the_stages_behind_it(house):
    house.run("night-2")
    run = Stages(house, "night-3").planned()
    assert run.unlink() == {"items": 0, "absent": 0}


def test_gone_and_changed_leave_in_one_run(house):
    house.options = {
        "changes": {"changed": "register_again", "removed": "unlink"},
        "approval": {"changed_count": 9, "removed_count": 9},
    }
    house.bucket = Bucket({k: v for k, v in house.bucket.contents.objects.items() if k != "in/1.jpg"})
    house.run("night-2")
    assert (len(items_of(house)), items_of(house, "in/1.jpg")) == (1, [])
    assert (known()["state"], known("in/1.jpg")["state"]) == ("registered", "removed")
    said = report("night-2")["unlinked"]
    assert (said["items"], said["absent"], said["changed"], said["changed_absent"]) == (1, 0, 1, 0)
