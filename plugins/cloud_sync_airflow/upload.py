"""The DAG `upload_manifest`: check, build, register, settle."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloud_sync_airflow.form_dag import form_dag
from cloud_sync_airflow.operators.build_given import BuildGivenOperator
from cloud_sync_airflow.operators.check import CheckOperator
from cloud_sync_airflow.operators.settle_given import SettleGivenOperator
from cloud_sync_airflow.operators.stage import UPLOADS_FOLDER
from cloud_sync_airflow.upload_params import upload_params

if TYPE_CHECKING:
    from airflow.sdk import DAG

    from cloud_sync.integration import LoadedIntegrations


def upload_dag(loaded: LoadedIntegrations, documentation: str | None) -> DAG:
    """Return `upload_manifest`.

    Args:
        loaded: The integrations to choose from.
        documentation: The page of the DAG in the Airflow UI.
    """
    return form_dag(
        "upload_manifest",
        loaded,
        description="Register a manifest that somebody wrote, JSON or CSV.",
        documentation=documentation,
        form=upload_params,
        first=("check", CheckOperator),
        build=BuildGivenOperator,
        settle=SettleGivenOperator,
        runs=UPLOADS_FOLDER,
    )
