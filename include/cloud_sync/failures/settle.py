"""Settle: what became of each manifest, which files failed and why, what the ledger says from now on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain
from pathlib import Path

from cloud_sync.errors import CloudSyncError
from cloud_sync.failures.accounting import (
    Ended,
    FolderReader,
    RefusedItem,
    Tally,
    refused_items,
    registered_by_type,
)
from cloud_sync.failures.diagnose import REQUESTS_AT_MOST, ObjectReader, open_and_diagnose
from cloud_sync.failures.model import MAY_PASS, Diagnosis, Failure, FailureClass, Suspect
from cloud_sync.ledger import FailureHistory, Ledger, LedgerState, SettledFailure, SettledManifest
from cloud_sync.manifest.model import ITEMS_NAME, ManifestEntry, read_index
from cloud_sync.registration.model import read_outcome
from cloud_sync.run_folder import RunFolder

# The classes of files that look as they should: nobody knows then which file of a group is at fault.
HEALTHY = frozenset({FailureClass.TRANSIENT, FailureClass.REJECTED})


@dataclass(slots=True)
class Settlement:
    """What a run came to.

    Attributes:
        ended: Manifests whose upload job has ended, with its outcome.
        waiting: Manifests without an outcome: never sent, or their task failed.
        unbuilt: True if the build stage never finished, so that it is not known what would be sent.
        failures: One for each file at fault for an item that was not registered, ordered by URL.
        failed: Items sent that are not registered.
        registered: Items that this run registered.
        already_registered: Items sent that were registered before.
        by_type: The items of both, by their type.
    """

    ended: list[Ended] = field(default_factory=list)
    waiting: list[ManifestEntry] = field(default_factory=list)
    unbuilt: bool = False
    failures: list[Failure] = field(default_factory=list)
    failed: int = 0
    registered: int = 0
    already_registered: int = 0
    by_type: dict[str, Tally] = field(default_factory=dict)

    @property
    def waiting_items(self) -> int:
        """Items that were planned, but whose manifest has no outcome."""
        return sum(entry.items for entry in self.waiting)


@dataclass(frozen=True, slots=True)
class SettleContext:
    """Where and for whom is settled.

    Attributes:
        run_id: The DAG run.
        integration: The integration's name.
        dataset: The dataset's title.
        url_base: How this run's object URLs begin.
        parse_url: Turns an object URL into its key; a CloudSyncError if it is not of the bucket.
        remedies: What to say instead of a class's usual remedies.
        diagnosis_requests: How many requests may be made to find out what is wrong with the failed files.
    """

    run_id: str
    integration: str
    dataset: str
    url_base: str
    parse_url: Callable[[str], str]
    remedies: Mapping[str, str] = field(default_factory=dict)
    diagnosis_requests: int = REQUESTS_AT_MOST


def settle(
    folder: RunFolder,
    *,
    context: SettleContext,
    ledger: Ledger | None,
    open_reader: Callable[[], ObjectReader],
    encord_folder: FolderReader,
) -> Settlement:
    """Account for every item of every manifest, diagnose the failures and write the next ledger version.

    An item is registered as a whole or not at all. Of a failed one the files at fault become failures,
    and all its files the worst of their states in the ledger.

    Args:
        folder: The run folder.
        context: Where and for whom.
        ledger: Gets a new version if a manifest has ended; None for a run that no later one builds on.
        open_reader: Opens the object store; called only if something failed.
        encord_folder: Read only if the counts leave a doubt.

    Returns:
        The settlement. Settling the same run again gives the same ledger.
    """
    result = _outcomes(folder)
    items_path = folder.path(ITEMS_NAME)
    if not result.ended:
        return result
    refused = refused_items(items_path, result.ended, encord_folder)
    sent = sum(entry.items for entry, _ in result.ended)
    result.failed = sum(one.item is not None for one in refused)
    result.already_registered = max(0, sent - result.failed - result.registered)
    result.by_type = registered_by_type(items_path, result.ended, refused)
    result.failures = _failures(context, items_path, ledger, open_reader, refused)
    if ledger is not None:
        _commit(ledger, context, items_path, result)
    return result


def _outcomes(folder: RunFolder) -> Settlement:
    index = read_index(folder)
    # What an earlier try of the run built says nothing about the plan that there is now.
    if not index.is_of(folder):
        return Settlement(unbuilt=True)
    result = Settlement()
    for entry in index.manifests:
        outcome = read_outcome(folder, entry.number)
        if outcome is None or outcome.manifest != entry.name:
            result.waiting.append(entry)
        else:
            result.ended.append((entry, outcome))
            result.registered += min(outcome.made, outcome.items)
    return result


def _failures(
    context: SettleContext,
    items_path: Path,
    ledger: Ledger | None,
    open_reader: Callable[[], ObjectReader],
    refused: Sequence[RefusedItem],
) -> list[Failure]:
    if not refused:
        return []
    urls = [url for one in refused for url in one.files]
    histories = ledger.histories(context.run_id, items_path, urls) if ledger is not None else {}
    cases = [(one, _history(histories, one)) for one in refused]
    suspects = [_suspects(context, *case) for case in cases]
    diagnoses = iter(
        open_and_diagnose(
            open_reader,
            list(chain.from_iterable(suspects)),
            requests_at_most=context.diagnosis_requests,
        )
    )
    rows: list[Failure] = []
    for (one, history), of_item in zip(cases, suspects, strict=True):
        found = [(suspect, next(diagnoses)) for suspect in of_item]
        rows += [_failure(context, one, history, *pair) for pair in at_fault(found)]
    return sorted(rows, key=lambda row: row.object_url)


def _history(histories: Mapping[str, FailureHistory], one: RefusedItem) -> FailureHistory | None:
    """Return an item's earlier failures. As a changed file begins anew, so does an item with one."""
    known = [histories.get(url) for url in one.files]
    return min((h for h in known if h), key=lambda h: h.attempts) if all(known) else None


def _suspects(context: SettleContext, one: RefusedItem, history: FailureHistory | None) -> list[Suspect]:
    return [
        Suspect(
            url=url,
            key=_key_of(context, url),
            item_type=one.item.item_type if one.item else "",
            encord_error=one.error_of(url).error,
            attempts=history.attempts + 1 if history else 1,
            is_named=url in one.errors,
        )
        for url in one.suspects
    ]


def at_fault(found: Sequence[tuple[Suspect, Diagnosis]]) -> Sequence[tuple[Suspect, Diagnosis]]:
    """Return which of an item's suspects are at fault; if all look healthy, none can be left out."""
    return [one for one in found if one[1].failure_class not in HEALTHY] or found


def _key_of(context: SettleContext, url: str) -> str | None:
    try:
        return context.parse_url(url)
    except CloudSyncError:  # Encord named a URL that is not of this bucket
        return None


def _failure(
    context: SettleContext,
    one: RefusedItem,
    history: FailureHistory | None,
    suspect: Suspect,
    diagnosis: Diagnosis,
) -> Failure:
    first = history.first_failed_at if history else None
    title = one.item.title if one.item else None
    return Failure(
        object_url=suspect.url,
        item_type=suspect.item_type,
        title=title or (suspect.key or suspect.url).rsplit("/", 1)[-1],
        failure_class=diagnosis.failure_class,
        reason=diagnosis.reason,
        remedy=context.remedies.get(diagnosis.failure_class, diagnosis.remedy),
        attempts=suspect.attempts,
        first_failed_at=first.isoformat(timespec="seconds") if first else one.outcome.finished_at,
        last_failed_at=one.outcome.finished_at,
        upload_job_id=one.outcome.job_id,
        unit_id=one.error_of(suspect.url).unit_id,
        manifest=one.entry.name,
        integration=context.integration,
        dataset=context.dataset,
        run_id=context.run_id,
    )


def _commit(ledger: Ledger, context: SettleContext, items_path: Path, result: Settlement) -> None:
    ledger.commit(
        run_id=context.run_id,
        url_base=context.url_base,
        items_path=items_path,
        manifests=[
            SettledManifest(
                entry.number, entry.name, outcome.job_id, datetime.fromisoformat(outcome.finished_at)
            )
            for entry, outcome in result.ended
        ],
        failures=[
            SettledFailure(row.object_url, row.failure_class, _state_of(row))
            for row in result.failures
            if row.item_type  # else Encord named a URL that was not sent in that manifest
        ],
    )


def _state_of(row: Failure) -> LedgerState:
    return LedgerState.FAILED if row.failure_class in MAY_PASS else LedgerState.QUARANTINED
