"""Retry rounds as tasks: what they send again, when, and what a cleared task does."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest
from airflow.sdk.exceptions import AirflowSkipException, TaskDeferred

from cloud_sync.failures import rounds
from cloud_sync.failures.verdict import RunFailed
from cloud_sync.manifest.model import read_index, read_rounds
from cloud_sync.registration.model import Trip
from cloud_sync.run_folder import RunFolder
from cloud_sync_airflow.operators import retry
from cloud_sync_airflow.operators.build import BuildOperator
from cloud_sync_airflow.operators.list import ListOperator
from cloud_sync_airflow.operators.plan import PlanOperator
from cloud_sync_airflow.operators.register import RegisterOperator
from cloud_sync_airflow.operators.retry import SelectOperator
from cloud_sync_airflow.operators.settle import SettleOperator
from cloud_sync_airflow.triggers.pause import PauseTrigger
from tests.unit.cloud_sync_airflow.operators.house import Bucket, House, state_folder
from tests.unit.failures.fakes import JPEG


class Night:
    """One run, stage by stage."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.context = house.context("night 1")

    def up_to_register(self) -> None:
        listing = ListOperator(task_id="list", **self.house.settings).execute(self.context)
        self.plan = PlanOperator(task_id="plan", listing=listing, **self.house.settings).execute(self.context)
        self.house.register(self.context, self.build())

    def build(self) -> list[int]:
        return BuildOperator(task_id="build", plan=self.plan, **self.house.settings).execute(self.context)

    def select(self, of_round: int = 1) -> list[int]:
        task = SelectOperator(task_id="select", of_round=of_round, **self.house.settings)
        return task.execute(self.context)

    def settle(self) -> dict[str, Any]:
        task = SettleOperator(task_id="settle", rounds=self.house.rounds, **self.house.settings)
        return task.execute(self.context)

    @property
    def folder(self) -> RunFolder:
        [path] = (state_folder() / "runs" / "cameras").iterdir()
        return RunFolder(path)


@pytest.fixture
def night(house) -> Night:
    """A run of five good files and a bad one, of which two good ones were refused once."""
    house.encord.refuses = {"1.jpg": 1, "2.jpg": 1}
    night = Night(house)
    night.up_to_register()
    return night


def test_what_failed_for_a_passing_reason_is_registered_in_the_same_run(house):
    house.encord.refuses = {"1.jpg": 1, "2.jpg": 2, "3.jpg": 9}
    result = house.run("night 1")
    assert (result["verdict"], result["registered"], result["failed"]) == ("ok_with_quarantine", 4, 2)
    assert [len(json.loads(each)["images"]) for each in house.encord.sent] == [6, 3, 2]
    [folder] = (state_folder() / "runs" / "cameras").iterdir()
    report = json.loads((folder / "report.json").read_text())
    assert report["retry_rounds"] == [
        {"number": 1, "sent": 3, "registered": 1},
        {"number": 2, "sent": 2, "registered": 1},
    ]
    rows = [json.loads(line) for line in (folder / "failures.jsonl").read_text().splitlines()]
    assert {row["title"]: row["attempts"] for row in rows} == {"3.jpg": 3, "bad.jpg": 1}
    assert ledger_states() == {
        **{f"in/{n}.jpg": "registered" for n in (0, 1, 2, 4)},
        "in/3.jpg": "failed",
        "in/bad.jpg": "quarantined",
    }


def ledger_states() -> dict[str, str]:
    folder = state_folder() / "ledgers" / "cameras" / "dataset-1"
    file = json.loads((folder / "current.json").read_text())["file"]
    return {row["key"]: row["state"] for row in pq.read_table(folder / file).to_pylist()}


def test_with_nothing_to_send_again_it_is_skipped_and_the_verdict_is_as_before(house):
    night = Night(house)
    night.up_to_register()
    with pytest.raises(AirflowSkipException, match="Nothing failed for a passing reason"):
        night.select()
    assert read_rounds(night.folder) == []
    assert night.settle()["verdict"] == "ok_with_quarantine"


@pytest.mark.parametrize(
    ("files", "items_per_manifest", "why"),
    [
        (120, 1000, "120 of the 120 items that this run sent failed although their files look healthy."),
        (6, 2, "6 of the first 6 items failed for one cause"),
    ],
)
@pytest.mark.parametrize("breaker", ["on", "off"])
def test_what_would_only_fail_again_is_left_to_the_next_run(house, files, items_per_manifest, why, breaker):
    stops = {} if breaker == "on" else {"stop_after_manifests": 0}
    house.options = {"upload": {"items_per_manifest": items_per_manifest, **stops}}
    house.bucket = Bucket({f"in/{n}.jpg": JPEG for n in range(files)})
    house.encord.refuses = {".jpg": files}
    night = Night(house)
    night.up_to_register()
    if breaker == "off":
        night.select()
        assert [index.items for index in read_rounds(night.folder)] == [files]
        return
    with pytest.raises(AirflowSkipException, match=why):
        night.select()
    assert read_rounds(night.folder) == []


def test_settings_of_a_running_run_may_know_fewer_rounds(house, night):
    with pytest.raises(AirflowSkipException, match="The settings of this run say 2 rounds"):
        night.select(3)


def test_selecting_again_gives_the_same_bytes(house, night):
    assert night.select() == [0]
    before = {name: night.folder.read(name) for name in night.folder.names("[mr]*/**/*")}
    assert len(before) == 5
    assert night.select() == [0]
    assert {name: night.folder.read(name) for name in night.folder.names("[mr]*/**/*")} == before


def test_a_round_that_was_sent_stays_as_it_is_and_is_not_waited_for_again(house, night, monkeypatch):
    house.register(night.context, night.select(), 1)
    [index] = read_rounds(night.folder)
    house.bucket.contents.objects["in/1.jpg"] = "missing"
    monkeypatch.setattr(SelectOperator, "_wait", lambda *_: pytest.fail("waited"))
    assert night.select() == [0]
    assert read_rounds(night.folder) == [index]
    assert len(house.encord.sent) == 2


def test_a_round_without_its_register_task_leaves_the_run_unanswered_for(night):
    night.select()
    with pytest.raises(RunFailed, match="2 items were never answered for"):
        night.settle()


class TestARoundThatDidNotRun:
    @pytest.mark.parametrize("ran", [0, 1])
    def test_fails_the_run(self, house, night, ran):
        house.encord.refuses = {"1.jpg": 1}
        for of_round in range(1, ran + 1):
            house.register(night.context, night.select(of_round), of_round)
        with pytest.raises(RunFailed, match=f"retry round {ran + 1} did not run: see its task") as caught:
            night.settle()
        assert f"retry_{ran + 1}.select" in caught.value.remedy
        assert night.folder.read_json("report.json")["verdict"] == "failed"

    def test_is_none_if_it_said_why_it_sends_nothing(self, house):
        house.options = {"failures": {"diagnosis_requests": 0}}
        house.encord.refuses = {"1.jpg": 1}
        night = Night(house)
        night.up_to_register()
        with pytest.raises(AirflowSkipException):
            night.select()
        assert "nothing to send again" in night.folder.read_json("retries/1/skipped.json")["why"]
        result = night.settle()
        assert (result["verdict"], result["failed"]) == ("ok_with_quarantine", 2)

    def test_is_one_though_an_earlier_try_of_it_said_so(self, night, monkeypatch):
        with monkeypatch.context() as patch:
            patch.setattr(rounds, "items_to_retry", lambda *_, **__: [])
            with pytest.raises(AirflowSkipException):
                night.select()
        monkeypatch.setattr(rounds, "items_to_retry", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            night.select()
        with pytest.raises(RunFailed, match="retry round 1 did not run"):
            night.settle()

    def test_is_none_if_nothing_failed_that_may_pass(self, house):
        night = Night(house)
        night.up_to_register()
        assert night.settle()["verdict"] == "ok_with_quarantine"

    @pytest.mark.parametrize("of_dag", [True, False])
    def test_is_none_without_rounds_in_the_dag_or_in_the_settings_of_the_run(self, house, of_dag):
        if not of_dag:
            house.options = {"retry": {"rounds": 0}}
        house.encord.refuses = {"1.jpg": 1}
        night = Night(house)
        night.up_to_register()
        task = SettleOperator(task_id="settle", rounds=0 if of_dag else 2, **house.settings)
        assert task.execute(night.context)["verdict"] == "ok_with_quarantine"

    def test_is_not_what_is_told_of_a_run_whose_register_tasks_failed(self, night):
        night.folder.path("outcomes/0000.json").unlink()
        with pytest.raises(RunFailed, match="6 items were never answered for"):
            night.settle()


def test_clearing_build_alone_keeps_what_the_rounds_have_sent(house, night):
    house.register(night.context, night.select(), 1)
    night.build()
    assert len(read_rounds(night.folder)) == 1
    assert night.folder.names("superseded/**/*") == []
    assert night.settle()["registered"] == 5


def test_clearing_register_alone_sends_nothing_again(house, night):
    house.register(night.context, night.select(), 1)
    house.register(night.context, [0])
    house.register(night.context, [0], 1)
    assert len(house.encord.sent) == 2


def test_a_run_that_lists_otherwise_when_cleared_sets_the_rounds_aside(house, night):
    house.register(night.context, night.select(), 1)
    house.bucket = Bucket({**house.bucket.contents.objects, "in/new.jpg": JPEG})
    night.up_to_register()
    assert read_rounds(night.folder) == []
    assert len(night.folder.names("superseded/jobs/0001-*")) == 1
    assert len(night.folder.names("superseded/outcomes/0001-*")) == 1
    with pytest.raises(AirflowSkipException):
        night.select()
    assert night.settle()["already_registered"] == 5


def test_a_run_that_stopped_and_lists_otherwise_when_cleared_sends_again(house, night):
    night.folder.write_json("breaker.json", asdict(Trip("Denied", "Denied", failed=6, sent=6, manifests=1)))
    house.bucket = Bucket({**house.bucket.contents.objects, "in/new.jpg": JPEG})
    night.up_to_register()
    assert len(house.encord.sent) == 2


def test_round_manifests_are_small_and_dealt_out_to_as_many_tasks_as_jobs_may_run(house):
    house.options = {
        "retry": {"rounds": 1, "first_wait": "0s", "items_per_manifest": 1},
        "upload": {"jobs_in_flight": 2},
    }
    house.encord.refuses = {f"{n}.jpg": 1 for n in range(5)}
    night = Night(house)
    night.up_to_register()
    assert night.select() == [0, 1]
    [index] = read_rounds(night.folder)
    assert [entry.number for entry in index.manifests] == [1, 2, 3, 4, 5]
    assert read_index(night.folder).manifests[0].number == 0


class TestWait:
    @pytest.fixture
    def wait_of(self, house, night, monkeypatch):
        slept: list[float] = []
        monkeypatch.setattr(retry, "time", SimpleNamespace(sleep=slept.append, time=time.time))

        def wait_of(wait_s: float) -> tuple[list[float], TaskDeferred | None]:
            monkeypatch.setattr(rounds, "round_wait_s", lambda *_, **__: wait_s)
            try:
                assert night.select() == [0]
            except TaskDeferred as deferred:
                return slept, deferred
            return slept, None

        return wait_of

    def test_a_short_one_is_slept_because_fast_resumes_can_fail(self, wait_of):
        assert wait_of(9.9) == ([9.9], None)

    def test_a_long_one_holds_no_worker(self, wait_of, night):
        before = time.time()
        slept, deferred = wait_of(10)
        assert slept == []
        assert isinstance(deferred.trigger, PauseTrigger), "which no clock that is moved makes longer"
        assert before + 10 <= deferred.trigger.until < before + 70
        assert deferred.trigger.pause_s == 10
        assert deferred.method_name == "resume"
        task = SelectOperator(task_id="select", of_round=1, **night.house.settings)
        assert task.resume(night.context, {"event": "over"}) == [0]

    def test_its_bounds_are_those_of_the_integration(self, house, monkeypatch):
        house.options = {"retry": {"first_wait": "2m", "longest_wait": "1h"}}
        house.encord.refuses = {"1.jpg": 1}
        night = Night(house)
        night.up_to_register()
        asked: list[Any] = []
        monkeypatch.setattr(rounds, "round_wait_s", lambda *args, **kw: asked.append((args, kw)) or 0)
        monkeypatch.setattr(retry, "time", SimpleNamespace(sleep=time.sleep, time=lambda: time.time() + 100))
        night.select()
        [(args, waits)] = asked
        assert args == (1,)
        assert (waits["first_wait_s"], waits["longest_wait_s"]) == (120, 3600)
        assert 100 <= waits["failed_s_ago"] < 160, "since the upload job ended, not since now"


def test_the_label_says_round_and_shard():
    task = RegisterOperator(task_id="register", shard=3, of_round=2)
    assert task.label == "round 2, shard 3"
