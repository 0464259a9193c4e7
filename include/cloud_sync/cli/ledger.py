"""The ledger of an integration, found in the state folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cloud_sync.cli.options import option
from cloud_sync.cli.output import say
from cloud_sync.cli.state import named_state_folder
from cloud_sync.errors import ConfigError

if TYPE_CHECKING:
    from cloud_sync.integration import Integration
    from cloud_sync.ledger import Ledger
    from cloud_sync.run_folder import RunFolder

DatasetHashOption = Annotated[str | None, option("Which dataset's ledger, if there are several.")]


def find_ledger(integration: Integration, state_folder: RunFolder, dataset_hash: str | None) -> Ledger | None:
    """Return the integration's ledger; None if there is none.

    Raises:
        ConfigError: There are several, and nothing says which.
    """
    from cloud_sync.ledger import Ledger

    folder = ledgers_folder(integration, state_folder)
    known = folder.folders()
    wanted = dataset_hash or (integration.target.dataset if integration.target.dataset_is_hash else None)
    if wanted is None and len(known) > 1:
        raise ConfigError(
            f"there are ledgers of the datasets {', '.join(known)}.",
            where=folder.address(),
            remedy="Say which with --dataset-hash.",
        )
    chosen = wanted or next(iter(known), None)
    return Ledger(folder.below(str(chosen)).files) if chosen in known else None


def named_ledger(
    integration: Integration, state_folder: str | None, dataset_hash: str | None
) -> Ledger | None:
    """Return the ledger in the named state folder, or in Airflow's; None if there is none, which is said.

    Raises:
        ConfigError: There is no such folder, or there are several ledgers and nothing says which.
    """
    folder = named_state_folder(state_folder)
    ledger = find_ledger(integration, folder, dataset_hash)
    if ledger is None:
        say(f"There is no ledger in {ledgers_folder(integration, folder).address()} yet.", style="yellow")
    return ledger


def ledgers_folder(integration: Integration, state_folder: RunFolder) -> RunFolder:
    """Return the folder of an integration's ledgers, one for each dataset."""
    return state_folder.below(f"ledgers/{integration.name}")
