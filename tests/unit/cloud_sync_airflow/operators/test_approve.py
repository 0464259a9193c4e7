"""A plan above the limits waits for a person; what they say, or do not say, decides what the run does."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.standard.operators import hitl
from airflow.sdk.exceptions import AirflowSkipException, TaskAwaitingInput

from cloud_sync.errors import ConfigError, StorageError
from cloud_sync.failures.alert import FAILED_TASKS, run_alert
from cloud_sync.failures.verdict import RunFailed
from cloud_sync.integration import Integration
from cloud_sync.ledger import Ledger
from cloud_sync.run_folder import RunFolder, safe_name
from cloud_sync_airflow.assets import dataset_asset
from cloud_sync_airflow.factory import sync_dag
from cloud_sync_airflow.notifiers import dispatch
from cloud_sync_airflow.operators.approve import ApproveOperator
from cloud_sync_airflow.operators.build import BuildOperator
from cloud_sync_airflow.operators.list import ListOperator
from cloud_sync_airflow.operators.plan import PlanOperator
from cloud_sync_airflow.operators.settle import SettleOperator
from tests.unit.cloud_sync_airflow.operators.house import Bucket, House, state_folder
from tests.unit.failures.fakes import JPEG

AT = datetime(2026, 11, 22, 3, tzinfo=UTC)
TIMED_OUT = {"error": "The timeout has passed.", "error_type": "timeout"}


def answer(option: str) -> dict[str, Any]:
    return {
        "chosen_options": [option],
        "params_input": {},
        "responded_at": AT,
        "responded_by_user": {"id": "1", "name": "ann"},
    }


class Night:
    """A run of the house up to its plan, and the question asked for it."""

    def __init__(self, house: House, asked: list[dict[str, Any]], **params: Any) -> None:
        self.house, self.asked = house, asked
        self.context = house.context("night 1", **params)
        self.context["task_instance"] = SimpleNamespace(id="ti-1")
        self.context["ti"].task_id, self.context["ti"].try_number = "approve", 1
        listing = ListOperator(task_id="list", **house.settings).execute(self.context)
        self.plan = PlanOperator(task_id="plan", listing=listing, **house.settings).execute(self.context)
        self.task = ApproveOperator(
            task_id="approve", plan=self.plan, response_timeout=timedelta(hours=1), **house.settings
        )
        self.context["task"] = self.task

    def ask(self) -> None:
        self.task.execute(self.context)

    def hear(self, event: dict[str, Any]) -> None:
        """Give the answer to the question, which is asked first if it was not."""
        if not self.asked:
            with suppress(TaskAwaitingInput):
                self.ask()
        self.task.execute_complete(self.context, event)

    def plan_again(self, *more: str) -> None:
        """Clear list and plan, and only these, after more objects have come."""
        objects = self.house.bucket.contents.objects
        self.house.bucket = Bucket(objects | dict.fromkeys(more, JPEG))
        self.context["dag_run"].clear_number += 1
        listing = ListOperator(task_id="list", **self.house.settings).execute(self.context)
        self.plan = PlanOperator(task_id="plan", listing=listing, **self.house.settings).execute(self.context)
        self.task.plan = self.plan

    @property
    def folder(self) -> RunFolder:
        return RunFolder(state_folder() / "runs" / "cameras" / f"{safe_name('night 1')}")

    def build(self) -> list[int]:
        task = BuildOperator(task_id="build", plan=self.plan, **self.house.settings)
        return task.execute(self.context)

    def send(self) -> None:
        """Do all that lies between the answer and settle."""
        self.house.register(self.context, self.build())
        self.house.retry(self.context)

    def settle(self) -> dict[str, Any]:
        asset = dataset_asset(Integration.model_validate(self.house.settings["integration"]))
        task = SettleOperator(
            task_id="settle", rounds=self.house.rounds, outlets=[asset], **self.house.settings
        )
        return task.execute(self.context)

    @property
    def report(self) -> dict[str, Any]:
        return self.folder.read_json("report.json")


@pytest.fixture
def asked(monkeypatch) -> list[dict[str, Any]]:
    """The questions that Airflow was given."""
    questions: list[dict[str, Any]] = []
    monkeypatch.setattr(hitl, "upsert_hitl_detail", lambda **question: questions.append(question))
    return questions


@pytest.fixture
def night(house, asked) -> Night:
    house.options = {"approval": {"new_count": 2}}
    return Night(house, asked)


def test_a_plan_above_a_limit_waits_and_is_shown(night):
    with pytest.raises(TaskAwaitingInput) as waiting:
        night.ask()
    assert waiting.value.timeout == timedelta(hours=1)
    [question] = night.asked
    assert question["options"] == ["Approve", "Reject"]
    assert question["subject"] == "sync__cameras: approve the plan?"
    assert "new items: 6, and approval.new_count is 2" in question["body"]
    assert "`in/0.jpg`" in question["body"]
    assert "For the dataset `Cameras`, from `media/in/`." in question["body"]
    [run] = (state_folder() / "runs" / "cameras").iterdir()
    assert f"`{run}/plan.parquet`" in question["body"]
    assert (run / "plan.parquet").is_file()
    [until] = re.findall(r"by \*\*(.*) UTC\*\*", question["body"])
    left = datetime.fromisoformat(f"{until}+00:00") - datetime.now(UTC)
    assert timedelta(minutes=58) < left <= timedelta(hours=1)


def test_a_narrower_prefix_of_the_run_is_the_one_that_is_shown(house, asked):
    house.options = {"approval": {"new_count": 0}}
    with pytest.raises(TaskAwaitingInput):
        Night(house, asked, prefix="in/0").ask()
    assert "from `media/in/0`." in asked[0]["body"]


def test_a_plan_within_the_limits_passes(house, asked):
    house.options = {"approval": {"new_count": 6}}
    Night(house, asked).ask()
    assert asked == []


def test_nobody_is_asked_for_a_plan_that_is_not_carried_out(house, asked):
    house.options = {"approval": {"new_count": 0}}
    Night(house, asked, mode="plan").ask()
    assert asked == []


def test_an_approved_plan_goes_on(night):
    night.hear(answer("Approve"))
    with pytest.raises(RunFailed, match="never answered for"):  # build did not run here
        night.settle()
    assert night.report["approval"]["told"] == "approved by ann at 2026-11-22T03:00:00+00:00"


def test_a_refused_plan_ends_the_run_well_and_says_who_refused(night, caplog):
    with pytest.raises(AirflowSkipException, match=r"refused by ann .* Nothing was sent"):
        night.hear(answer("Reject"))
    with pytest.raises(AirflowSkipException, match="as it was"):
        night.settle()
    assert night.report["verdict"] == "ok"
    assert night.report["why"].startswith("the plan was refused by ann at 2026-11-22T03:00:00+00:00")
    assert "new items: 6, and approval.new_count is 2" in night.report["why"]
    assert (night.report["registered"], night.report["waiting"]) == (0, 0)
    assert not (state_folder() / "ledgers").exists()


@pytest.mark.parametrize(
    ("event", "told"),
    [
        (answer("Reject"), "refused by ann at 2026-11-22T03:00:00+00:00"),
        (TIMED_OUT, "not answered for in time"),
    ],
)
def test_the_log_ends_with_what_became_of_the_question(night, monkeypatch, event, told):
    said: list[str] = []
    log = SimpleNamespace(info=lambda *_: None, warning=lambda text, *of: said.append(text % of))
    monkeypatch.setattr(ApproveOperator, "log", log)
    with pytest.raises(AirflowSkipException) as skipped:
        night.hear(event)
    assert (
        said[-1]
        == str(skipped.value)
        == (
            f"The plan was {told}. Nothing was sent: the dataset is as it was. "
            "To be asked again, clear this task, or trigger a new run."
        )
    )


def test_a_plan_that_nobody_answers_for_fails_the_run_with_what_to_do(night):
    with pytest.raises(AirflowSkipException, match="not answered for in time"):
        night.hear(TIMED_OUT)
    with pytest.raises(RunFailed, match="not answered for in time") as failed:
        night.settle()
    assert "raise the limits under approval" in str(failed.value)
    assert night.report["verdict"] == "failed"


def test_asking_again_forgets_the_answer_before(night):
    with pytest.raises(AirflowSkipException):
        night.hear(answer("Reject"))
    with pytest.raises(TaskAwaitingInput):
        night.ask()
    with pytest.raises(ConfigError, match="not answered for yet, so it is not carried out"):
        night.build()
    with pytest.raises(RunFailed, match="not answered for yet"):
        night.settle()


def test_a_plan_that_was_not_approved_is_not_built_whatever_airflow_says_of_the_task(night):
    for event in (answer("Reject"), TIMED_OUT):
        with pytest.raises(AirflowSkipException):
            night.hear(event)
        with pytest.raises(ConfigError, match=r"not carried out\. .*Clear approve"):
            night.build()
    night.hear(answer("Approve"))
    assert night.build() == [0]


def test_what_was_within_the_limits_and_was_planned_anew_is_not_built_unasked(house, asked):
    house.options = {"approval": {"new_count": 8}}
    night = Night(house, asked)
    night.ask()
    assert night.build() == [0]
    night.plan_again("in/6.jpg", "in/7.jpg", "in/8.jpg")
    with pytest.raises(ConfigError, match=r"nobody has approved it as it is now \(new items: 9, .*Clear app"):
        night.build()
    night.hear(answer("Approve"))
    assert night.build() == [0]


def test_an_approval_holds_for_the_plan_that_was_shown_and_no_other(night):
    night.hear(answer("Approve"))
    night.plan_again()
    assert night.build() == [0]  # the same plan, made once more
    night.plan_again("in/9.jpg")
    with pytest.raises(ConfigError, match="nobody has approved it as it is now"):
        night.build()


def test_an_answer_that_comes_after_the_plan_was_made_anew_says_nothing_of_it(night):
    with pytest.raises(TaskAwaitingInput):
        night.ask()
    night.plan_again("in/9.jpg")
    with pytest.raises(ConfigError, match="not the one any more that was shown"):
        night.hear(answer("Approve"))
    with pytest.raises(ConfigError, match="nobody has approved it as it is now"):
        night.build()


def test_a_refusal_does_not_outlive_its_plan(house, asked):
    house.options = {"approval": {"new_count": 6}}
    night = Night(house, asked)
    night.plan_again("in/9.jpg")
    with pytest.raises(AirflowSkipException):
        night.hear(answer("Reject"))
    house.bucket = Bucket({k: v for k, v in house.bucket.contents.objects.items() if k != "in/9.jpg"})
    night.plan_again()
    assert night.build() == [0]


@pytest.mark.parametrize("name", ["register.parquet", "metadata.parquet", "unlink.parquet"])
def test_a_file_of_another_plan_is_not_carried_out(house, asked, name):
    house.options = {"approval": {"new_count": 8}}
    night = Night(house, asked)
    night.ask()
    night.folder.write(name, b"of an earlier try that lived on")
    with pytest.raises(StorageError, match=r"has changed since|of another plan"):
        night.build()


@pytest.mark.parametrize("has_settled", [False, True])
def test_what_was_sent_before_a_refusal_is_settled_as_ever(night, has_settled):
    night.house.encord.refuses = {"in/bad.jpg": 99}
    night.hear(answer("Approve"))
    night.send()
    if has_settled:
        night.settle()
    with pytest.raises(AirflowSkipException, match="What was done of it before stays"):
        night.hear(answer("Reject"))  # somebody cleared the task
    assert night.settle()["registered"] == 5
    said = night.report
    assert (said["verdict"], said["registered"], said["failed"]) == ("ok_with_quarantine", 5, 1)
    assert "refused by ann at 2026-11-22T03:00:00+00:00, after 6 items of it had been sent." in said["why"]
    assert "Of what was sent: 1 item failed" in said["why"]
    assert "nothing was sent" not in said["why"]
    assert "in/bad.jpg" in night.folder.read("failures.csv").decode()
    [ledger] = (state_folder() / "ledgers" / "cameras").iterdir()
    version = Ledger(ledger).current()
    assert version is not None
    assert version.counts["registered"] == 5


def test_what_was_sent_of_a_plan_that_nobody_answers_for_again_is_settled_and_the_run_fails(night):
    night.hear(answer("Approve"))
    night.house.register(night.context, night.build())
    with pytest.raises(AirflowSkipException):
        night.hear(TIMED_OUT)
    with pytest.raises(RunFailed, match="not answered for in time, after 6 items of it had been sent"):
        night.settle()
    assert (state_folder() / "ledgers").exists()


def test_what_was_built_and_never_sent_before_a_refusal_was_not_done(night):
    night.hear(answer("Approve"))
    night.build()
    with pytest.raises(AirflowSkipException):
        night.hear(answer("Reject"))
    with pytest.raises(AirflowSkipException, match="as it was"):
        night.settle()
    assert "so nothing was sent" in night.report["why"]


def test_an_expired_approval_is_told_also_after_a_failed_task(night):
    with pytest.raises(AirflowSkipException):
        night.hear(TIMED_OUT)
    with pytest.raises(RunFailed):
        night.settle()
    alert = run_alert(night.report, "http://airflow")
    assert alert is not None
    assert FAILED_TASKS not in alert.keys


def test_the_channels_are_told_once_of_each_question(night, monkeypatch, house):
    sent = []
    monkeypatch.setattr(dispatch, "send", lambda channel, alert, *_, **__: sent.append(alert))
    monkeypatch.setattr(dispatch, "load_notifier", lambda channel: None)
    house.options |= {"alerts": [{"slack": {"connection_id": "chat"}}]}
    night.task.integration = house.settings["integration"]
    for _ in range(2):
        with pytest.raises(TaskAwaitingInput):
            night.ask()
    night.context["ti"].try_number = 2  # somebody cleared the task
    with pytest.raises(TaskAwaitingInput):
        night.ask()
    alert, _ = sent
    assert alert.headline.startswith("sync__cameras waits for approval: new items: 6")
    assert re.search(r"Without an answer by 20.* UTC the run fails\.$", alert.remedy)
    assert alert.place.run_url.endswith("/runs/night%201/tasks/approve/required_actions")


def test_only_an_integration_with_limits_has_the_task(house):
    def dag() -> Any:
        return sync_dag(Integration.model_validate(house.settings["integration"]), Path("cameras.yaml"))

    assert "approve" not in dag().task_ids
    house.options = {"approval": {"new_count": 2, "wait": "2h"}}
    task = dag().get_task("approve")
    assert (task.upstream_task_ids, task.downstream_task_ids) == ({"plan"}, {"build"})
    assert task.response_timeout == timedelta(hours=2)
