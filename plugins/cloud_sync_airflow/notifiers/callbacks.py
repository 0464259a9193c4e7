"""What Airflow calls when a task has ended: tells people, if the integration says so, and harms nothing.

DAG files import this module, so it imports nothing heavy itself.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from airflow.sdk import Context

    from cloud_sync.failures.alert import Alert
    from cloud_sync.integration import Integration
    from cloud_sync.run_folder import RunFolder
    from cloud_sync_airflow.operators.stage import StageOperator

log = logging.getLogger(__name__)

LOCAL_UI = "http://localhost:8080"  # where Airflow's own links lead if nothing is configured


def alert_on_failure(context: Context) -> None:
    """Tell people of a task that failed for good; if it failed by the verdict, of the run.

    Airflow calls this in the task's process, or in the DAG processor if that process was lost.
    """
    _tell(context, failed=True)


def alert_on_success(context: Context) -> None:
    """Tell people of files that a good run has put into quarantine. Only `settle` knows of such."""
    _tell(context, failed=False)


def _tell(context: Context, *, failed: bool) -> None:
    try:
        operator = _stage(context)
        if not failed and not _settles(operator):
            return
        integration = operator.integration_of_run(context)
        if integration is None or not integration.alerts:
            return
        folder = operator.run_folder(context)
        alert = _failure(context, integration, folder) if failed else _run(context, folder)
        if alert is not None:
            from cloud_sync_airflow.notifiers.dispatch import dispatch

            dispatch(alert, integration.alerts, folder, context)
    except Exception as error:  # whatever is wrong with an alert, the task has ended as it has
        from airflow.sdk.log import redact

        from cloud_sync.failures.alert import clean

        said = clean(redact(f"{type(error).__name__}: {error}"))
        log.warning("No alert was sent: %s Look at the run itself; it is not affected.", said)


def _failure(context: Context, integration: Integration, folder: RunFolder) -> Alert | None:
    from airflow.sdk.log import redact

    from cloud_sync.errors import FormError
    from cloud_sync.failures.alert import Place, task_alert
    from cloud_sync.failures.verdict import RunFailed

    error = context.get("exception")
    if isinstance(error, FormError):
        return None  # whoever filled in the form sees it
    if isinstance(error, RunFailed):
        return _run(context, folder)
    dag_run = context["dag_run"]
    place = Place(
        integration=integration.name,
        dataset=integration.target.dataset,
        dag_id=dag_run.dag_id,
        run_id=dag_run.run_id,
        run_url=run_url(dag_run.dag_id, dag_run.run_id),
    )
    return task_alert(error, place, _task_name(context), mask=redact)


def _run(context: Context, folder: RunFolder) -> Alert | None:
    from cloud_sync.failures.alert import run_alert
    from cloud_sync.failures.report import REPORT_NAME

    dag_run = context["dag_run"]
    return run_alert(folder.read_json(REPORT_NAME), run_url(dag_run.dag_id, dag_run.run_id))


def run_url(dag_id: str, run_id: str) -> str:
    """Return the address of a DAG run in the Airflow UI: setting `[api] base_url`."""
    from airflow.sdk.configuration import conf

    base = conf.get("api", "base_url", fallback=None) or LOCAL_UI
    return f"{base.rstrip('/')}/dags/{quote(dag_id, safe='')}/runs/{quote(run_id, safe='')}"


def _stage(context: Context) -> StageOperator:
    """Return the task's operator. It is still the mapped one if the task failed before it began."""
    from airflow.sdk.definitions.mappedoperator import MappedOperator

    task = context["task"]
    return task.unmap(dict.fromkeys(task.expand_input.value)) if isinstance(task, MappedOperator) else task


def _settles(operator: StageOperator) -> bool:
    from cloud_sync_airflow.operators.settle import SettleOperator

    return isinstance(operator, SettleOperator)


def _task_name(context: Context) -> str:
    ti = context["ti"]
    map_index = getattr(ti, "map_index", None)
    if map_index is None or map_index < 0:
        return str(ti.task_id)
    return f"{ti.task_id} [{getattr(ti, 'rendered_map_index', None) or map_index}]"
