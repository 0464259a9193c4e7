"""Cases: the items of a run that were not registered, each with its failures in earlier runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cloud_sync.failures.accounting import RefusedItem
from cloud_sync.failures.sendings import Account
from cloud_sync.ledger import FailureHistory, Ledger


@dataclass(frozen=True, slots=True)
class Case:
    """An item that was not registered.

    Attributes:
        refused: The item, and what Encord said.
        history: What the ledger knows of its failures, of none after this run; None if it knows of none.
        attempts: How often it was sent and failed, with this run; each retry round is one more.
        runs: In how many runs it failed, with this one. Runs that stopped themselves do not count: what
            fails all items for one cause says nothing of a single one.
        failed_before: Whether it failed in an earlier run, too.
    """

    refused: RefusedItem
    history: FailureHistory | None
    attempts: int
    runs: int
    failed_before: bool


def read_cases(
    found: Account, ledger: Ledger | None, *, run_id: str, items_path: Path, stopped: bool
) -> list[Case]:
    """Return a case for each item that was not registered, in order.

    Args:
        found: What became of the items of the run.
        ledger: Has the earlier failures; None if there are none.
        run_id: The run's name in the ledger.
        items_path: The table of what the build stage wrote.
        stopped: Whether the run stopped itself.
    """
    urls = [url for one in found.refused for url in one.files]
    histories = ledger.histories(run_id, items_path, urls) if ledger is not None and urls else {}
    return [_case(histories, found, one, stopped=stopped) for one in found.refused]


def _case(
    histories: Mapping[str, FailureHistory], found: Account, one: RefusedItem, *, stopped: bool
) -> Case:
    history = _history(histories, one)
    tries = found.tries_of(one.item)
    if history is None:
        return Case(one, None, tries, int(not stopped), failed_before=False)
    if _is_of_this_run(history, one):
        return Case(one, history, history.attempts, history.runs, failed_before=history.attempts > tries)
    return Case(one, history, history.attempts + tries, history.runs + (not stopped), failed_before=True)


def _history(histories: Mapping[str, FailureHistory], one: RefusedItem) -> FailureHistory | None:
    """Return an item's earlier failures. As a changed file begins anew, so does an item with one."""
    known = [histories.get(url) for url in one.files]
    history = min((h for h in known if h), key=lambda h: h.attempts) if all(known) else None
    if history and not _is_of_this_run(history, one) and history.last_failed_at > _ended(one):
        return None  # an old run that settles once more: it has failed since
    return history


def _is_of_this_run(history: FailureHistory, one: RefusedItem) -> bool:
    """Tell whether an item's last failure is the one that is settled now, as of a run that settles again."""
    if history.upload_job_id != one.outcome.job_id:
        return False
    # Encord refused the manifest, so that there is no job to tell it by.
    return bool(history.upload_job_id) or (history.manifest, history.last_failed_at) == (
        one.entry.name,
        _ended(one),
    )


def _ended(one: RefusedItem) -> datetime:
    return datetime.fromisoformat(one.outcome.finished_at)
