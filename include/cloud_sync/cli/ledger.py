"""The ledger of an integration, found in the state folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cloud_sync.cli.options import option
from cloud_sync.cli.state import OPTION, SETTING, named_state_folder
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


def named_ledger(integration: Integration, state_folder: str | None, dataset_hash: str | None) -> Ledger:
    """Return the ledger in the named state folder, or in Airflow's.

    Raises:
        ConfigError: There is no such folder, no ledger in it, or there are several and nothing says which.
    """
    folder = named_state_folder(state_folder)
    ledger = find_ledger(integration, folder, dataset_hash)
    if ledger is None:
        raise _no_ledger(integration, folder)
    return ledger


def _no_ledger(integration: Integration, state_folder: RunFolder) -> ConfigError:
    """Return the error of a state folder that knows nothing of an integration: mostly it is another one's."""
    folder = ledgers_folder(integration, state_folder)
    if datasets := folder.folders():
        return ConfigError(
            f"there is no ledger of this dataset, only of {', '.join(datasets)}.",
            where=folder.address(),
            remedy="Correct --dataset-hash, or target.dataset of the integration.",
        )
    others = ", ".join(state_folder.below("ledgers").folders())
    known = f"only of {others}" if others else "nor of any other"
    return ConfigError(
        f"there is no ledger of the integration {integration.name}, {known}.",
        where=state_folder.address(),
        remedy=f"Correct {OPTION}: it is what {SETTING} says where Airflow runs. "
        "A new integration has a ledger after the first run that sends something.",
    )


def ledgers_folder(integration: Integration, state_folder: RunFolder) -> RunFolder:
    """Return the folder of an integration's ledgers, one for each dataset."""
    return state_folder.below(f"ledgers/{integration.name}")
