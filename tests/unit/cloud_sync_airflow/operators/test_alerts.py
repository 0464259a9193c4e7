"""Alerts of the DAGs, with the tasks run by Airflow's own task runner."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock
from uuid import uuid4

import pytest
import structlog
from airflow.sdk import DAG
from airflow.sdk.api.datamodels._generated import DagRun, TIRunContext
from airflow.sdk.exceptions import AirflowSkipException
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
from airflow.sdk.log import mask_secret

from cloud_sync.errors import EncordError, StorageError
from cloud_sync.failures.alert import Alert
from cloud_sync.failures.verdict import RunFailed
from cloud_sync.integration import Integration, LoadedIntegrations
from cloud_sync_airflow.factory import sync_dag
from cloud_sync_airflow.notifiers import dispatch
from cloud_sync_airflow.notifiers.callbacks import alert_on_failure, alert_on_success, run_url
from cloud_sync_airflow.operators import check, choose
from cloud_sync_airflow.operators.settle import SettleOperator
from cloud_sync_airflow.retry_failures import retry_dag
from cloud_sync_airflow.upload import upload_dag
from tests.unit.cloud_sync_airflow.operators.house import Bucket, House, state_folder

CHANNELS = [
    {"slack": {"connection_id": "chat"}, "when": ["failed_run", "failed_task", "quarantine"]},
    {"email": {"connection_id": "mail", "to": ["a@example.com"]}},
]
STARTED = datetime(2026, 11, 22, 2, tzinfo=UTC)


@pytest.fixture
def told(house, monkeypatch) -> list[tuple[str, Alert]]:
    """What is sent, as (kind of channel, alert); the integration has two channels."""
    house.options = {"alerts": CHANNELS}
    sent: list[tuple[str, Alert]] = []
    monkeypatch.setattr(dispatch, "send", lambda channel, alert, *_, **__: sent.append((channel.kind, alert)))
    monkeypatch.setattr(dispatch, "load_notifier", lambda channel: None)
    return sent


def kinds(told: list[tuple[str, Alert]]) -> list[str]:
    return sorted(kind for kind, _ in told)


def integration_of(house: House) -> Integration:
    return Integration.model_validate(house.settings["integration"])


@pytest.fixture
def run_task(monkeypatch) -> Callable[..., str]:
    """Runs a task of a DAG as Airflow's task process does, callbacks included; returns its state."""
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", MagicMock(), raising=False)
    monkeypatch.setenv("AIRFLOW__CORE__HOSTNAME_CALLABLE", "platform.node")

    def run(dag: DAG, task_id: str, *, may_retry: bool = False, conf: dict[str, Any] | None = None) -> str:
        dag_run = DagRun(
            dag_id=dag.dag_id, run_id="night 1", logical_date=None, data_interval_start=None,
            data_interval_end=None, run_after=STARTED, start_date=STARTED, end_date=None, run_type="manual",
            state="running", conf=conf or {}, consumed_asset_events=[], partition_key=None,
        )  # fmt: skip
        ti = RuntimeTaskInstance.model_construct(
            id=uuid4(), dag_id=dag.dag_id, task_id=task_id, run_id="night 1", try_number=1, map_index=-1,
            task=dag.get_task(task_id), max_tries=4, start_date=STARTED, bundle_instance=None,
            _ti_context_from_server=TIRunContext(dag_run=dag_run, max_tries=4, should_retry=may_retry),
        )  # fmt: skip
        ti._ti_context_from_server = TIRunContext(dag_run=dag_run, max_tries=4, should_retry=may_retry)
        context, log = ti.get_template_context(), structlog.get_logger("task")
        state, _, error = task_runner.run(ti, context, log)
        context["exception"] = error
        task_runner.finalize(ti, state, context, log, error)
        return state.value

    return run


@pytest.fixture
def run_form(house, run_task) -> Callable[..., str]:
    """Runs the first stage of a DAG with a form in which the house's integration is chosen."""

    def run(make: Callable[..., DAG], task_id: str, form: dict[str, Any]) -> str:
        loaded = LoadedIntegrations(((Path("cameras.yaml"), integration_of(house)),), ())
        state: str = run_task(make(loaded, None), task_id, conf={"integration": "cameras", **form})
        return state

    return run


class TestTasks:
    def test_a_task_that_failed_for_good_is_told_to_every_channel_once(self, house, told, run_task):
        house.bucket.refusal = StorageError("refused access.", where="bucket b", remedy="Allow it.")
        dag = sync_dag(integration_of(house), Path("cameras.yaml"))
        assert run_task(dag, "list", may_retry=True) == "failed"
        assert kinds(told) == ["email", "slack"]
        _, alert = told[0]
        assert alert.headline == "sync__cameras, task list failed: bucket b: refused access."
        assert (alert.remedy, alert.place.dataset) == ("Allow it.", "Cameras")
        assert alert.place.run_url == "http://localhost:8080/dags/sync__cameras/runs/night%201"
        run_task(dag, "list")
        assert len(told) == 2

    def test_a_task_that_is_tried_again_is_not_told(self, house, told, run_task):
        house.bucket.refusal = StorageError("is busy.", transient=True)
        dag = sync_dag(integration_of(house), Path("cameras.yaml"))
        assert run_task(dag, "list", may_retry=True) == "up_for_retry"
        assert told == []
        assert run_task(dag, "list") == "failed"
        assert kinds(told) == ["email", "slack"]

    def test_a_task_that_succeeds_is_not_told(self, house, told, run_task):
        assert run_task(sync_dag(integration_of(house), Path("cameras.yaml")), "list") == "success"
        assert told == []

    def test_without_alerts_nothing_is_sent_or_written(self, house, told, run_task):
        house.options = {}
        house.bucket.refusal = StorageError("refused access.")
        assert run_task(sync_dag(integration_of(house), Path("cameras.yaml")), "list") == "failed"
        assert told == []
        assert list(state_folder().rglob("alerts")) == []

    def test_what_airflow_masks_is_masked_in_a_tasks_error(self, house, told, run_task):
        mask_secret("canary-of-a-task")
        house.bucket.refusal = ValueError(f"{'x' * 380} canary-of-a-task")  # across the end of what is shown
        assert run_task(sync_dag(integration_of(house), Path("cameras.yaml")), "list") == "failed"
        assert told[0][1].why.startswith("ValueError: xxx")
        assert "canary" not in repr(told)

    @pytest.mark.parametrize(
        "form",
        [
            (upload_dag, "check", {"manifest_text": '{"images": [{"objectUrl": "s3://media/in/1.jpg"}]}'}),
            (retry_dag, "choose", {"run_id": "night 1"}),
        ],
    )
    def test_a_run_by_form_is_told_to_those_of_the_chosen_integration(
        self, house, told, run_form, monkeypatch, form
    ):
        def refuse(integration: Integration) -> None:
            raise EncordError("refused the key.", where="encord_cameras")

        house.run("night 1")
        told.clear()
        for stage in (check, choose):
            monkeypatch.setattr(stage, "resolve", refuse)
        assert run_form(*form) == "failed"
        assert kinds(told) == ["email", "slack"]
        assert told[0][1].headline.endswith(f", task {form[1]} failed: encord_cameras: refused the key.")

    @pytest.mark.parametrize(
        "form",
        [
            (upload_dag, "check", {"manifest_text": "{"}),
            (upload_dag, "check", {"manifest_text": "{}", "manifest_path": "a.json"}),
            (upload_dag, "check", {"manifest_path": "/etc/passwd"}),
            (retry_dag, "choose", {"run_id": "night 9"}),
            (retry_dag, "choose", {}),
            (retry_dag, "choose", {"failures_path": "../list.csv"}),
        ],
    )
    def test_what_is_wrong_in_a_form_is_seen_by_who_filled_it_in_and_told_to_nobody(
        self, told, run_form, monkeypatch, tmp_path, form
    ):
        monkeypatch.setenv("AIRFLOW__CLOUD_SYNC__MANIFESTS_FOLDER", str(tmp_path))
        assert run_form(*form) == "failed"
        assert told == []

    def test_a_narrower_prefix_that_is_none_is_told_to_nobody(self, house, told, run_task):
        dag = sync_dag(integration_of(house), Path("cameras.yaml"))
        assert run_task(dag, "list", conf={"prefix": "out/"}) == "failed"
        assert told == []

    def test_a_mapped_task_that_failed_before_it_began_is_told_by_its_index(self, house, told):
        """So does the DAG processor call it for a task whose process was lost: without an error."""
        task = sync_dag(integration_of(house), Path("cameras.yaml")).get_task("register")
        ti = SimpleNamespace(task_id="register", map_index=3)
        alert_on_failure({**house.context("night 1"), "task": task, "ti": ti})
        _, alert = told[0]
        assert alert.headline == (
            "sync__cameras, task register [3] failed: its process ended without an error of its own."
        )

    def test_a_mapped_task_is_told_by_its_label(self, house, told):
        task = sync_dag(integration_of(house), Path("cameras.yaml")).get_task("register")
        ti = SimpleNamespace(task_id="register", map_index=3, rendered_map_index="manifests 4 to 6")
        alert_on_failure({**house.context("night 1"), "task": task, "ti": ti})
        assert told[0][1].task == "register [manifests 4 to 6]"


class TestRuns:
    def settled(self, house: House, run_id: str, **context: Any) -> dict[str, Any]:
        task = SettleOperator(task_id="settle", **house.settings)
        ti = SimpleNamespace(task_id="settle", map_index=-1)
        return {**house.context(run_id), "task": task, "ti": ti, **context}

    def test_a_failed_verdict_is_told_from_the_report(self, house, told):
        house.bucket = Bucket({"in/bad.jpg": b""})
        with pytest.raises(RunFailed) as caught:
            house.run("night 1")
        alert_on_failure(self.settled(house, "night 1", exception=caught.value))
        assert kinds(told) == ["email", "slack"]
        _, alert = told[0]
        assert alert.headline == "sync__cameras failed: the only item that was sent failed."
        assert [(cause.failure_class, cause.count) for cause in alert.causes] == [("corrupt", 1)]
        assert alert.causes[0].examples[0].endswith("/in/bad.jpg")

    def test_new_quarantined_files_of_a_good_run_are_told_to_who_wants_to_know(self, house, told):
        house.run("night 1")
        alert_on_success(self.settled(house, "night 1"))
        assert kinds(told) == ["slack"]
        assert told[0][1].why == "1 file is quarantined now, until it changes."

    def test_quarantined_files_are_told_once_and_not_every_night(self, house, told):
        house.run("night 1")
        house.run("night 2")
        alert_on_success(self.settled(house, "night 2"))
        assert told == []

    def test_a_settle_that_fails_otherwise_is_a_failed_task(self, house, told):
        house.run("night 1")
        alert_on_failure(self.settled(house, "night 1", exception=StorageError("disk is full.")))
        assert told[0][1].event == "failed_task"

    def test_a_plan_is_not_told(self, house, told):
        with pytest.raises(AirflowSkipException):
            house.run("night 1", mode="plan")
        alert_on_success(self.settled(house, "night 1"))
        assert told == []


class TestTrouble:
    @pytest.mark.parametrize("callback", [alert_on_failure, alert_on_success])
    def test_no_trouble_with_an_alert_leaves_the_callback(self, callback, caplog):
        caplog.set_level(logging.WARNING)
        callback({})
        [line] = [record.getMessage() for record in caplog.records]
        assert line == "No alert was sent: KeyError: 'task' Look at the run itself; it is not affected."

    def test_a_state_folder_that_is_gone_hides_no_failure(self, house, told, run_task, monkeypatch, tmp_path):
        (tmp_path / "file").write_text("")
        monkeypatch.setenv("AIRFLOW__CLOUD_SYNC__STATE_FOLDER", str(tmp_path / "file" / "state"))
        assert run_task(sync_dag(integration_of(house), Path("cameras.yaml")), "list") == "failed"
        assert kinds(told) == ["email", "slack"]


def test_the_address_of_a_run_is_that_of_the_configured_server(monkeypatch):
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example.com/at/")
    assert run_url("sync__a", "scheduled__2026-11-22T02:00:00+00:00/x?y") == (
        "https://airflow.example.com/at/dags/sync__a/runs/"
        "scheduled__2026-11-22T02%3A00%3A00%2B00%3A00%2Fx%3Fy"
    )
