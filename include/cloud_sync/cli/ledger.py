"""The ledger of an integration, found in the state folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from cloud_sync.cli.options import option
from cloud_sync.errors import ConfigError

if TYPE_CHECKING:
    from cloud_sync.integration import Integration
    from cloud_sync.ledger import Ledger

SETTING: Final = "AIRFLOW__CLOUD_SYNC__STATE_FOLDER"

DatasetHashOption = Annotated[str | None, option("Which dataset's ledger, if there are several.")]


def find_ledger(integration: Integration, state_folder: Path, dataset_hash: str | None) -> Ledger | None:
    """Return the integration's ledger; None if there is none.

    Raises:
        ConfigError: There are several, and nothing says which.
    """
    from cloud_sync.ledger import Ledger

    folder = ledgers_folder(integration, state_folder)
    known = sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    wanted = dataset_hash or (integration.target.dataset if integration.target.dataset_is_hash else None)
    if wanted is None and len(known) > 1:
        raise ConfigError(
            f"there are ledgers of the datasets {', '.join(known)}.",
            where=str(folder),
            remedy="Say which with --dataset-hash.",
        )
    chosen = wanted or next(iter(known), None)
    return Ledger(folder / str(chosen)) if chosen in known else None


def ledgers_folder(integration: Integration, state_folder: Path) -> Path:
    """Return the folder of an integration's ledgers, one for each dataset."""
    return state_folder / "ledgers" / integration.name


def checked_state_folder(folder: Path) -> Path:
    """Return a state folder that is there.

    Raises:
        ConfigError: It is not.
    """
    if not folder.is_dir():
        raise ConfigError("is not a folder.", where=str(folder), remedy="Correct --state-folder.")
    return folder


def airflow_state_folder() -> Path:
    """Return Airflow's state folder on this machine, where nothing else says it.

    Raises:
        ConfigError: It is not there.
    """
    home = os.environ.get("AIRFLOW_HOME", "~/airflow")
    folder = Path(os.environ.get(SETTING) or f"{home}/cloud_sync").expanduser()
    if not folder.is_dir():
        raise ConfigError(
            f"there is no state folder {folder}.",
            where="--state-folder",
            remedy="Name the one that the setting state_folder of the section cloud_sync names in Airflow.",
        )
    return folder
