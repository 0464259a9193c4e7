"""Cancelling: who ends a task in the UI ends its upload job in Encord, and clearing the task goes on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from demo.airflow_api import DagRun, TaskInstance
from tests.e2e.conftest import Bench
from tests.e2e.test_sync import submitted_job, urls_in, wait_for


def test_a_person_who_fails_a_waiting_task_cancels_its_job_and_clearing_goes_on(
    bench: Bench, bulk_keys: list[str]
) -> None:
    with busy_service(bench, bulk_keys):
        run = bench.start("ended")
        task = wait_for(lambda: waiting_task(bench, run))
        job_id = submitted_job(bench.run_folder(run))
        assert job_id is not None
        bench.stack.api.fail(run, task)
        wait_for(lambda: True if job_status(bench, "Ended", job_id) == "CANCELLED" else None)
    assert bench.end(run).state == "failed"

    bench.stack.api.clear(run, ["register"])
    assert bench.end(run).state == "success"
    assert submitted_job(bench.run_folder(run)) != job_id
    assert urls_in(bench.slow_service.client(), "Ended") == sorted(bench.url(key) for key in bulk_keys)


@contextmanager
def busy_service(bench: Bench, keys: list[str]) -> Iterator[None]:
    """Keep the only worker of the slow service at other jobs, so that the job of the test waits its turn."""
    client = bench.slow_service.client()
    (integration,) = client.get_cloud_integrations()
    folder = client.create_storage_folder("Jobs of others")
    images = {"images": [{"objectUrl": bench.url(key)} for key in keys], "skip_duplicate_urls": False}
    others = [
        folder.add_private_data_to_folder_start(str(integration.id), images, ignore_errors=True)
        for _ in range(4)
    ]
    try:
        yield
    finally:
        for job in others:
            folder.add_data_to_folder_job_cancel(job)


def waiting_task(bench: Bench, run: DagRun) -> TaskInstance | None:
    """Return the register task once the triggerer has taken it up: before that, nobody would be told."""
    logs = bench.stack.places.airflow_home / "logs" / f"dag_id={run.dag_id}" / f"run_id={run.run_id}"
    for task in bench.tasks(run).get("register", []):
        if task.state == "deferred" and any(logs.rglob("*.trigger.*.log")):
            return task
    return None


def job_status(bench: Bench, dataset: str, job_id: str) -> str:
    """Return what Encord says of an upload job to the backing folder of a dataset."""
    client = bench.slow_service.client()
    (found,) = client.get_datasets(title_eq=dataset)
    folder = client.get_storage_folder(found["dataset"].backing_folder_uuid)
    state = folder.add_private_data_to_folder_get_result(UUID(job_id), timeout_seconds=0)
    return str(state.status.value)
