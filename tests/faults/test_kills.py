"""SIGKILL at any moment: the next process goes on, nothing is lost, nothing is registered twice."""

from __future__ import annotations

import random

import pytest

from cloud_sync.run_folder import sha256_of
from tests.faults.conftest import BUCKET, Bench
from tests.faults.processes import StageProcess
from tests.faults.sync import STAGES, Sync, job_statuses
from tests.registered import Registered
from tests.servers import running_dataset_service

KILLS = 2
"""In one round: the process that goes on is killed as well."""


@pytest.fixture(scope="module")
def undisturbed(s3, service, tmp_path_factory):
    """A sync that nobody kills, and how long each of its stages takes, in seconds."""
    sync = Bench(s3, service, tmp_path_factory.mktemp("undisturbed"), "undisturbed").sync()
    return sync, {stage: StageProcess(sync, stage).finish() for stage in STAGES}


def kill_and_finish(sync: Sync, stages: tuple[str, ...], seed: int, longest_s: float) -> int:
    """Run stages in processes that are killed, then in one that is not.

    Returns:
        How many kills found a manifest that was just being sent.
    """
    moments = random.Random(f"{seed} {stages}")
    while_sending = 0
    for _ in range(KILLS):
        process = StageProcess(sync, *stages)
        if process.kill(moments.uniform(0, longest_s)):
            while_sending += "submitting" in {status for status, _ in job_statuses(sync.folder).values()}
    StageProcess(sync, *stages).finish()
    return while_sending


def surplus_jobs(sync: Sync, found: Registered) -> int:
    """Return how many upload jobs there were beyond one for each manifest."""
    return found.jobs - len(sync.folder.names("manifests/0*.json"))


def test_a_killed_register_task_is_finished_by_the_next(bench, undisturbed, seed):
    _, seconds = undisturbed
    sync = bench.sync(backing_folder=False)
    sync.run("list", "plan", "build")
    while_sending = kill_and_finish(sync, ("register",), seed, seconds["register"])
    sync.run("settle")
    assert surplus_jobs(sync, bench.check(sync)) <= while_sending


def test_a_killed_settle_task_is_finished_by_the_next(bench, undisturbed, seed):
    _, seconds = undisturbed
    sync = bench.sync()
    sync.run("list", "plan", "build", "register")
    kill_and_finish(sync, ("settle",), seed, seconds["settle"])
    assert surplus_jobs(sync, bench.check(sync)) == 0
    assert sync.ledger.files.names("v*.parquet") == [sync.ledger.current().path.name]


def test_killed_list_plan_and_build_tasks_leave_what_undisturbed_ones_do(bench, undisturbed, seed):
    reference, seconds = undisturbed
    stages = ("list", "plan", "build")
    sync = bench.sync()
    kill_and_finish(sync, stages, seed, sum(seconds[stage] for stage in stages))
    same = ("plan.json", "register.parquet", "metadata.parquet", "items.parquet", "manifests/index.json")
    for name in (*same, *reference.folder.names("manifests/0*.json")):
        assert sha256_of(sync.folder.path(name)) == sha256_of(reference.folder.path(name)), name
    sync.run("register", "settle")
    assert surplus_jobs(sync, bench.check(sync)) == 0


def test_a_whole_run_killed_again_and_again_comes_to_its_verdict(bench, undisturbed, seed):
    _, seconds = undisturbed
    sync = bench.sync(backing_folder=False)
    while_sending = kill_and_finish(sync, STAGES, seed, sum(seconds.values()))
    assert surplus_jobs(sync, bench.check(sync)) <= while_sending


def test_a_killed_dataset_service_goes_on_with_its_jobs(s3, tmp_path, undisturbed, seed):
    _, seconds = undisturbed
    moments = random.Random(f"{seed} service")
    with running_dataset_service(tmp_path / "service", s3, [BUCKET]) as service:
        bench = Bench(s3, service, tmp_path, "killed-service")
        sync = bench.sync(backing_folder=False)
        sync.run("list", "plan", "build")
        process = StageProcess(sync, "register")
        process.wait(moments.uniform(0, seconds["register"]))
        service.kill()
        was_sending = "submitting" in {status for status, _ in job_statuses(sync.folder).values()}
        service.start()
        process.finish()
        sync.run("settle")
        assert surplus_jobs(sync, bench.check(sync)) <= was_sending
