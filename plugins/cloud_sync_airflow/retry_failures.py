"""The DAG `retry_failures`: choose, build, register, settle."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloud_sync_airflow.form_dag import form_dag
from cloud_sync_airflow.operators.build import BuildOperator
from cloud_sync_airflow.operators.choose import ChooseOperator
from cloud_sync_airflow.operators.settle_retried import SettleRetriedOperator
from cloud_sync_airflow.operators.stage import RETRIES_FOLDER
from cloud_sync_airflow.retry_params import retry_params

if TYPE_CHECKING:
    from airflow.sdk import DAG

    from cloud_sync.integration import LoadedIntegrations


def retry_dag(loaded: LoadedIntegrations, documentation: str | None) -> DAG:
    """Return `retry_failures`.

    Args:
        loaded: The integrations to choose from.
        documentation: The page of the DAG in the Airflow UI.
    """
    return form_dag(
        "retry_failures",
        loaded,
        description="Register once more what stands in a failure list.",
        documentation=documentation,
        form=retry_params,
        first=("choose", ChooseOperator),
        build=BuildOperator,
        settle=SettleRetriedOperator,
        runs=RETRIES_FOLDER,
    )
