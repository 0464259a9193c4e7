"""The DAG `upload_manifest`: check, build, register, settle."""

from __future__ import annotations

from airflow.sdk import DAG, AssetAlias

from cloud_sync.integration import Integration, LoadedIntegrations
from cloud_sync_airflow.factory import STAGE_TIMEOUT, task_defaults
from cloud_sync_airflow.operators.build_given import BuildGivenOperator
from cloud_sync_airflow.operators.check import CheckOperator
from cloud_sync_airflow.operators.register import RegisterOperator
from cloud_sync_airflow.operators.settle_given import SettleGivenOperator
from cloud_sync_airflow.settings import manifests_address, register_pool
from cloud_sync_airflow.upload_params import upload_params

DAG_ID = "upload_manifest"

# Stands for whichever dataset a run uploads to.
DATASETS = AssetAlias("encord datasets of upload_manifest")


def upload_dag(loaded: LoadedIntegrations, documentation: str | None) -> DAG:
    """Return `upload_manifest`, also where there is no integration yet: its form then says so.

    Runs wait for each other, so that a form that is sent twice registers nothing twice; `settle` is the
    teardown of `check`, as in a sync that of `plan`.

    Args:
        loaded: The integrations to choose from.
        documentation: The page of the DAG in the Airflow UI.
    """
    integrations = {one.name: one.model_dump(mode="json") for _, one in loaded.integrations}
    with DAG(
        dag_id=DAG_ID,
        description="Register a manifest that somebody wrote, JSON or CSV.",
        doc_md=documentation,
        schedule=None,
        catchup=False,
        max_active_runs=1,
        tags=["encord", "by hand"],
        params=upload_params(integrations, manifests_address()),
        default_args=task_defaults(Integration.model_fields["owner"].default),
    ) as dag:
        check = CheckOperator(
            task_id="check", integrations=integrations, execution_timeout=STAGE_TIMEOUT
        ).as_setup()
        build = BuildGivenOperator(task_id="build", plan=check.output, execution_timeout=STAGE_TIMEOUT)
        register = RegisterOperator.partial(
            task_id="register", map_index_template="{{ task.label }}", pool=register_pool()
        ).expand(shard=build.output)
        settle = SettleGivenOperator(task_id="settle", outlets=[DATASETS], execution_timeout=STAGE_TIMEOUT)
        register >> settle.as_teardown(setups=check, on_failure_fail_dagrun=True)
    return dag
