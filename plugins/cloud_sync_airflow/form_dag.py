"""The frame of the DAGs in whose forms an integration is chosen: an own stage, then those of a sync."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from airflow.sdk import DAG, AssetAlias

from cloud_sync.integration import Integration, LoadedIntegrations
from cloud_sync_airflow.factory import STAGE_TIMEOUT, task_defaults
from cloud_sync_airflow.operators.register import RegisterOperator
from cloud_sync_airflow.settings import manifests_address, register_pool

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow.sdk import Param

    from cloud_sync_airflow.operators.build import BuildOperator
    from cloud_sync_airflow.operators.settle import SettleOperator
    from cloud_sync_airflow.operators.stage import FormOperator


class Form(Protocol):
    """Makes the fields of a form: from the integrations by name, the folder of manifests, and the names of
    integrations whose files are wrong.
    """

    def __call__(
        self, integrations: Mapping[str, Mapping[str, Any]], folder: str, broken: Iterable[str] = ()
    ) -> dict[str, Param]:
        """Return the fields, in the order in which they are shown."""


def form_dag(
    dag_id: str,
    loaded: LoadedIntegrations,
    *,
    description: str,
    documentation: str | None,
    form: Form,
    first: tuple[str, type[FormOperator]],
    build: type[BuildOperator],
    settle: type[SettleOperator],
    runs: str,
) -> DAG:
    """Return the DAG, also where there is no integration yet: its form then says so.

    Runs wait for each other, so that a form that is sent twice registers nothing twice; `settle` is the
    teardown of the first stage, as in a sync that of `plan`.

    Args:
        dag_id: Its id.
        loaded: The integrations to choose from.
        description: What it does, in a line.
        documentation: Its page in the Airflow UI.
        form: Makes the fields of its form.
        first: Name and operator of its first stage, which reads what the person gave.
        build: The operator of its build stage.
        settle: The operator of its settle stage.
        runs: Where its run folders are.
    """
    integrations = {one.name: one.model_dump(mode="json") for _, one in loaded.integrations}
    broken = {name: str(error) for name, error in loaded.broken.items()}
    timed: dict[str, Any] = {"runs": runs, "execution_timeout": STAGE_TIMEOUT}
    name, operator = first
    with DAG(
        dag_id=dag_id,
        description=description,
        doc_md=documentation,
        schedule=None,
        catchup=False,
        max_active_runs=1,
        tags=["encord", "by hand"],
        params=form(integrations, manifests_address(), broken),
        default_args=task_defaults(Integration.model_fields["owner"].default),
    ) as dag:
        taken = operator(task_id=name, integrations=integrations, broken=broken, **timed).as_setup()
        built = build(task_id="build", plan=taken.output, **timed)
        register = RegisterOperator.partial(
            task_id="register", map_index_template="{{ task.label }}", pool=register_pool(), runs=runs
        ).expand(shard=built.output)
        # The alias stands for whichever dataset a run registers into.
        datasets = AssetAlias(f"encord datasets of {dag_id}")
        settled = settle(task_id="settle", outlets=[datasets], **timed)
        register >> settled.as_teardown(setups=taken, on_failure_fail_dagrun=True)
    return dag
