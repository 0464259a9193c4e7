"""An alert reaches each channel once for each cause, and what goes wrong with a channel stays there."""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import time
from typing import Any

import pytest

from cloud_sync.errors import ConfigError, EncordError
from cloud_sync.failures.alert import Alert, task_alert
from cloud_sync.integration import AlertChannel
from cloud_sync.run_folder import RunFolder
from cloud_sync_airflow.notifiers import dispatch as dispatching
from cloud_sync_airflow.notifiers.dispatch import dispatch
from tests.unit.failures.test_alert import PLACE, alert_of

SLACK = AlertChannel.model_validate({"slack": {"connection_id": "chat"}})
EMAIL = AlertChannel.model_validate({"email": {"connection_id": "mail", "to": ["a@example.com"]}})
RUNS_ONLY = AlertChannel.model_validate({"webhook": {"connection_id": "hook"}, "when": ["failed_run"]})
REFUSED = task_alert(EncordError("was refused."), PLACE, "register [a]")


class Outbox:
    """What was sent, and what sending does for each kind of channel."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, Alert]] = []
        self.troubles: dict[str, Any] = {}

    def send(self, channel: AlertChannel, alert: Alert, context: Any, *, timeout_s: float) -> None:
        trouble = self.troubles.get(channel.kind)
        if isinstance(trouble, Exception):
            raise trouble
        if trouble is not None:
            trouble.wait()
        self.sent.append((channel.kind, alert))

    @property
    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.sent]


@pytest.fixture
def outbox(monkeypatch) -> Outbox:
    outbox = Outbox()
    monkeypatch.setattr(dispatching, "send", outbox.send)
    monkeypatch.setattr(dispatching, "load_notifier", lambda channel: None)
    return outbox


@pytest.fixture
def folder(tmp_path) -> RunFolder:
    return RunFolder(tmp_path / "run")


def warnings(caplog) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


def test_each_channel_gets_the_events_that_it_wants(outbox, folder):
    dispatch(REFUSED, [SLACK, EMAIL, RUNS_ONLY], folder, {})
    assert sorted(outbox.kinds) == ["email", "slack"]


def test_a_cause_is_told_once_whichever_mapped_task_it_fails(outbox, folder):
    for label in "abc":
        dispatch(task_alert(EncordError("was refused."), PLACE, f"register [{label}]"), [SLACK], folder, {})
    dispatch(task_alert(EncordError("was lost."), PLACE, "register [d]"), [SLACK], folder, {})
    assert [alert.why for _, alert in outbox.sent] == ["was refused.", "was lost."]
    markers = [folder.read_json(name) for name in folder.names("alerts/*.json")]
    channel = "slack, connection chat"
    assert {"alert": REFUSED.headline, "channel": channel, "event": "failed_task"} in markers
    assert len(markers) == 3


def test_tasks_that_fail_at_one_time_tell_once(outbox, folder):
    threads = [threading.Thread(target=dispatch, args=(REFUSED, [SLACK], folder, {})) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outbox.kinds == ["slack"]


class TestProcessThatWasKilled:
    """It has claimed an alert, and nobody knows whether it sent it."""

    @pytest.fixture
    def claimed(self, outbox, folder, monkeypatch) -> RunFolder:
        with monkeypatch.context() as patched:
            patched.setattr(dispatching, "_start", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                dispatch(REFUSED, [SLACK], folder, {})
        assert len(folder.names("alerts/*.json")) == 2
        return folder

    @staticmethod
    def goes_by(folder: RunFolder, seconds: float) -> None:
        for name in folder.names("alerts/*.json"):
            long_ago = folder.path(name).stat().st_mtime - seconds
            os.utime(folder.path(name), (long_ago, long_ago))

    def test_it_may_still_send_for_a_while(self, outbox, claimed):
        self.goes_by(claimed, dispatching.CLAIM_LASTS_S - 10)
        dispatch(REFUSED, [SLACK], claimed, {})
        assert outbox.kinds == []

    @pytest.mark.parametrize("torn", [False, True])
    def test_then_the_next_that_fails_tells_once(self, outbox, claimed, torn):
        for name in claimed.names("alerts/*.json") if torn else []:
            claimed.path(name).write_bytes(b"")
        self.goes_by(claimed, dispatching.CLAIM_LASTS_S + 10)
        dispatch(REFUSED, [SLACK], claimed, {})
        self.goes_by(claimed, dispatching.CLAIM_LASTS_S + 10)
        dispatch(REFUSED, [SLACK], claimed, {})
        assert outbox.kinds == ["slack"]


class TestRunAfterItsTasks:
    FAILED = alert_of(waiting=5, failures_by_cause=[], failed_files=0)
    WITH_FILES = alert_of(waiting=5)

    def test_it_says_nothing_that_the_tasks_alert_has_said(self, outbox, folder):
        dispatch(REFUSED, [SLACK], folder, {})
        dispatch(self.FAILED, [SLACK], folder, {})
        assert [alert.event for _, alert in outbox.sent] == ["failed_task"]

    def test_it_tells_whom_the_task_did_not(self, outbox, folder):
        dispatch(REFUSED, [SLACK, RUNS_ONLY], folder, {})
        dispatch(self.FAILED, [SLACK, RUNS_ONLY], folder, {})
        assert outbox.kinds == ["slack", "webhook"]

    def test_it_tells_of_causes_that_are_new(self, outbox, folder):
        dispatch(REFUSED, [SLACK], folder, {})
        dispatch(self.WITH_FILES, [SLACK], folder, {})
        dispatch(self.WITH_FILES, [SLACK], folder, {})
        assert [alert.event for _, alert in outbox.sent] == ["failed_task", "failed_run"]

    def test_it_tells_when_no_alert_of_a_task_did(self, outbox, folder):
        dispatch(self.FAILED, [SLACK], folder, {})
        assert outbox.kinds == ["slack"]


class TestTrouble:
    def test_it_is_one_warning_and_the_other_channels_are_told(self, outbox, folder, caplog):
        outbox.troubles["email"] = OSError("refused by https://mail.example.com/?key=canary")
        dispatch(REFUSED, [EMAIL, SLACK], folder, {})
        assert outbox.kinds == ["slack"]
        assert warnings(caplog) == [
            "Alert was not sent: email, connection mail: OSError: refused by https://mail.example.com/ "
            "Check the connection mail by docs/alerts.md; the run is not affected."
        ]

    def test_an_error_of_this_project_brings_its_own_remedy(self, outbox, folder, caplog):
        error = ConfigError("does not exist.", where="connection mail", remedy="Add it.")
        outbox.troubles["email"] = error
        dispatch(REFUSED, [EMAIL], folder, {})
        assert warnings(caplog) == [f"Alert was not sent: email, connection mail: {error}"]

    def test_what_did_not_arrive_is_told_by_the_next_that_fails(self, outbox, folder):
        outbox.troubles["slack"] = OSError("away")
        dispatch(REFUSED, [SLACK], folder, {})
        assert folder.names("alerts/*") == []
        outbox.troubles.clear()
        dispatch(REFUSED, [SLACK], folder, {})
        assert outbox.kinds == ["slack"]

    def test_channels_that_do_not_answer_together_cost_one_time_limit(
        self, outbox, folder, caplog, monkeypatch
    ):
        monkeypatch.setattr(dispatching, "TIMEOUT_S", 0.2)
        never = threading.Event()
        outbox.troubles |= {"slack": never, "email": never}
        begun = time.monotonic()
        dispatch(alert_of(), [SLACK, EMAIL, RUNS_ONLY], folder, {})
        assert time.monotonic() - begun < 1
        assert outbox.kinds == ["webhook"]
        assert sum("TimeoutError: no answer within 0.2 s." in line for line in warnings(caplog)) == 2
        never.set()

    def test_a_provider_that_is_not_installed_is_named(self, folder, caplog, monkeypatch):
        monkeypatch.setitem(sys.modules, "airflow.providers.slack.notifications.slack_webhook", None)
        dispatch(REFUSED, [SLACK], folder, {})
        [line] = warnings(caplog)
        assert line.endswith("Install apache-airflow-providers-slack, as requirements.txt has it.")

    def test_markers_and_warnings_hold_no_masked_secret(self, outbox, folder, caplog):
        from airflow.sdk.log import mask_secret

        mask_secret("canary-of-alerts")
        outbox.troubles["email"] = OSError("x" * 385 + " canary-of-alerts")  # across the end of what is shown
        dispatch(task_alert(ValueError("bad canary-of-alerts"), PLACE, "list"), [EMAIL, SLACK], folder, {})
        told = [*warnings(caplog), *(json.dumps(folder.read_json(n)) for n in folder.names("alerts/*.json"))]
        assert len(told) == 3
        assert "canary" not in str(told)
