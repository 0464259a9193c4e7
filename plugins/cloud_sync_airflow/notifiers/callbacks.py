"""What Airflow calls when a task has ended: tells people, if the integration says so, and harms nothing.

DAG files import this module, so it imports nothing heavy itself.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow.sdk import Context

    from cloud_sync.failures.alert import Alert, Place
    from cloud_sync.integration import Integration
    from cloud_sync.run_folder import RunFolder
    from cloud_sync_airflow.operators.stage import StageOperator

log = logging.getLogger(__name__)

LOCAL_UI = "http://localhost:8080"  # where Airflow's own links lead if nothing is configured


def alert_on_failure(context: Context) -> None:
    """Tell people of a task that failed for good; if it failed by the verdict, of the run.

    Airflow calls this in the task's process, or in the DAG processor if that process was lost.
    """
    _tell(context, lambda integration, folder: _failure(context, integration, folder))


def alert_on_success(context: Context) -> None:
    """Tell people of files that a good run has put into quarantine. Only `settle` knows of such."""
    _tell(context, lambda _, folder: _run(context, folder), concerns=_settles)


def alert_on_waiting(context: Context, above: Sequence[str], *, until: str) -> None:
    """Tell people that a plan waits for one of them.

    Args:
        context: The task's context.
        above: The limits that the plan is above, each as a sentence.
        until: When the question expires; empty if it does not.
    """
    _tell(context, lambda integration, _: _waiting(context, integration, above, until))


def _tell(
    context: Context,
    make_alert: Callable[[Integration, RunFolder], Alert | None],
    *,
    concerns: Callable[[StageOperator], bool] = lambda _: True,
) -> None:
    try:
        operator = _stage(context)
        if not concerns(operator):
            return
        integration = operator.integration_of_run(context)
        if integration is None or not integration.alerts:
            return
        folder = operator.run_folder(context)
        alert = make_alert(integration, folder)
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
    from cloud_sync.failures.alert import task_alert
    from cloud_sync.failures.verdict import RunFailed

    error = context.get("exception")
    if isinstance(error, FormError):
        return None  # whoever filled in the form sees it
    if isinstance(error, RunFailed):
        return _run(context, folder)
    return task_alert(error, _place(context, integration), _task_name(context), mask=redact)


def _waiting(context: Context, integration: Integration, above: Sequence[str], until: str) -> Alert:
    from cloud_sync.failures.alert import approval_alert

    place = _place(context, integration)
    question = f"{place.run_url}/tasks/{quote(context['ti'].task_id, safe='')}/required_actions"
    return approval_alert(
        replace(place, run_url=question), above, question=context["ti"].try_number, until=until
    )


def _place(context: Context, integration: Integration) -> Place:
    from cloud_sync.failures.alert import Place

    dag_run = context["dag_run"]
    return Place(
        integration=integration.name,
        dataset=integration.target.dataset,
        dag_id=dag_run.dag_id,
        run_id=dag_run.run_id,
        run_url=run_url(dag_run.dag_id, dag_run.run_id),
    )


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
