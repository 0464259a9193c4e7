"""SIGKILL of every process at random moments: a run ends well, nothing is lost, nothing is there twice."""

from __future__ import annotations

import random
from collections import Counter
from datetime import datetime
from typing import Any

import pytest
from encord.orm.dataset import StorageLocation

from cloud_sync.run_folder import FileRef, RunFolder
from demo.airflow_api import DagRun
from demo.content import BUCKET
from tests.e2e.conftest import Bench, killed_name, put_images
from tests.e2e.kills import PARTS, Killer
from tests.e2e.test_sync import csv_rows, wait_for
from tests.faults.sync import job_statuses
from tests.registered import Registered

pytestmark = pytest.mark.timeout(900)
KILLED_RUN_TIMEOUT_S = 480
"""After the last kill; each task that died comes again only when Airflow has noticed."""
BAD = "kills/9999.png"
"""Stands in the last manifest, the small one, of which the rest comes again in the retry round."""


@pytest.fixture(scope="module")
def kill_keys(bench: Bench) -> list[str]:
    """Put images and a bad file under kills/, and return the keys of the images."""
    bench.stack.s3().put_object(Bucket=BUCKET, Key=BAD, Body=b"I am no picture.")
    return put_images(bench, [f"kills/{number:04}.png" for number in range(2199)])


def test_a_run_outlives_the_kill_of_every_process(
    bench: Bench, kill_keys: list[str], seed: int, record_property: Any
) -> None:
    name = killed_name(seed)
    bench.slow_service.client().create_dataset(name, StorageLocation.AWS, create_backing_folder=False)
    run = bench.start(name)
    kills = Killer(bench, run, random.Random(seed)).kill_each_part()
    wait_for(lambda: bench.stack.api.health() or None)
    ended = bench.end(run, KILLED_RUN_TIMEOUT_S)
    for kill in kills:
        record_property("killed", str(kill))
    assert ended.state == "success"
    assert ended.ended_at is not None
    assert {kill.part for kill in kills if kill.at < datetime.fromisoformat(ended.ended_at)} == set(PARTS)
    check_registered(bench, run, kill_keys)
    check_submissions(bench, run, sum(kill.while_sending for kill in kills))
    check_results(bench, run)


def check_registered(bench: Bench, run: DagRun, keys: list[str]) -> None:
    """Check that everything is registered once and linked once, and that what is bad is said to be."""
    report = bench.report(run)
    assert (report.verdict, report.failed) == ("ok_with_quarantine", 1)
    assert report.registered + report.already_registered == len(keys)  # known again if it was sent twice
    [row] = csv_rows(bench.run_folder(run))
    assert (row["object_url"], row["failure_class"]) == (bench.url(BAD), "wrong_type")
    found = Registered.of(RunFolder(bench.run_folder(run)), bench.slow_service)
    assert found.items == Counter((bench.url(key),) for key in keys)
    assert found.rows == len(keys)


def check_submissions(bench: Bench, run: DagRun, while_sending: int) -> None:
    """Check that a manifest was sent again only where a kill came between the request and its answer."""
    folder = RunFolder(bench.run_folder(run))
    statuses = job_statuses(folder)
    assert len(statuses) == len(folder.names("manifests/0*.json"))
    jobs = Registered.of(folder, bench.slow_service).jobs
    assert len(statuses) <= jobs <= sum(submissions for _, submissions in statuses.values())
    assert jobs - len(statuses) <= while_sending


def check_results(bench: Bench, run: DagRun) -> None:
    """Check that each task handed on what it does undisturbed, whichever try of it came to the end."""
    assert [result(bench, run, "register", shard) for shard in range(2)] == [
        {"manifests": 2, "done": 1, "failed": 1, "cancelled": 0},
        {"manifests": 1, "done": 1, "failed": 0, "cancelled": 0},
    ]
    assert [result(bench, run, "retry_1.register", shard) for shard in range(2)] == [
        {"manifests": 1, "done": 1, "failed": 0, "cancelled": 0},
        {"manifests": 1, "done": 1, "failed": 0, "cancelled": 0},
    ]
    assert result(bench, run, "build") == result(bench, run, "retry_1.select") == [0, 1]
    folder = RunFolder(bench.run_folder(run))
    for stage in ("list", "plan"):
        folder.verified(FileRef.from_json(result(bench, run, stage)))
    report = bench.report(run)
    assert result(bench, run, "settle") == {
        "verdict": report.verdict,
        "registered": report.registered,
        "already_registered": report.already_registered,
        "failed": report.failed,
        "waiting": 0,
    }


def result(bench: Bench, run: DagRun, task_id: str, map_index: int = -1) -> Any:
    """Return what a task handed on."""
    return bench.stack.api.xcom(run, task_id, map_index=map_index)
