"""The DAG `retry_failures`: choose, build, register, settle."""

from __future__ import annotations

from airflow.sdk import DAG, AssetAlias

from cloud_sync.integration import Integration, LoadedIntegrations
from cloud_sync_airflow.factory import STAGE_TIMEOUT, task_defaults
from cloud_sync_airflow.operators.build import BuildOperator
from cloud_sync_airflow.operators.choose import ChooseOperator
from cloud_sync_airflow.operators.register import RegisterOperator
from cloud_sync_airflow.operators.settle_retried import SettleRetriedOperator
from cloud_sync_airflow.operators.stage import RETRIES_FOLDER
from cloud_sync_airflow.retry_params import retry_params
from cloud_sync_airflow.settings import manifests_address, register_pool

DAG_ID = "retry_failures"

# Stands for whichever dataset a run registers into.
DATASETS = AssetAlias("encord datasets of retry_failures")


def retry_dag(loaded: LoadedIntegrations, documentation: str | None) -> DAG:
    """Return `retry_failures`, also where there is no integration yet: its form then says so.

    `settle` is the teardown of `choose`, as in a sync that of `plan`.

    Args:
        loaded: The integrations to choose from.
        documentation: The page of the DAG in the Airflow UI.
    """
    integrations = {one.name: one.model_dump(mode="json") for _, one in loaded.integrations}
    with DAG(
        dag_id=DAG_ID,
        description="Register once more what stands in a failure list.",
        doc_md=documentation,
        schedule=None,
        catchup=False,
        max_active_runs=1,
        tags=["encord", "by hand"],
        params=retry_params(integrations, manifests_address()),
        default_args=task_defaults(Integration.model_fields["owner"].default),
    ) as dag:
        timed = {"runs": RETRIES_FOLDER, "execution_timeout": STAGE_TIMEOUT}
        choose = ChooseOperator(
            task_id="choose", integrations=integrations, execution_timeout=STAGE_TIMEOUT
        ).as_setup()
        build = BuildOperator(task_id="build", plan=choose.output, **timed)
        register = RegisterOperator.partial(
            task_id="register",
            map_index_template="{{ task.label }}",
            pool=register_pool(),
            runs=RETRIES_FOLDER,
        ).expand(shard=build.output)
        settle = SettleRetriedOperator(task_id="settle", outlets=[DATASETS], **timed)
        register >> settle.as_teardown(setups=choose, on_failure_fail_dagrun=True)
    return dag
