"""The show: two runs of `sync__demo`, what each did, and the proof that nothing was registered twice."""

from __future__ import annotations

import time

from demo.airflow_api import AirflowApiError, DagRun
from demo.content import BUCKET, PREFIX
from demo.dataset import dataset_table
from demo.narrator import Narrator, task_label
from demo.report import RunReport, failure_table, result_table, run_folder_of
from demo.stack import DATASET, Stack
from demo.verify import Finding, check_first_run, check_second_run, describe

INTEGRATION = "demo"
DAG_ID = f"sync__{INTEGRATION}"
POLL_S = 1.0
LOG_LINES = 15


def introduce(narrator: Narrator) -> None:
    """Say what is about to happen."""
    narrator.heading("Encord Cloud Sync: a bucket becomes a dataset")
    narrator.say(
        f"On this machine only: an S3 server with the bucket {BUCKET}, Airflow on PostgreSQL, and the "
        f"dataset service, which speaks Encord's API. The DAG {DAG_ID} lists {BUCKET}/{PREFIX}, "
        f"plans, builds manifests, registers them in the dataset {DATASET!r} through the "
        "Encord SDK, and settles what failed. Twice: about a minute."
    )
    narrator.say("")


def show(stack: Stack, narrator: Narrator) -> bool:
    """Run the DAG twice and check what came of it.

    Returns:
        True if everything is exactly as the content of the bucket says it must be.

    Raises:
        AirflowApiError: The DAG is not there, or a run did not succeed; says which task and why.
    """
    _wait_for_dag(stack, narrator)

    narrator.heading("First run: everything is new")
    first = _run_once(stack, narrator)
    after_first = stack.dataset_items()
    narrator.show(result_table("What the first run did", first))
    narrator.show(dataset_table("What the dataset holds now, read through the Encord SDK", after_first))
    if first.causes:
        narrator.show(failure_table(first))
    narrator.say(f"One row for each file that failed: {first.failure_csv}")
    findings = check_first_run(stack.content, first, after_first)

    narrator.heading("Second run: nothing has changed in the bucket")
    second = _run_once(stack, narrator)
    after_second = stack.dataset_items()
    narrator.show(result_table("What the second run did", second))
    findings += check_second_run(stack.content, second, after_first, after_second)

    return _judge(findings, narrator)


def _judge(findings: list[Finding], narrator: Narrator) -> bool:
    narrator.heading("Checked against the bucket, and against the dataset through the Encord SDK")
    for finding in findings:
        narrator.say(f"  {describe(finding)}")
    return all(finding.holds for finding in findings)


def _wait_for_dag(stack: Stack, narrator: Narrator) -> None:
    deadline = time.monotonic() + stack.settings.start_timeout_s
    with narrator.waiting_for(f"Waiting for the DAG {DAG_ID}"):
        while not stack.api.has_dag(DAG_ID):
            stack.check()
            errors = stack.api.import_errors()
            if errors or time.monotonic() > deadline:
                said = "\n".join(f"  {file}: {error.strip()}" for file, error in errors.items())
                raise AirflowApiError(
                    f"Airflow did not find it.\n{said}".rstrip(),
                    where=DAG_ID,
                    remedy=f"\nLook at {stack.supervisor.logs / 'dag-processor.log'}",
                )
            time.sleep(POLL_S)


def _run_once(stack: Stack, narrator: Narrator) -> RunReport:
    # Triggered before it is unpaused, so that no scheduled run can come first.
    run = stack.api.trigger(DAG_ID)
    stack.api.unpause(DAG_ID)
    narrator.step(f"triggered {DAG_ID} through Airflow's REST API: {run.run_id}")
    narrator.forget_tasks()

    def look(current: DagRun) -> None:
        stack.check()
        narrator.tasks(stack.api.task_instances(current))

    with narrator.waiting_for("Waiting for the scheduler"):
        ended = stack.api.wait_for_run(run, stack.settings.run_timeout_s, each_poll=look, interval_s=POLL_S)
    narrator.step(f"the run has ended: {ended.state}")
    if ended.state != "success":
        raise _failed_run(stack, ended)
    return RunReport.read(run_folder_of(stack.places.state, INTEGRATION, run.run_id))


def _failed_run(stack: Stack, run: DagRun) -> AirflowApiError:
    """Return an error that carries the end of the log of each task that failed."""
    parts = []
    for task in stack.api.task_instances(run):
        if task.state == "failed":
            lines = stack.api.log(run, task)[-LOG_LINES:]
            parts.append("\n    ".join([f"\n  {task_label(task)} failed. The end of its log:", *lines]))
    return AirflowApiError(
        f"ended as {run.state}.{''.join(parts)}",
        where=f"run {run.run_id} of {run.dag_id}",
        remedy=f"\nThe logs of all tasks: {stack.places.airflow_home / 'logs'}",
    )
