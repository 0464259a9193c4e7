"""From an integration to its DAG: list, plan, unlink, build, register, retry rounds, settle."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import DAG, TaskGroup, get_parsing_context

from cloud_sync.errors import ConfigError
from cloud_sync.integration import Integration, LoadedIntegrations, load_integrations
from cloud_sync.markdown import code, table
from cloud_sync_airflow.assets import dataset_asset
from cloud_sync_airflow.notifiers.callbacks import alert_on_failure, alert_on_success
from cloud_sync_airflow.operators.build import BuildOperator
from cloud_sync_airflow.operators.list import ListOperator
from cloud_sync_airflow.operators.list_shard import ListShardOperator
from cloud_sync_airflow.operators.plan import PlanOperator
from cloud_sync_airflow.operators.register import RegisterOperator
from cloud_sync_airflow.operators.retry import SelectOperator
from cloud_sync_airflow.operators.settle import SettleOperator
from cloud_sync_airflow.operators.stage import ASKING_TASK, UNLINKING_TASK
from cloud_sync_airflow.operators.survey import SurveyOperator
from cloud_sync_airflow.operators.unlink import UnlinkOperator
from cloud_sync_airflow.params import sync_params
from cloud_sync_airflow.retry import CloudSyncRetryPolicy
from cloud_sync_airflow.settings import register_pool

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cloud_sync.integration import Approval

# Fields of an integration that stand elsewhere on the page of its DAG.
SHOWN_BY_AIRFLOW = frozenset({"name", "description", "schedule", "owner", "tags"})

RETRIES = 4
STAGE_TIMEOUT = timedelta(hours=12)


def integrations_folder(default: Path) -> Path:
    """Return the folder of integration files: `[cloud_sync] integrations_folder`, or the default."""
    from airflow.configuration import conf

    configured = conf.get("cloud_sync", "integrations_folder", fallback=None)
    return Path(configured) if configured else default


def raise_errors(loaded: LoadedIntegrations) -> None:
    """Raise one error that holds what is wrong with every bad file.

    Raises:
        ConfigError: At least one file is wrong.
    """
    if loaded.errors:
        raise ConfigError("\n".join(str(error) for error in loaded.errors))


def sync_dags(loaded: LoadedIntegrations) -> Iterator[DAG]:
    """Yield the DAG of each good integration; in a task's process only the DAG of the task."""
    wanted = get_parsing_context().dag_id
    for path, integration in loaded.integrations:
        if wanted in (None, integration.dag_id):
            yield sync_dag(integration, path)


def sync_dag(integration: Integration, path: Path) -> DAG:
    """Return `sync__<name>`.

    `settle` is the teardown of `plan`: once there is a plan it runs whatever happens to the stages
    between, so that what is known reaches the failure CSV and the ledger; and if it fails, the run fails.
    It stands behind every register task, because a failed one fails those after it at once, while the
    others still run. It is the one task whose failure fails the run, so it looks whether each round has run.
    """
    settings: dict[str, Any] = {"integration": integration.model_dump(mode="json")}
    with DAG(
        dag_id=integration.dag_id,
        description=integration.description
        or f"{integration.storage.bucket} -> {integration.target.dataset}",
        doc_md=documentation(integration, path),
        schedule=integration.schedule,
        catchup=False,
        max_active_runs=1,
        tags=["encord", integration.storage.provider, *integration.tags],
        params=sync_params(integration.storage.prefix),
        default_args=task_defaults(integration.owner),
    ) as dag:
        # Register has a limit of its own: it waits for Encord, outside of any worker.
        timed = {**settings, "execution_timeout": STAGE_TIMEOUT}
        listing = _list(integration.storage.listing_shards, timed)
        plan = PlanOperator(task_id="plan", listing=listing.output, **timed).as_setup()
        build = BuildOperator(task_id="build", plan=plan.output, **timed)
        agreed: Any = plan
        if integration.approval is not None:
            agreed = _approve(integration.approval, plan.output, settings)
            plan >> agreed >> build
        # Encord skips what it has: what is to be registered again must have left before it is sent.
        leads = integration.changes.changed == "register_again"
        unlink: Any = None
        if integration.changes.unlinks:
            unlink = UnlinkOperator(task_id=UNLINKING_TASK, plan=plan.output, leads=leads, **timed)
            agreed >> unlink
        if leads:
            unlink >> build
        register = RegisterOperator.partial(
            task_id="register", map_index_template="{{ task.label }}", pool=register_pool(), **settings
        ).expand(shard=build.output)
        sending = [register]
        for number in range(1, integration.retry.rounds + 1):
            sending.append(_retry_round(number, sending[-1], settings))
        if unlink is not None and not leads:
            sending.append(unlink)
        settle = SettleOperator(
            task_id="settle",
            rounds=integration.retry.rounds,
            outlets=[dataset_asset(integration)],
            **timed,
        )
        sending >> settle.as_teardown(setups=plan, on_failure_fail_dagrun=True)
    return dag


def _list(shards: int, timed: Mapping[str, Any]) -> Any:
    """Return the task that lists, or the one that is mapped over shards."""
    if shards == 1:
        return ListOperator(task_id="list", **timed)
    survey = SurveyOperator(task_id="survey", **timed)
    return ListShardOperator.partial(task_id="list", map_index_template="{{ task.label }}", **timed).expand(
        shard=survey.output
    )


def _approve(limits: Approval, plan: Any, settings: Mapping[str, Any]) -> Any:
    """Return the task that asks a person if the plan is above the limits."""
    # Only these integrations pay for importing Airflow's operators that wait for people.
    from cloud_sync_airflow.operators.approve import ApproveOperator

    return ApproveOperator(task_id=ASKING_TASK, plan=plan, response_timeout=limits.wait, **settings)


def _retry_round(number: int, before: Any, settings: Mapping[str, Any]) -> Any:
    """Add a retry round behind a register task, and return its own register task."""
    with TaskGroup(f"retry_{number}", tooltip="Sends again what failed for a passing reason."):
        select = SelectOperator(
            task_id="select", of_round=number, execution_timeout=STAGE_TIMEOUT, **settings
        )
        register = RegisterOperator.partial(
            task_id="register",
            of_round=number,
            map_index_template="{{ task.label }}",
            pool=register_pool(),
            **settings,
        ).expand(shard=select.output)
    before >> select
    return register


def task_defaults(owner: str) -> dict[str, Any]:
    """Return what holds for the tasks of every DAG: who answers for them, when they are tried again, and who
    is told when they fail for good (which the integration says)."""
    return {
        "owner": owner,
        "retries": RETRIES,
        "retry_delay": timedelta(seconds=30),
        "retry_exponential_backoff": 2.0,
        "max_retry_delay": timedelta(minutes=15),
        "retry_policy": CloudSyncRetryPolicy(),
        "on_failure_callback": alert_on_failure,
        "on_success_callback": alert_on_success,
    }


def documentation(integration: Integration, path: Path) -> str:
    """Return the page of the DAG in the Airflow UI: what it does, and its settings as a table."""
    rows = [
        (code(name), _cell(value))
        for section, fields in integration.model_dump(mode="json").items()
        if section not in SHOWN_BY_AIRFLOW
        for name, value in _settings(section, fields)
    ]
    return "\n".join(
        [
            f"**{integration.description or integration.name}**",
            "",
            f"Keeps the Encord dataset *{integration.target.dataset}* in step with the bucket "
            f"`{integration.storage.bucket}`. Settings stand in `{path.name}`.",
            "",
            "A rerun registers nothing twice. Failed files, each with a reason and a remedy, are in "
            "`failures.csv` of the run; the log of `settle` names its path. What earlier runs have put into "
            "quarantine is shown by `cloud-sync quarantine list`.",
            "",
            table(("setting", "value"), rows),
        ]
    )


def _settings(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the settings below a section, or of each section in a list, with their full names."""
    if isinstance(value, dict) and value:
        for field, inner in value.items():
            yield from _settings(f"{name}.{field}", inner)
    elif isinstance(value, list) and isinstance(next(iter(value), None), dict):
        for place, inner in enumerate(value):
            yield from _settings(f"{name}[{place}]", inner)
    else:
        yield name, value


def _cell(value: Any) -> str:
    if value is None or value in ("", [], {}):
        return "not set"
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return code(text)


__all__ = ["integrations_folder", "load_integrations", "raise_errors", "sync_dags"]
