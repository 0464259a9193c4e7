"""What failed for a passing reason: retry rounds of the same run, and the DAG `retry_failures`."""

from __future__ import annotations

import pytest

from demo.airflow_api import DagRun
from demo.content import BUCKET
from tests.e2e.conftest import Bench, tiny_png
from tests.e2e.test_sync import csv_rows, urls_in

GOOD = [f"strict/{number}.png" for number in range(4)]
BAD = "strict/bad.png"


@pytest.fixture(scope="module")
def strict(bench: Bench) -> DagRun:
    """A run in which one bad file makes Encord refuse the whole manifest at first."""
    for key in GOOD:
        bench.stack.s3().put_object(Bucket=BUCKET, Key=key, Body=tiny_png())
    bench.stack.s3().put_object(Bucket=BUCKET, Key=BAD, Body=b"I am no picture.")
    return bench.run("strict")


def test_the_neighbours_of_a_bad_file_are_registered_in_a_retry_round(bench: Bench, strict: DagRun) -> None:
    assert strict.state == "success"
    states = {name: {task.state for task in tasks} for name, tasks in bench.tasks(strict).items()}
    assert (states["retry_1.select"], states["retry_1.register"]) == ({"success"}, {"success"})
    assert (states["retry_2.select"], states["retry_2.register"]) == ({"skipped"}, {"skipped"})
    assert urls_in(bench.stack.encord(), "Strict") == [bench.url(key) for key in GOOD]
    report = bench.report(strict)
    assert (report.verdict, report.registered, report.failed) == ("ok_with_quarantine", 4, 1)
    [row] = csv_rows(bench.run_folder(strict))
    assert (row["object_url"], row["failure_class"]) == (bench.url(BAD), "wrong_type")


def test_listed_failures_are_registered_once_more_and_the_next_sync_knows(
    bench: Bench, strict: DagRun
) -> None:
    bench.stack.s3().put_object(Bucket=BUCKET, Key=BAD, Body=tiny_png())
    form = {"integration": "strict", "run_id": strict.run_id, "failure_classes": ["wrong_type"]}
    left_out = bench.retry(**form)
    assert left_out.state == "success"
    assert bench.report(left_out).registered == 0
    assert "quarantined and not released by the form" in bench.log(left_out, "choose")
    run = bench.retry(**form, release_quarantine=True)
    assert run.state == "success"
    assert (bench.report(run).verdict, bench.report(run).registered) == ("ok", 1)
    assert urls_in(bench.stack.encord(), "Strict") == [bench.url(key) for key in [*GOOD, BAD]]
    [extra] = bench.stack.api.asset_event_extras(run)
    assert (extra["verdict"], extra["registered"]) == ("ok", 1)
    following = bench.run("strict")
    assert (bench.report(following).manifests, bench.report(following).already_registered) == (0, 5)
