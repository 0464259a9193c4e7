"""What is gone from the storage leaves the dataset only where the integration says so."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowSkipException

from cloud_sync.errors import ConfigError, EncordError
from cloud_sync.failures.verdict import RunFailed
from cloud_sync.planning.model import Answer, Decision, write_answer
from cloud_sync.registration import jobs
from cloud_sync_airflow.operators.unlink import UnlinkOperator
from cloud_sync_airflow.settings import state_folder
from tests.unit.cloud_sync_airflow.operators.house import Bucket, House
from tests.unit.failures.fakes import JPEG

UNLINK = {"changes": {"removed": "unlink"}, "approval": {"removed_count": 9}}
MOVED = "folder 'cloud-sync cameras removed'"


@pytest.fixture
def house(house: House, monkeypatch: pytest.MonkeyPatch) -> House:
    """A house of which everything good is registered; Encord's folder is the dataset's own.

    Its upload jobs end minutes apart, as those of nights do: the records hold whole seconds.
    """
    began = datetime.now(UTC) - timedelta(hours=2)
    minutes = count()
    monkeypatch.setattr(
        jobs, "now", lambda: (began + timedelta(minutes=next(minutes))).isoformat(timespec="seconds")
    )
    house.encord.is_backing_folder = True
    house.run("night 1")
    house.options = dict(UNLINK)
    return house


def take_away(house: House, *keys: str) -> None:
    house.bucket = Bucket({k: v for k, v in house.bucket.contents.objects.items() if k not in keys})


def report(house: House, run_id: str) -> dict[str, Any]:
    return json.loads((state_folder().root / "runs" / "cameras" / run_id / "report.json").read_text())


def removed(house: House, run_id: str) -> list[tuple[str, int]]:
    rows = report(house, run_id)["planned"]
    return [(row["action"], row["items"]) for row in rows if row["reason"] == "removed"]


def test_an_emptied_bucket_takes_nothing_away_by_default(house):
    house.options = {}
    house.bucket = Bucket({})
    assert house.run("night-2")["verdict"] == "ok"
    assert removed(house, "night-2") == [("report", 5)]
    house.bucket = Bucket({"in/0.jpg": JPEG})
    house.run("night-3")
    reasons = {row["reason"]: row["items"] for row in report(house, "night-3")["planned"]}
    assert reasons == {"registered": 1, "removed": 4}


def test_by_default_it_is_reported_in_each_run(house):
    house.options = {}
    take_away(house, "in/0.jpg")
    for run_id in ("night-2", "night-3"):
        house.run(run_id)
        assert removed(house, run_id) == [("report", 1)]
        assert report(house, run_id)["listed"]["objects"] == 6
    assert house.encord.moved == {}


def test_it_leaves_the_dataset_once(house):
    take_away(house, "in/0.jpg", "in/1.jpg")
    house.run("night-2")
    assert [where for where, _ in house.encord.moved.values()] == [MOVED, MOVED]
    said = report(house, "night-2")["unlinked"]
    assert (said["items"], said["absent"], said["folder"]) == (2, 0, "cloud-sync cameras removed")
    house.run("night-3")
    assert removed(house, "night-3") == []
    assert "unlinked" not in report(house, "night-3")


def test_an_object_that_comes_back_is_new(house):
    take_away(house, "in/0.jpg")
    house.run("night-2")
    house.bucket = Bucket({**house.bucket.contents.objects, "in/0.jpg": JPEG})
    assert house.run("night-3")["registered"] == 1
    assert removed(house, "night-3") == []
    take_away(house, "in/0.jpg")
    house.run("night-4")
    assert removed(house, "night-4") == [("unlink", 1)]


def test_a_run_that_settles_once_more_says_the_same(house):
    take_away(house, "in/0.jpg")
    house.run("night-2")
    house.run("night-2")
    house.run("night-3")
    assert removed(house, "night-3") == []


def test_a_run_that_could_not_unlink_has_failed_and_the_next_does_it(house):
    take_away(house, "in/0.jpg")
    house.encord.raises = {"move": [EncordError("is down.", transient=True)]}

    def fails(context: Any, plan: Any) -> None:
        with suppress(EncordError):
            UnlinkOperator(task_id="unlink", plan=plan, **house.settings).execute(context)

    works, house.unlink = house.unlink, fails  # type: ignore[method-assign]
    with pytest.raises(RunFailed, match="1 item whose objects are gone should have left the dataset"):
        house.run("night-2")
    house.unlink = works  # type: ignore[method-assign]
    house.run("night-3")
    assert len(house.encord.moved) == 1


def test_a_run_that_only_plans_changes_nothing(house):
    take_away(house, "in/0.jpg")
    with pytest.raises(AirflowSkipException, match="the dataset is as it was"):
        house.run("manual-1", mode="plan")
    assert house.encord.moved == {}
    assert report(house, "manual-1")["verdict"] != "failed"


def test_without_anything_gone_the_task_is_skipped(house):
    house.run("night-2")
    plans = [one for one in house.xcoms if isinstance(one, dict) and one.get("path") == "plan.json"]
    task = UnlinkOperator(task_id="unlink", plan=plans[-1], **house.settings)
    with pytest.raises(AirflowSkipException, match="No item has lost its objects"):
        task.execute(house.context("night-2"))


def test_a_plan_that_was_refused_is_not_carried_out_whatever_airflow_says(house):
    take_away(house, "in/0.jpg")
    house.unlink = lambda context, plan: None  # type: ignore[method-assign]
    with pytest.raises(RunFailed):
        house.run("night-2")
    plan = next(
        one for one in reversed(house.xcoms) if isinstance(one, dict) and one.get("path") == "plan.json"
    )
    folder = state_folder().below("runs/cameras/night-2")
    write_answer(
        folder, Answer(Decision.REFUSED, ("removed items: 1",), "admin", "2026-11-24T02:00:00+00:00")
    )
    task = UnlinkOperator(task_id="unlink", plan=plan, **house.settings)
    with pytest.raises(ConfigError, match="the plan was refused by admin"):
        task.execute(house.context("night-2"))
    assert house.encord.moved == {}
