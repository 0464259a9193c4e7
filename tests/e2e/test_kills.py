"""SIGKILL of Airflow's own processes while an upload job runs: the run ends well, and nothing is sent twice.

FAULT_ROUNDS says how often, each time with a run and a dataset of its own.
"""

from __future__ import annotations

import json
import sqlite3

import psutil
import pytest
from encord.orm.dataset import StorageLocation

from demo.airflow import part_commands
from demo.airflow_api import DagRun
from tests.e2e.conftest import KILL_ROUNDS, Bench, killed_dag
from tests.e2e.test_sync import submitted_job, task_process, urls_in, wait_for

pytestmark = pytest.mark.timeout(600)
KILLED_PARTS = ("triggerer", "api-server", "scheduler")
"""One after the other; the executor's processes are the scheduler's."""


@pytest.fixture(scope="module", params=range(KILL_ROUNDS), ids=lambda number: f"round-{number + 1}")
def number(request: pytest.FixtureRequest) -> int:
    """The round."""
    return int(request.param)


@pytest.fixture(scope="module")
def without_worker(bench: Bench, bulk_keys: list[str], number: int) -> tuple[DagRun, str]:
    """A run whose register task was killed together with the executor's process above it, and its job.

    It takes a minute until that is noticed and the task tried again, so the other test runs meanwhile.
    """
    return kill_worker(bench, start(bench, f"Worker {number}"))


def start(bench: Bench, dataset: str) -> DagRun:
    """Make a dataset and start a run that fills it."""
    bench.slow_service.client().create_dataset(dataset, StorageLocation.AWS, create_backing_folder=True)
    return bench.start(killed_dag(dataset))


def kill_worker(bench: Bench, run: DagRun) -> tuple[DagRun, str]:
    """Kill the worker of a run's register task when Encord has begun, and return the upload job as well."""
    job_id = wait_for(lambda: submitted_job(bench.run_folder(run)))
    task = wait_for(lambda: task_process(bench, run, "register"))
    for process in (task.parent(), task):  # the worker first, so that it cannot tell of its task's end
        assert isinstance(process, psutil.Process)
        process.kill()
    return run, job_id


def test_a_run_outlives_its_triggerer_api_server_and_scheduler(
    bench: Bench, bulk_keys: list[str], without_worker: tuple[DagRun, str], number: int
) -> None:
    run = start(bench, f"Parts {number}")
    wait_for(lambda: is_deferred(bench, run) or None)
    commands = {
        command.name: command for command in part_commands(bench.stack.environment, bench.stack.places)
    }
    supervisor = bench.stack.supervisor
    for part in KILLED_PARTS:
        supervisor.kill(part)
    for part in KILLED_PARTS:
        supervisor.start(commands[part])
    wait_for(lambda: bench.stack.api.health() or None)
    check(bench, run, f"Parts {number}", bulk_keys)


def test_a_run_outlives_the_worker_of_its_register_task(
    bench: Bench, bulk_keys: list[str], without_worker: tuple[DagRun, str], number: int
) -> None:
    run, job_id = without_worker
    check(bench, run, f"Worker {number}", bulk_keys)
    assert submitted_job(bench.run_folder(run)) == job_id
    (task,) = bench.tasks(run)["register"]
    assert task.try_number > 1


def is_deferred(bench: Bench, run: DagRun) -> bool:
    """Tell whether the register task waits for Encord in the triggerer."""
    return any(task.state == "deferred" for task in bench.tasks(run).get("register", ()))


def check(bench: Bench, run: DagRun, dataset: str, keys: list[str]) -> None:
    """Check that a run ends with a verdict, everything registered once, and one upload job."""
    assert bench.end(run).state == "success"
    assert bench.report(run).verdict == "ok"
    assert urls_in(bench.slow_service.client(), dataset) == sorted(bench.url(key) for key in keys)
    target = json.loads((bench.run_folder(run) / "target.json").read_text())
    database = bench.slow_service.config.parent / "dataset-service.sqlite"
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        folder = target["folder_uuid"].replace("-", "")
        [(jobs,)] = connection.execute("SELECT count(*) FROM jobs WHERE folder_uuid = ?", [folder])
    assert jobs == 1
