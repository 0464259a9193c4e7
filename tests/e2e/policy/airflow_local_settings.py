"""The cluster policy of the tests' Airflow: what is tried again waits seconds, not half a minute.

It also imports in the scheduler what tasks will need: the executor forks them, and hundreds of tasks would
spend a second each on the same imports.
"""

from __future__ import annotations

import sys
from datetime import timedelta
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.definitions.mappedoperator import MappedOperator

RETRY_DELAY_S = 1
HOLD_S = 3
"""So that the jobs of fast machines are waited for in the triggerer, too."""

NEEDED_BY_TASKS = (
    "boto3",
    "encord",
    "cloud_sync.failures.settle",
    "cloud_sync.manifest.build",
    "cloud_sync.objects.listing",
    "cloud_sync.objects.stores",
    "cloud_sync.planning.plan",
    "cloud_sync.registration.client",
    "cloud_sync.registration.register",
)
"""None of them imports Airflow, which is not ready yet when it reads this file."""

if "scheduler" in sys.argv:
    for name in NEEDED_BY_TASKS:
        import_module(name)


def task_policy(task: BaseOperator | MappedOperator) -> None:
    """Shorten the waits; how often a task is tried stays as its DAG says."""
    from cloud_sync_airflow.operators.register import RegisterOperator
    from cloud_sync_airflow.retry import CloudSyncRetryPolicy

    task.retry_delay = timedelta(seconds=RETRY_DELAY_S)
    if isinstance(task.retry_policy, CloudSyncRetryPolicy):
        task.retry_policy = CloudSyncRetryPolicy(first_delay_s=RETRY_DELAY_S)
    if getattr(task, "operator_class", None) is RegisterOperator:
        task.partial_kwargs["hold_s"] = HOLD_S
