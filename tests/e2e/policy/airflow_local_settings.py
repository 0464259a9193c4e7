"""The cluster policy of the tests' Airflow: what is tried again waits seconds, not half a minute."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.definitions.mappedoperator import MappedOperator

RETRY_DELAY_S = 1
HOLD_S = 3
"""So that the jobs of fast machines are waited for in the triggerer, too."""


def task_policy(task: BaseOperator | MappedOperator) -> None:
    """Shorten the waits; how often a task is tried stays as its DAG says."""
    from cloud_sync_airflow.operators.register import RegisterOperator
    from cloud_sync_airflow.retry import CloudSyncRetryPolicy

    task.retry_delay = timedelta(seconds=RETRY_DELAY_S)
    if isinstance(task.retry_policy, CloudSyncRetryPolicy):
        task.retry_policy = CloudSyncRetryPolicy(first_delay_s=RETRY_DELAY_S)
    if getattr(task, "operator_class", None) is RegisterOperator:
        task.partial_kwargs["hold_s"] = HOLD_S
