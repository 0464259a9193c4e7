"""Settle: what became of each manifest, which files failed and why, what the ledger says from now on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Final

from cloud_sync.errors import StorageError
from cloud_sync.failures.accounting import Ended, FolderReader, Tally, registered_by_type
from cloud_sync.failures.cases import Case, read_cases
from cloud_sync.failures.diagnose import REQUESTS_AT_MOST, ObjectReader, open_and_diagnose
from cloud_sync.failures.faults import at_fault, key_of, next_step_of, suspects
from cloud_sync.failures.model import MAY_PASS, Diagnosis, Failure, NextStep, Suspect
from cloud_sync.failures.replaced import Replaced, read_replaced
from cloud_sync.failures.sendings import Account, Sending, account, read_sendings
from cloud_sync.ledger import Ledger, LedgerState, Left, SettledFailure, SettledManifest
from cloud_sync.manifest.model import ManifestEntry, SentItem
from cloud_sync.planning.model import UNLINK_NAME
from cloud_sync.registration.model import Outcome, read_unlinked, tripped
from cloud_sync.run_folder import RunFolder

STEPS: Final[Mapping[LedgerState, NextStep]] = {
    LedgerState.QUARANTINED: NextStep.QUARANTINED,
    LedgerState.FAILED: NextStep.RETRIED,
    LedgerState.REGISTERED: NextStep.NONE,  # by another run meanwhile
}
"""What becomes of a failed file by its state in the ledger."""


@dataclass(frozen=True, slots=True)
class RoundTally:
    """What a retry round came to, in items: how many were sent again, and how many are registered now."""

    number: int
    sent: int
    registered: int


@dataclass(slots=True)
class Settlement:
    """What a run came to.

    Attributes:
        ended: Manifests whose upload job has ended, with its outcome; those of retry rounds too.
        waiting: Manifests without an outcome: never sent, or their task failed.
        unbuilt: True if the build stage never finished, so that it is not known what would be sent.
        failures: One for each file at fault for an item that was not registered, ordered by URL.
        sent: Items in the manifests that have ended; one that was sent again counts once.
        failed: Items sent that are not registered.
        failed_before: Those of them that failed in an earlier run, too, and have not changed since.
        failed_replaced: Those of them that were to be registered again, and have left the dataset.
        registered: Items that this run registered.
        already_registered: Items sent that were registered before.
        by_type: The items of both, by their type.
        rounds: What each retry round came to.
        quarantined_files: Files that are quarantined after this run, by the ledger; None without a ledger.
        registered_files: Files that are registered after this run, likewise.
        newly_quarantined: Those of them that belong to items that failed in this run.
        healed: Numbers of manifests of which each item is registered, was sent again in a retry round, or has
            an error of its own.
    """

    ended: list[Ended] = field(default_factory=list)
    waiting: list[ManifestEntry] = field(default_factory=list)
    unbuilt: bool = False
    failures: list[Failure] = field(default_factory=list)
    sent: int = 0
    failed: int = 0
    failed_before: int = 0
    failed_replaced: int = 0
    registered: int = 0
    already_registered: int = 0
    by_type: dict[str, Tally] = field(default_factory=dict)
    rounds: list[RoundTally] = field(default_factory=list)
    quarantined_files: int | None = None
    registered_files: int | None = None
    newly_quarantined: int = 0
    healed: frozenset[int] = frozenset()

    @property
    def waiting_items(self) -> int:
        """Items that were planned, but whose manifest has no outcome."""
        return sum(entry.items for entry in self.waiting)

    @property
    def broken_jobs(self) -> list[Outcome]:
        """Upload jobs that were refused or cancelled and left items behind for no reason of their own."""
        bad = [outcome for _, outcome in self.ended if outcome.status != "done"]
        return [outcome for outcome in bad if outcome.manifest_number not in self.healed]


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
        committed_as: The run's name in the ledger, where several DAGs write into one; left out: `run_id`.
    """

    run_id: str
    integration: str
    dataset: str
    url_base: str
    parse_url: Callable[[str], str]
    remedies: Mapping[str, str] = field(default_factory=dict)
    diagnosis_requests: int = REQUESTS_AT_MOST
    committed_as: str = ""

    @property
    def ledger_run_id(self) -> str:
        """The run's name in the ledger."""
        return self.committed_as or self.run_id


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
    result = _settle(folder, context, ledger, open_reader, encord_folder)
    if ledger is not None:
        left = _left(folder)
        if left is not None and not result.ended:  # else the new version has it
            ledger.mark_removed(left)
        version = ledger.current()
        counts = version.counts if version else {}
        result.quarantined_files = counts.get(LedgerState.QUARANTINED, 0)
        result.registered_files = counts.get(LedgerState.REGISTERED, 0)
    return result


def _left(folder: RunFolder) -> Left | None:
    """Return what has left the dataset; None if nothing has.

    The unlink stage has told the ledger already; an earlier run that settled since may have undone that.
    """
    done = read_unlinked(folder, UNLINK_NAME)
    if done is None:
        return None
    return Left(folder.local(done.left_name(UNLINK_NAME)), datetime.fromisoformat(done.at))


def _settle(
    folder: RunFolder,
    context: SettleContext,
    ledger: Ledger | None,
    open_reader: Callable[[], ObjectReader],
    encord_folder: FolderReader,
) -> Settlement:
    sendings = read_sendings(folder)
    if sendings is None:
        return Settlement(unbuilt=True)
    result = Settlement(
        ended=[one for sending in sendings for one in sending.ended],
        waiting=[entry for sending in sendings for entry in sending.waiting],
    )
    if not result.ended:
        return result
    found = account(sendings, encord_folder)
    _count(result, sendings, found)
    stopped = tripped(folder) is not None
    cases = _cases(context, sendings, ledger, found, stopped=stopped)
    result.failed_before = sum(case.failed_before for case in cases if case.refused.item is not None)
    replaced = read_replaced(folder)
    result.failed_replaced = sum(
        replaced.has(case.refused.files) for case in cases if case.refused.item is not None
    )
    result.failures = _failures(
        context, cases, open_reader, replaced, may_reject=not stopped, syncs=ledger is not None
    )
    if ledger is not None:
        items_paths = [sending.items_path for sending in sendings]
        _commit(ledger, context, items_paths, result, _left(folder), stopped=stopped)
        _read_back(ledger, context, found, result)
    return result


def known_failures(
    folder: RunFolder,
    *,
    context: SettleContext,
    ledger: Ledger | None,
    open_reader: Callable[[], ObjectReader],
) -> list[Failure]:
    """Return the failures that Encord has named, for when settling breaks off and so much is known already.

    Args:
        folder: The run folder.
        context: Where and for whom.
        ledger: Has the earlier failures; without them if it cannot be read.
        open_reader: Opens the object store; called only if something failed.
    """
    sendings = read_sendings(folder) or []
    if not any(sending.ended for sending in sendings):
        return []
    found = account(sendings, _UnaskedFolder())
    stopped = tripped(folder) is not None
    try:
        cases = _cases(context, sendings, ledger, found, stopped=stopped)
    except StorageError:
        cases = _cases(context, sendings, None, found, stopped=stopped)
    replaced = read_replaced(folder)
    return _failures(context, cases, open_reader, replaced, may_reject=not stopped, syncs=ledger is not None)


class _UnaskedFolder:
    """Stands for Encord's folder where it is not asked: nothing is known to be in it, or not to be."""

    def find(self, items: Iterable[SentItem]) -> tuple[list[str], list[SentItem]]:
        """Return nothing of these items."""
        return [], []

    def link(self, item_uuids: Sequence[str]) -> None:
        """Link nothing."""


def _count(result: Settlement, sendings: Sequence[Sending], found: Account) -> None:
    """Fill in the counts. An item that stands in a retry round is known by its first manifest only once."""
    built, *rounds = sendings
    refused = [one.item for one in found.refused if one.item is not None]
    result.sent = built.items - len(found.unanswered)
    result.failed = len(refused)
    result.registered = sum(sending.made for sending in sendings)
    result.already_registered = max(0, result.sent - result.failed - result.registered)
    result.by_type = registered_by_type(built.items_path, built.ended, chain(refused, found.unanswered))
    result.rounds = [
        RoundTally(sending.number, sending.items, registered)
        for sending, registered in zip(rounds, found.registered[1:], strict=True)
    ]
    left = {one.entry.number for one in found.refused if one.item is not None and not one.errors}
    result.healed = frozenset(entry.number for entry, _ in result.ended) - left


def _cases(
    context: SettleContext,
    sendings: Sequence[Sending],
    ledger: Ledger | None,
    found: Account,
    *,
    stopped: bool,
) -> list[Case]:
    items_path = sendings[0].items_path
    return read_cases(found, ledger, run_id=context.ledger_run_id, items_path=items_path, stopped=stopped)


def _failures(
    context: SettleContext,
    cases: Sequence[Case],
    open_reader: Callable[[], ObjectReader],
    replaced: Replaced,
    *,
    may_reject: bool,
    syncs: bool,
) -> list[Failure]:
    if not cases:
        return []
    of_cases = [
        suspects(case.refused, context.parse_url, attempts=case.runs if may_reject else 0) for case in cases
    ]
    diagnoses = iter(
        open_and_diagnose(
            open_reader,
            list(chain.from_iterable(of_cases)),
            requests_at_most=context.diagnosis_requests,
        )
    )
    rows: list[Failure] = []
    for case, of_case in zip(cases, of_cases, strict=True):
        faults = at_fault([(suspect, next(diagnoses)) for suspect in of_case])
        next_step = next_step_of(case, [diagnosis for _, diagnosis in faults]) if syncs else NextStep.NONE
        found = [_failure(context, case, *fault, next_step) for fault in faults]
        if replaced.has(case.refused.files):
            found = [replace(row, reason=f"{row.reason} {replaced.told}") for row in found]
        rows += found
    return sorted(rows, key=lambda row: row.object_url)


def _failure(
    context: SettleContext, case: Case, suspect: Suspect, diagnosis: Diagnosis, next_step: NextStep
) -> Failure:
    one = case.refused
    first = case.history.first_failed_at if case.history else None
    title = one.item.title if one.item else None
    return Failure(
        object_url=suspect.url,
        item_type=suspect.item_type,
        title=title or (suspect.key or suspect.url).rsplit("/", 1)[-1],
        failure_class=diagnosis.failure_class,
        reason=diagnosis.reason,
        remedy=context.remedies.get(diagnosis.failure_class, diagnosis.remedy),
        attempts=case.attempts,
        first_failed_at=first.isoformat(timespec="seconds") if first else one.outcome.finished_at,
        last_failed_at=one.outcome.finished_at,
        upload_job_id=one.outcome.job_id,
        unit_id=one.error_of(suspect.url).unit_id,
        manifest=one.entry.name,
        integration=context.integration,
        dataset=context.dataset,
        run_id=context.run_id,
        key=suspect.key or "",
        next_step=next_step,
    )


def _commit(
    ledger: Ledger,
    context: SettleContext,
    items_paths: Sequence[Path],
    result: Settlement,
    left: Left | None,
    *,
    stopped: bool,
) -> None:
    ledger.commit(
        run_id=context.ledger_run_id,
        url_base=context.url_base,
        items_path=items_paths[0],
        later=items_paths[1:],
        left=left,
        manifests=[
            SettledManifest(
                entry.number, entry.name, outcome.job_id, datetime.fromisoformat(outcome.finished_at)
            )
            for entry, outcome in result.ended
        ],
        failures=[
            SettledFailure(row.object_url, row.failure_class, _state_of(row), row.reason, row.remedy)
            for row in result.failures
            if row.item_type  # else Encord named a URL that was not sent in that manifest
        ],
        stopped=stopped,
    )


def _read_back(ledger: Ledger, context: SettleContext, found: Account, result: Settlement) -> None:
    """Take from the ledger what became of the failed items' files.

    It knows more than this run: files of a group share their state, and what was released since it failed is
    not quarantined again.
    """
    urls = {url for one in found.refused if one.item is not None for url in one.files}
    states = ledger.states(filter(None, (key_of(context.parse_url, url) for url in urls)))
    result.newly_quarantined = list(states.values()).count(LedgerState.QUARANTINED)
    result.failures = [
        replace(row, next_step=STEPS[states[row.key]]) if row.item_type and row.key in states else row
        for row in result.failures
    ]


def _state_of(row: Failure) -> LedgerState:
    return LedgerState.FAILED if row.failure_class in MAY_PASS else LedgerState.QUARANTINED
