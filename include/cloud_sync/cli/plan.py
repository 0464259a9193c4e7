"""`cloud-sync plan`: what a sync would do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from cloud_sync.cli.ledger import DatasetHashOption, find_ledger, ledgers_folder
from cloud_sync.cli.options import (
    Access,
    EndpointOption,
    OutputOption,
    ProfileOption,
    RegionOption,
    StateFolderOption,
    TablesFolderOption,
)
from cloud_sync.cli.output import Cell, say, show_json, show_table
from cloud_sync.cli.run import PLAN_COLUMNS, in_order, plan_cells, planned_run
from cloud_sync.cli.state import open_folder, state_remedies
from cloud_sync.errors import ConfigError
from cloud_sync.numbers import counted

if TYPE_CHECKING:
    from cloud_sync.integration import Integration
    from cloud_sync.ledger import Ledger
    from cloud_sync.planning.plan import Plan
    from cloud_sync.run_folder import RunFolder

LINES_ON_A_TERMINAL: Final = 20

EPILOG = (
    "Examples:\n\ncloud-sync plan include/integrations/cameras.yaml --profile work\n\n"
    "cloud-sync plan cameras.yaml --state-folder /opt/airflow/state"
)


def plan(
    *,
    file: Annotated[
        Path, typer.Argument(metavar="INTEGRATION", help="Integration file.", show_default=False)
    ],
    state_folder: StateFolderOption = None,
    dataset_hash: DatasetHashOption = None,
    tables_folder: TablesFolderOption = None,
    profile: ProfileOption = None,
    endpoint_url: EndpointOption = None,
    region: RegionOption = None,
    output: OutputOption = "table",
) -> None:
    """Show what a sync would do: list the bucket and plan, and send nothing.

    The bucket is read with this machine's credentials, not those of the Airflow connection.

    Encord is not asked, so what others registered there counts as new.
    """
    from cloud_sync.integration import load_integration

    integration = load_integration(file)
    state = open_folder(state_folder) if state_folder else None
    with state_remedies():
        ledger = _ledger(integration, state, dataset_hash)
    tables = (
        open_folder(tables_folder, "--tables-folder") if tables_folder else state and state.below("tables")
    )
    if integration.metadata.table and tables is None:
        raise ConfigError(
            f"needs the table {integration.metadata.table.path}.",
            where=f"{file}, metadata.table",
            remedy="Say where it is with --tables-folder or --state-folder.",
        )
    with planned_run(
        integration, Access(profile, endpoint_url, region), ledger=ledger, tables_folder=tables
    ) as run:
        if output == "json":
            show_json(_document(integration, ledger, run.plan))
        else:
            rows = [plan_cells(row) for row in in_order(run.plan.rows)]
            show_table(PLAN_COLUMNS, rows, most=LINES_ON_A_TERMINAL, rest=rest_of)
        items, objects = counted(run.plan.items, "item"), counted(run.plan.to_register, "object")
        say(f"A sync would send {items} of {objects}.")


def rest_of(rows: Sequence[Sequence[Cell]]) -> list[Cell]:
    """Return the line that stands for those that are not shown."""
    sums = [sum(cell for cell in column if isinstance(cell, int)) for column in zip(*rows, strict=True)]
    return [f"{counted(len(rows), 'more kind')}", "in a pipe or file there are all", *sums[2:]]


def _ledger(
    integration: Integration, state_folder: RunFolder | None, dataset_hash: str | None
) -> Ledger | None:
    """Return the integration's ledger; None if there is none, which is said."""
    if state_folder is None:
        say("Without --state-folder everything counts as new.", style="yellow")
        return None
    ledger = find_ledger(integration, state_folder, dataset_hash)
    if ledger is None:
        folder = ledgers_folder(integration, state_folder)
        say(f"There is no ledger in {folder.address()} yet: everything counts as new.", style="yellow")
    return ledger


def _document(integration: Integration, ledger: Ledger | None, plan: Plan) -> dict[str, Any]:
    from dataclasses import asdict

    from cloud_sync.planning.model import REASONS

    return {
        "integration": integration.name,
        "ledger": ledger.files.address() if ledger else None,
        "to_register": {"objects": plan.to_register, "items": plan.items},
        "rows": [{**asdict(row), "reason_text": REASONS[row.reason]} for row in plan.rows],
    }
