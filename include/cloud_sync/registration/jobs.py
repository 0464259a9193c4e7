"""The upload job record: how far one manifest has come, in a file that survives any crash.

    planned -> submitting -> submitted -> done | failed | cancelled
                          -> failed

`submitting` is on disk before the request that makes the job, its id right after the answer and before
the first poll. It leads to `failed` when Encord will not take the manifest for what is in it, so that
there is no job and sending it again would not make one. Two ways lead back: `submitting -> planned` when
Encord said no for another reason, so that nothing was made; `submitted -> submitting` when the job was
cancelled while no task watched it.
"""

from __future__ import annotations

import itertools
import json
import logging
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Any, Protocol, Self, TypeVar

from cloud_sync.errors import EncordError, StorageError
from cloud_sync.registration.model import BREAKER_NAME, Outcome, outcome_name
from cloud_sync.run_folder import RunFolder

T = TypeVar("T")
log = logging.getLogger(__name__)

SUPERSEDED = "superseded"
BUILD_AGAIN = "Clear the run from its build task, which sets aside what does not belong to its manifests."
HASH_IN_A_NAME = re.compile(r"-([0-9a-f]+)\.\w+$")


class JobStatus(StrEnum):
    """Where an upload job stands."""

    PLANNED = "planned"
    SUBMITTING = "submitting"
    SUBMITTED = "submitted"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        """True if nothing follows."""
        return not NEXT[self]


NEXT: Mapping[JobStatus, frozenset[JobStatus]] = {
    JobStatus.PLANNED: frozenset({JobStatus.SUBMITTING}),
    JobStatus.SUBMITTING: frozenset(
        {JobStatus.SUBMITTING, JobStatus.SUBMITTED, JobStatus.PLANNED, JobStatus.FAILED}
    ),
    JobStatus.SUBMITTED: frozenset(
        {JobStatus.DONE, JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.SUBMITTING}
    ),
    JobStatus.DONE: frozenset(),
    JobStatus.FAILED: frozenset(),
    JobStatus.CANCELLED: frozenset(),
}


class Manifest(Protocol):
    """What registration needs to know of a manifest (`cloud_sync.manifest.model.ManifestEntry`)."""

    @property
    def number(self) -> int:
        """Its number in the run."""

    @property
    def name(self) -> str:
        """Its path in the run folder."""

    @property
    def items(self) -> int:
        """Number of items in it."""


@dataclass(frozen=True, slots=True)
class JobRecord:
    """The record of one manifest's upload job, `jobs/<nnnn>.json`.

    Attributes:
        number: The manifest's number in the run.
        manifest: Its path in the run folder.
        items: Items in it.
        status: Where the job stands.
        submissions: How often the manifest was sent.
        job_id: Encord's id of the job, from `submitted` on.
        submitted_at: When the id arrived, ISO 8601, UTC.
        finished_at: When the end was recorded, ISO 8601, UTC.
    """

    number: int
    manifest: str
    items: int
    status: JobStatus = JobStatus.PLANNED
    submissions: int = 0
    job_id: str | None = None
    submitted_at: str | None = None
    finished_at: str | None = None

    @property
    def name(self) -> str:
        """Path of the record in the run folder."""
        return record_name(self.number)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Inverse of `dataclasses.asdict` after a round trip through JSON."""
        return cls(**{**data, "status": JobStatus(data["status"])})


PARSERS: Mapping[str, Callable[[Any], JobRecord | Outcome]] = {
    "jobs/*.json": JobRecord.from_json,
    "outcomes/*.json": Outcome.from_json,
}


def record_name(number: int) -> str:
    """Return the path of a manifest's job record in the run folder."""
    return f"jobs/{number:04}.json"


def open_record(folder: RunFolder, manifest: Manifest) -> JobRecord:
    """Return the record of a manifest; the first time, one that says `planned`.

    Raises:
        EncordError: The record is of another manifest, as after a new plan of the run; `set_aside` was
            not called.
        StorageError: The record cannot be read.
    """
    name = record_name(manifest.number)
    if not folder.exists(name):
        record = JobRecord(number=manifest.number, manifest=manifest.name, items=manifest.items)
        folder.write_json(name, asdict(record))
        return record
    found = _read(folder, name, JobRecord.from_json)
    if found is None:
        raise StorageError("is not a job record.", where=folder.address(name), remedy=BUILD_AGAIN)
    if found.manifest != manifest.name:
        raise EncordError(
            f"is of {found.manifest}, but the run now has {manifest.name} in its place.",
            where=folder.address(name),
            remedy=BUILD_AGAIN,
        )
    return found


def set_aside(folder: RunFolder, manifests: Iterable[Manifest], *, new_plan: bool = False) -> int:
    """Move job records and outcomes that are not of these manifests out of the way of the register stage.

    For a run that was cleared from its first task and has other manifests by its new plan. Nothing is
    lost: they go to `superseded/jobs/` and `superseded/outcomes/`, with the hash of their manifest in
    the name. What cannot be read goes there too. Running it twice changes nothing more.

    Args:
        folder: The run folder.
        manifests: All manifests that the run has now.
        new_plan: They may be of a new plan. Then why the run stopped by the earlier one goes as well, to
            `superseded/breaker.json`.

    Returns:
        Number of records and outcomes moved.

    Raises:
        StorageError: A file cannot be read or moved.
    """
    current = {name: one.name for one in manifests for name in _names_of(one)}
    others = [
        (name, found)
        # Records first: without its record an outcome is written anew, but not the other way round.
        for pattern, parse in PARSERS.items()
        for name in folder.names(pattern)
        if (found := _read(folder, name, parse)) is None or found.manifest != current.get(name)
    ]
    # Before what it was found from: if this is interrupted, the next try still sees that the plan is new.
    if new_plan and others and folder.exists(BREAKER_NAME):
        folder.move(BREAKER_NAME, _free(folder, f"{SUPERSEDED}/{PurePosixPath(BREAKER_NAME).stem}"))
    for name, found in others:
        _warn_of_a_job(found)
        folder.move(name, _free_name(folder, name, found))
    return len(others)


def has_begun(folder: RunFolder, manifests: Iterable[Manifest]) -> bool:
    """Tell whether any of these manifests was sent to Encord, or may have been."""
    for one in manifests:
        name = record_name(one.number)
        found = _read(folder, name, JobRecord.from_json) if folder.exists(name) else None
        if found is not None and found.manifest == one.name and found.submissions:
            return True
    return False


def submitting(folder: RunFolder, record: JobRecord) -> JobRecord:
    """Record that the manifest is about to be sent."""
    return _move(folder, record, JobStatus.SUBMITTING, submissions=record.submissions + 1, job_id=None)


def refused(folder: RunFolder, record: JobRecord) -> JobRecord:
    """Record that Encord said no, so that there is no job."""
    return _move(folder, record, JobStatus.PLANNED)


def submitted(folder: RunFolder, record: JobRecord, job_id: str) -> JobRecord:
    """Record the id of the job that Encord made."""
    return _move(folder, record, JobStatus.SUBMITTED, job_id=job_id, submitted_at=now())


def finished(folder: RunFolder, record: JobRecord, status: JobStatus) -> JobRecord:
    """Record the end of the job."""
    return _move(folder, record, status, finished_at=now())


def now() -> str:
    """Return the time as the records hold it: ISO 8601, UTC, whole seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _move(folder: RunFolder, record: JobRecord, status: JobStatus, **changes: Any) -> JobRecord:
    if status not in NEXT[record.status]:
        raise EncordError(
            f"an upload job cannot go from {record.status} to {status}.",
            where=folder.address(record.name),
            remedy="Trigger a new run: what is registered already is skipped.",
        )
    moved = replace(record, status=status, **changes)
    folder.write_json(moved.name, asdict(moved))
    return moved


def _names_of(manifest: Manifest) -> tuple[str, str]:
    return record_name(manifest.number), outcome_name(manifest.number)


def _read(folder: RunFolder, name: str, parse: Callable[[Any], T]) -> T | None:
    """Return a record or an outcome; None if the file is not one, as after damage to the disk."""
    data = folder.read(name)
    try:
        return parse(json.loads(data))
    except (ValueError, TypeError, KeyError):
        return None


def _warn_of_a_job(found: JobRecord | Outcome | None) -> None:
    if isinstance(found, JobRecord) and found.status in {JobStatus.SUBMITTING, JobStatus.SUBMITTED}:
        log.warning(
            "Manifest %s is of an earlier plan, but Encord may still be registering it (upload job %s)",
            found.manifest,
            found.job_id or "unknown",
        )


def _free_name(folder: RunFolder, name: str, found: JobRecord | Outcome | None) -> str:
    path = PurePosixPath(name)
    match = HASH_IN_A_NAME.search(str(found.manifest)) if found else None
    stem = f"{SUPERSEDED}/{path.parent}/{path.stem}-{match[1] if match else 'unreadable'}"
    return _free(folder, stem)


def _free(folder: RunFolder, stem: str) -> str:
    names = itertools.chain([f"{stem}.json"], (f"{stem}-{n}.json" for n in itertools.count(2)))
    return next(free for free in names if not folder.exists(free))
