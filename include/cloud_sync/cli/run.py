"""A run without Airflow and Encord: list and plan as the pipelines do, in a temporary run folder."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cloud_sync.cli.output import Cell, Column, counting, say
from cloud_sync.cli.store import local_remedies, open_storage
from cloud_sync.numbers import counted

if TYPE_CHECKING:
    from cloud_sync.cli.options import Access
    from cloud_sync.cli.store import OpenStorage
    from cloud_sync.integration import Integration, Storage
    from cloud_sync.ledger import Ledger
    from cloud_sync.objects.model import WrittenListing
    from cloud_sync.planning.model import PlanRow
    from cloud_sync.planning.plan import Plan
    from cloud_sync.run_folder import RunFolder
    from cloud_sync.run_folder.files import Files

ACTIONS: Final = ("register", "retry", "unlink", "hold", "report", "skip")
"""As a person asks for them: what is sent, leaves the dataset, waits, needs a look, is left out."""

PLAN_COLUMNS = (
    Column("action / type"),
    Column("reason / examples"),
    Column("objects", "count"),
    Column("items", "count"),
    Column("bytes", "bytes"),
)


@dataclass(frozen=True, slots=True)
class LocalRun:
    """A run that was planned.

    Attributes:
        folder: Its run folder, which is gone when the command ends.
        storage: The bucket.
        plan: What was decided.
    """

    folder: RunFolder
    storage: OpenStorage
    plan: Plan


@contextmanager
def planned_run(
    integration: Integration,
    access: Access,
    *,
    ledger: Ledger | None = None,
    tables_folder: RunFolder | None = None,
) -> Iterator[LocalRun]:
    """List an integration's bucket and plan; remove the run folder at the end.

    Args:
        integration: What is synced.
        access: How the bucket is reached.
        ledger: What is known; only read. None plans everything as new.
        tables_folder: Holds the metadata tables.

    Raises:
        ConfigError: A setting is wrong, or object URLs would begin otherwise than those registered.
        StorageError: The store or the disk refused or failed.
    """
    from cloud_sync.run_folder import RunFolder

    with (
        tempfile.TemporaryDirectory(prefix="cloud-sync-") as root,
        local_remedies(integration.storage.provider),
    ):
        folder = RunFolder(root)
        storage = open_storage(integration.storage, access)
        if ledger is not None:
            ledger.check_url_base(storage.urls.base)
        plan = _list_and_plan(folder, integration, storage, ledger, tables_folder)
        yield LocalRun(folder, storage, plan)


def _list_and_plan(
    folder: RunFolder,
    integration: Integration,
    storage: OpenStorage,
    ledger: Ledger | None,
    tables_folder: RunFolder | None,
) -> Plan:
    from cloud_sync.planning.model import Sources
    from cloud_sync.planning.plan import make_plan

    written = list_bucket(folder, integration, storage)
    return make_plan(
        folder,
        listing_parts=written.parts,
        integration=integration,
        ledger=ledger.current() if ledger else None,
        now=written.listed_at,
        sources=Sources(
            lambda: storage.store,
            _cache_folder(folder, ledger),
            tables_folder.files if tables_folder else Path(),
        ),
    )


def list_bucket(folder: RunFolder, integration: Integration, storage: OpenStorage) -> WrittenListing:
    """List an integration's bucket into a run folder, and say so."""
    from cloud_sync.objects.listing import list_objects
    from cloud_sync.objects.model import read_listing

    prefix = integration.storage.prefix
    place = f"{integration.storage.bucket}/{prefix}"
    storage.store.check_access(prefix)
    with counting(f"Listing {place}") as count:
        listing = list_objects(storage.store, prefix, folder, on_objects=count)
    say(f"Listed {counted(listing.objects, 'object')} under {place} in {listing.seconds:.1f} s.")
    if not listing.objects:
        _say_nothing_there(integration.storage, prefix)
    return read_listing(folder, listing.index)


def _say_nothing_there(storage: Storage, prefix: str) -> None:
    from cloud_sync.planning.empty import NothingListed

    access = "the access to it (--profile, --endpoint-url, --region)"
    nothing = NothingListed.under(storage, prefix, access=access)
    say(f"Nothing was listed: {nothing.why} {nothing.remedy}", style="yellow")


def _cache_folder(folder: RunFolder, ledger: Ledger | None) -> Files:
    """Return a folder with what is known of DICOM files; a copy, because planning writes what it learns."""
    from cloud_sync.planning.series import HEADERS_NAME

    if ledger is not None and ledger.files.exists(HEADERS_NAME):
        folder.write(HEADERS_NAME, ledger.files.read(HEADERS_NAME))
    return folder.files


def in_order(rows: Iterable[PlanRow]) -> list[PlanRow]:
    """Return lines of a plan as they are shown: by action, of each the most objects first."""
    return sorted(rows, key=lambda row: (ACTIONS.index(row.action), -row.objects))


def plan_cells(row: PlanRow) -> list[Cell]:
    """Return a line of the plan as cells of `PLAN_COLUMNS`."""
    from cloud_sync.planning.model import REASONS

    return [
        (row.action, row.item_type or "other"),
        (REASONS[row.reason], ", ".join(row.examples)),
        row.objects,
        row.items,
        row.total_bytes,
    ]
