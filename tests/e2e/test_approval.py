"""Plans above the limits of their integration wait in Airflow for a person, and end well without one."""

from __future__ import annotations

import time

import pytest

from demo.airflow_api import DagRun
from demo.content import BUCKET
from tests.e2e.conftest import Bench, tiny_png
from tests.e2e.test_sync import urls_in, wait_for

READING_S = 5
KEYS = [f"approved/{number}.png" for number in range(3)]


@pytest.fixture(scope="module")
def unanswered(bench: Bench) -> DagRun:
    """A run that nobody answers for. A minute goes by until it ends, so the other tests run meanwhile."""
    for key in KEYS:
        bench.stack.s3().put_object(Bucket=BUCKET, Key=key, Body=tiny_png())
    return bench.start("unanswered")


def is_waiting(bench: Bench, run: DagRun) -> bool:
    """Tell whether a run waits for a person."""
    return [task.state for task in bench.tasks(run)["approve"]] == ["awaiting_input"]


def answer(bench: Bench, run: DagRun, option: str) -> None:
    """Answer as a person does, who reads the plan first.

    Airflow 3.3.2 loses an answer that comes before the scheduler has seen the asking process end.
    """
    wait_for(lambda: is_waiting(bench, run) or None)
    time.sleep(READING_S)
    bench.stack.api.answer(run, "approve", option)


def test_a_refused_plan_changes_nothing_and_an_approved_one_is_carried_out(
    bench: Bench, unanswered: DagRun
) -> None:
    refused = bench.start("approved")
    wait_for(lambda: is_waiting(bench, refused) or None)
    question = bench.stack.api.question(refused, "approve")
    assert "new items: 3, and approval.new_count is 1" in question["body"]
    assert f"`{KEYS[0]}`" in question["body"]
    answer(bench, refused, "Reject")
    assert bench.end(refused).state == "success"
    report = bench.report(refused)
    assert (report.verdict, report.registered) == ("ok", 0)
    assert "the plan was refused by admin" in bench.log(refused, "settle")
    assert urls_in(bench.stack.encord(), "Approved") == []
    assert bench.stack.api.asset_event_extras(refused) == []

    approved = bench.start("approved")
    answer(bench, approved, "Approve")
    assert bench.end(approved).state == "success"
    assert bench.report(approved).registered == 3
    assert urls_in(bench.stack.encord(), "Approved") == [bench.url(key) for key in KEYS]

    following = bench.run("approved")  # has nothing to ask
    assert bench.report(following).already_registered == 3


def test_a_plan_that_nobody_answers_for_fails_its_run_without_a_change(
    bench: Bench, unanswered: DagRun
) -> None:
    assert bench.end(unanswered).state == "failed"
    states = {name: {task.state for task in tasks} for name, tasks in bench.tasks(unanswered).items()}
    assert (states["approve"], states["build"], states["settle"]) == ({"skipped"}, {"skipped"}, {"failed"})
    assert "the plan was not answered for in time" in bench.log(unanswered, "settle")
    assert urls_in(bench.stack.encord(), "Unanswered") == []
