"""What an alert says of a run or a task, and what it must not say."""

from __future__ import annotations

from typing import Any

import pytest

from cloud_sync.errors import ConfigError, EncordError
from cloud_sync.failures.alert import FAILED_TASKS, Alert, Place, clean, key_of, run_alert, task_alert

RUN_URL = "https://airflow.example.com/dags/sync__cameras/runs/night%201"
PLACE = Place("cameras", "Cameras", "sync__cameras", "night 1", RUN_URL)
CORRUPT = {
    "failure_class": "corrupt",
    "reason": "The object is empty.",
    "remedy": "Upload it again.",
    "count": 7,
    "quarantined": 7,
    "examples": [f"https://b/{n}.jpg" for n in range(5)],
}
TRANSIENT = {
    "failure_class": "transient",
    "reason": "It looks healthy.",
    "remedy": "Nothing.",
    "count": 2,
    "quarantined": 0,
    "examples": ["https://b/x.jpg"],
}


def a_report(**changes: Any) -> dict[str, Any]:
    """A report as `make_report` writes it, as far as an alert looks at it; of a run that failed entirely."""
    return {
        "integration": "cameras",
        "dag_id": "sync__cameras",
        "run_id": "night 1",
        "mode": "sync",
        "dataset": {"uuid": "6f1e", "title": "Cameras"},
        "verdict": "failed",
        "why": f"all {changes.get('failed', 9)} items that were sent failed.",
        "remedy": "See /state/failures.csv for the reason and the remedy of each.",
        "manifests": 1,
        "jobs": {"done": 1, "failed": 0, "cancelled": 0},
        "registered": 0,
        "already_registered": 3,
        "failed": 9,
        "failed_files": 9,
        "waiting": 0,
        "quarantined_files": 12,
        "newly_quarantined": 7,
        "failures_by_cause": [CORRUPT, TRANSIENT],
        "files": {"failures_csv": "/state/failures.csv"},
        **changes,
    }


def alert_of(**changes: Any) -> Alert:
    alert = run_alert(a_report(**changes), RUN_URL)
    assert alert is not None
    return alert


class TestRun:
    def test_a_failed_run_says_why_how_many_and_what_to_do(self):
        alert = alert_of()
        assert alert.event == "failed_run"
        assert alert.place == PLACE
        assert alert.headline == "sync__cameras failed: all 9 items that were sent failed."
        assert alert.remedy == "See /state/failures.csv for the reason and the remedy of each."
        assert alert.counts == {
            "registered": 0,
            "already_registered": 3,
            "failed": 9,
            "waiting": 0,
            "quarantined": 12,
            "newly_quarantined": 7,
        }
        assert [(cause.failure_class, cause.count) for cause in alert.causes] == [
            ("corrupt", 7),
            ("transient", 2),
        ]
        assert alert.causes[0].examples == tuple(CORRUPT["examples"])
        assert alert.failures_csv == "/state/failures.csv"
        assert len(set(alert.keys)) == 3

    def test_a_run_that_failed_by_its_tasks_has_the_cause_that_their_alerts_imply(self):
        alert = alert_of(waiting=5, failures_by_cause=[], failed_files=0)
        assert alert.keys == (FAILED_TASKS,) == task_alert(None, PLACE, "register").implied
        assert alert.failures_csv is None

    def test_a_refused_job_is_a_cause_of_its_own(self):
        alert = alert_of(why="1 upload job was refused, 0 cancelled.")
        assert FAILED_TASKS not in alert.keys
        assert "1 upload job was refused" in alert.headline

    def test_a_good_run_with_new_quarantined_files_names_these_only(self):
        alert = alert_of(verdict="ok_with_quarantine")
        assert alert.event == "quarantine"
        assert [cause.failure_class for cause in alert.causes] == ["corrupt"]
        assert alert.headline == ("sync__cameras: 7 files are quarantined now, until they change.")

    @pytest.mark.parametrize(
        "changes",
        [
            {"verdict": "ok", "failures_by_cause": []},
            {"verdict": "ok_with_quarantine", "failures_by_cause": []},
            {"verdict": "ok_with_quarantine", "failures_by_cause": [TRANSIENT]},
            {"mode": "plan"},
        ],
    )
    def test_nobody_is_told_of_a_run_that_needs_nobody(self, changes):
        assert run_alert(a_report(**changes), RUN_URL) is None

    def test_of_an_upload_every_failed_file_counts_since_nothing_tries_it_again(self):
        alert = alert_of(mode="upload", given={}, verdict="ok_with_quarantine", failures_by_cause=[TRANSIENT])
        assert alert.why == "2 files failed."

    def test_an_upload_has_no_quarantine_to_count(self):
        alert = alert_of(mode="upload", given={}, quarantined_files=None)
        assert list(alert.counts) == ["registered", "already_registered", "failed", "waiting"]

    def test_one_file_is_not_spoken_of_as_many(self):
        alert = alert_of(verdict="ok_with_quarantine", newly_quarantined=1)
        assert alert.why == "1 file is quarantined now, until it changes."

    def test_the_files_of_a_group_count_and_not_only_those_at_fault(self):
        one = {**CORRUPT, "count": 1, "quarantined": 1}
        alert = alert_of(verdict="ok_with_quarantine", failures_by_cause=[one], newly_quarantined=3)
        assert alert.why == "3 files are quarantined now, until they change."

    def test_nobody_is_told_that_a_url_is_quarantined_that_was_not_sent(self):
        unsent = {**CORRUPT, "quarantined": 0}
        report = a_report(verdict="ok_with_quarantine", failures_by_cause=[unsent], newly_quarantined=0)
        assert run_alert(report, RUN_URL) is None


class TestTask:
    def test_an_error_of_this_project_says_place_message_and_remedy(self):
        alert = task_alert(ConfigError("does not exist.", where="bucket b", remedy="Make it."), PLACE, "list")
        assert alert.headline == "sync__cameras, task list failed: bucket b: does not exist."
        assert alert.remedy == "Make it."
        assert (alert.event, alert.causes, alert.counts) == ("failed_task", (), {})

    def test_another_error_is_told_by_its_type_and_first_line(self):
        alert = task_alert(ValueError("\nno such\nsecond line"), PLACE, "plan")
        assert alert.why == "ValueError: no such"
        assert alert.remedy == "See the log of the task for all of it, then clear the task."

    @pytest.mark.parametrize(
        ("error", "why"),
        [
            ("killed by the scheduler", "killed by the scheduler"),
            (None, "its process ended without an error of its own."),
            ("", "it gave no reason."),
            (KeyError(), "KeyError"),
        ],
    )
    def test_there_is_always_a_reason(self, error, why):
        assert task_alert(error, PLACE, "plan").why == why

    def test_a_secret_is_masked_before_it_is_cut(self):
        error = ConfigError("x" * 395 + "canary", remedy="x" * 395 + "canary")
        alert = task_alert(error, PLACE, "list", mask=lambda text: text.replace("canary", "***"))
        assert "cana" not in f"{alert.why} {alert.remedy}"

    def test_errors_of_one_cause_have_one_key_whatever_they_number(self):
        errors = [
            EncordError(f"was refused after {n} tries (job 6f1e-{n}).", where=f"manifest {n}")
            for n in (1, 20)
        ]
        assert len({task_alert(error, PLACE, f"register [{error.where}]").keys for error in errors}) == 1

    def test_errors_of_two_causes_have_two_keys(self):
        errors = [EncordError("was refused."), ConfigError("was refused."), EncordError("was lost.")]
        assert len({task_alert(error, PLACE, "register").keys for error in errors}) == 3


class TestClean:
    @pytest.mark.parametrize(
        ("text", "cleaned"),
        [
            ("see https://b/a.jpg?X-Amz-Signature=abc now", "see https://b/a.jpg now"),
            ("url: /in/a.jpg?X-Amz-Signature=abc (Caused by", "url: /in/a.jpg (Caused by"),
            ("s3://b/a.jpg#part", "s3://b/a.jpg"),
            ("https://user:word@host:80/x", "https://host:80/x"),
            ("Is it there?", "Is it there?"),
            ("two\nlines\tand\x00more", "two lines and\x00more"),
            ("lone \ud800 half", "lone ? half"),
            ("x" * 20, "x" * 9 + "…"),
        ],
    )
    def test_text(self, text, cleaned):
        assert clean(text, 10 if text.startswith("xx") else 400) == cleaned

    def test_keys_hold_no_query_either(self):
        assert "secret" not in key_of("at https://b/a.jpg?token=secret")

    def test_everything_that_comes_from_outside_is_clean(self):
        signed = "https://me:canary@b/a.jpg?sig=canary"
        cause = CORRUPT | {"reason": f"Said {signed}", "remedy": signed, "examples": [signed] * 9}
        told = [
            alert_of(failures_by_cause=[cause], dataset={"title": signed}),
            task_alert(ConfigError(signed, where=signed, remedy=signed), PLACE, signed),
            task_alert(ValueError(signed), PLACE, signed),
        ]
        assert "canary" not in repr(told)
        assert len(told[0].causes[0].examples) == 5
