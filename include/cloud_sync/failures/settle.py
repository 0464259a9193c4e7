"""Settle: what became of each manifest, which files failed and why, what the ledger says from now on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import pyarrow.dataset as ds

from cloud_sync.errors import CloudSyncError
from cloud_sync.failures.diagnose import ObjectReader, Suspect, diagnose
from cloud_sync.failures.model import Diagnosis, Failure, FailureClass
from cloud_sync.ledger import FailureHistory, Ledger, LedgerState, SettledFailure, SettledManifest
from cloud_sync.manifest.model import ITEMS_NAME, ManifestEntry, read_index
from cloud_sync.registration.model import FolderItem, Outcome, UnitError, read_outcome
from cloud_sync.run_folder import RunFolder

# Rows of items.parquet looked at in one go.
BATCH_ROWS = 50_000


class FolderReader(Protocol):
    """What settling needs of Encord: what the target's folder holds, and to link what is there."""

    def items(self) -> Iterator[FolderItem]:
        """Yield every item of the folder."""

    def link(self, item_uuids: Sequence[str]) -> None:
        """Make sure that these items of the folder are in the dataset."""


@dataclass(slots=True)
class Settlement:
    """What a run came to.

    Attributes:
        ended: Manifests whose upload job has ended, with its outcome.
        waiting: Manifests without an outcome: never sent, or their task failed.
        unbuilt: True if the build stage never finished, so that it is not known what would be sent.
        failures: One for each file that was not registered, ordered by URL.
        registered: Items that this run registered.
        already_registered: Items sent that were registered before.
    """

    ended: list[tuple[ManifestEntry, Outcome]] = field(default_factory=list)
    waiting: list[ManifestEntry] = field(default_factory=list)
    unbuilt: bool = False
    failures: list[Failure] = field(default_factory=list)
    registered: int = 0
    already_registered: int = 0

    @property
    def waiting_items(self) -> int:
        """Items that were planned, but whose manifest has no outcome."""
        return sum(entry.items for entry in self.waiting)


@dataclass(frozen=True, slots=True)
class SettleContext:
    """Where and for whom is settled."""

    run_id: str
    integration: str
    dataset: str
    url_base: str
    parse_url: Callable[[str], str]


@dataclass(frozen=True, slots=True)
class _Refused:
    """A file that was not registered, before it is diagnosed."""

    url: str
    item_type: str
    entry: ManifestEntry
    outcome: Outcome
    error: UnitError
    is_named: bool

    @property
    def is_item(self) -> bool:
        """False if Encord named a URL that was not sent."""
        return self.item_type != ""


def settle(
    folder: RunFolder,
    *,
    context: SettleContext,
    ledger: Ledger,
    open_reader: Callable[[], ObjectReader],
    encord_folder: FolderReader,
) -> Settlement:
    """Account for every item of every manifest, diagnose the failures and write the next ledger version.

    Each URL of a manifest ends in one of three ways: named by a unit error it has failed; if those names
    and the items that the job made cover the manifest, the others are registered; if they do not
    (duplicates are skipped, jobs are cancelled, errors name no file) the folder's items decide.

    Args:
        folder: The run folder.
        context: Where and for whom.
        ledger: Gets a new version if a manifest has ended.
        open_reader: Opens the object store; called only if something failed.
        encord_folder: Read only if the counts leave a doubt.

    Returns:
        The settlement. Settling the same run again gives the same ledger.
    """
    result = _outcomes(folder)
    items_path = folder.path(ITEMS_NAME)
    refused = dict(_unit_errors(items_path, result.ended))
    named = Counter(one.entry.number for one in refused.values() if one.is_item)
    doubtful = [(entry, outcome) for entry, outcome in result.ended if not _is_accounted(outcome, named)]
    refused.update(_absent(items_path, doubtful, refused, encord_folder))
    sent = sum(entry.items for entry, _ in result.ended)
    not_registered = sum(one.is_item for one in refused.values())
    result.already_registered = max(0, sent - not_registered - result.registered)
    result.failures = _failures(context, items_path, ledger, open_reader, refused)
    if result.ended:
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
            result.registered += outcome.made
    return result


def _is_accounted(outcome: Outcome, named: Mapping[int, int]) -> bool:
    return outcome.status == "done" and outcome.made + named[outcome.manifest_number] == outcome.items


def _unit_errors(
    items_path: Path, ended: Sequence[tuple[ManifestEntry, Outcome]]
) -> Iterator[tuple[str, _Refused]]:
    """Yield the files that unit errors name."""
    named = {
        url: (entry, outcome, error)
        for entry, outcome in ended
        for error in outcome.unit_errors
        for url in error.urls
    }
    types = dict(_urls_of(items_path, urls=list(named))) if named else {}
    for url, (entry, outcome, error) in named.items():
        yield url, _Refused(url, types.get(url, ""), entry, outcome, error, is_named=True)


def _absent(
    items_path: Path,
    doubtful: Sequence[tuple[ManifestEntry, Outcome]],
    refused: Mapping[str, _Refused],
    encord_folder: FolderReader,
) -> Iterator[tuple[str, _Refused]]:
    """Yield the files of doubtful manifests that the folder does not hold; link those that it does."""
    if not doubtful:
        return
    by_number = {entry.number: (entry, outcome) for entry, outcome in doubtful}
    wanted: dict[str, tuple[str, int]] = {}
    for url, item_type, number in _rows_of(items_path, manifests=list(by_number)):
        if url not in refused:
            wanted[url] = (item_type, number)
    present: list[str] = []
    for item in encord_folder.items():
        if item.url is not None and wanted.pop(item.url, None) is not None:
            present.append(item.uuid)
    encord_folder.link(present)
    for url, (item_type, number) in wanted.items():
        entry, outcome = by_number[number]
        yield url, _Refused(url, item_type, entry, outcome, _unnamed(outcome), is_named=False)


def _unnamed(outcome: Outcome) -> UnitError:
    """What to say of a file that Encord did not name although it was not registered."""
    if outcome.status == "cancelled":
        return UnitError((), "The upload job was cancelled before this file.", "", "")
    if outcome.status == "done":
        return UnitError((), "Encord neither registered it nor named an error for it.", "", "")
    said = outcome.job_errors[0] if outcome.job_errors else "another file of its manifest failed"
    return UnitError((), f"The whole manifest was refused: {said}", "", "")


def _urls_of(items_path: Path, *, urls: list[str]) -> Iterator[tuple[str, str]]:
    for batch in _scan(items_path, ["url", "item_type"], ds.field("url").isin(urls)):
        yield from zip(batch["url"].to_pylist(), batch["item_type"].to_pylist(), strict=True)


def _rows_of(items_path: Path, *, manifests: list[int]) -> Iterator[tuple[str, str, int]]:
    for batch in _scan(items_path, ["url", "item_type", "manifest"], ds.field("manifest").isin(manifests)):
        yield from zip(*(batch[name].to_pylist() for name in batch.schema.names), strict=True)


def _scan(path: Path, columns: list[str], condition: ds.Expression) -> Iterator[Any]:
    yield from ds.dataset(path).to_batches(columns=columns, filter=condition, batch_size=BATCH_ROWS)


def _failures(
    context: SettleContext,
    items_path: Path,
    ledger: Ledger,
    open_reader: Callable[[], ObjectReader],
    refused: Mapping[str, _Refused],
) -> list[Failure]:
    if not refused:
        return []
    histories = ledger.histories(context.run_id, items_path, refused)
    suspects = [
        Suspect(
            url=url,
            key=_key_of(context, url),
            item_type=one.item_type,
            encord_error=one.error.error,
            attempts=_attempts(histories, url),
            is_named=one.is_named,
        )
        for url, one in refused.items()
    ]
    diagnoses = diagnose(open_reader(), suspects)
    rows = [_failure(context, refused[s.url], diagnoses[s.url], s, histories.get(s.url)) for s in suspects]
    return sorted(rows, key=lambda row: row.object_url)


def _attempts(histories: Mapping[str, FailureHistory], url: str) -> int:
    return histories[url].attempts + 1 if url in histories else 1


def _key_of(context: SettleContext, url: str) -> str | None:
    try:
        return context.parse_url(url)
    except CloudSyncError:  # Encord named a URL that is not of this bucket
        return None


def _failure(
    context: SettleContext,
    one: _Refused,
    diagnosis: Diagnosis,
    suspect: Suspect,
    history: FailureHistory | None,
) -> Failure:
    first = history.first_failed_at if history else None
    return Failure(
        object_url=one.url,
        item_type=one.item_type,
        title=(suspect.key or one.url).rsplit("/", 1)[-1],
        failure_class=diagnosis.failure_class,
        reason=diagnosis.reason,
        remedy=diagnosis.remedy,
        attempts=suspect.attempts,
        first_failed_at=first.isoformat(timespec="seconds") if first else one.outcome.finished_at,
        last_failed_at=one.outcome.finished_at,
        upload_job_id=one.outcome.job_id,
        unit_id=one.error.unit_id,
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
            SettledFailure(row.object_url, row.failure_class, _state_of(row)) for row in result.failures
        ],
    )


def _state_of(row: Failure) -> LedgerState:
    # Access that is granted later changes no etag, so only another try can notice it.
    may_pass = row.failure_class in {FailureClass.TRANSIENT, FailureClass.FORBIDDEN}
    return LedgerState.FAILED if may_pass else LedgerState.QUARANTINED
