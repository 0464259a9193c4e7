"""The upload job record: how far one manifest has come, in a file that survives any crash.

    planned -> submitting -> submitted -> done | failed | cancelled

`submitting` is on disk before the request that makes the job, its id right after the answer and before
the first poll. Two ways lead back: `submitting -> planned` when Encord said no, so that nothing was
made; `submitted -> submitting` when the job was cancelled while no task watched it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Protocol, Self

from cloud_sync.errors import EncordError
from cloud_sync.run_folder import RunFolder


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
    JobStatus.SUBMITTING: frozenset({JobStatus.SUBMITTING, JobStatus.SUBMITTED, JobStatus.PLANNED}),
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


def record_name(number: int) -> str:
    """Return the path of a manifest's job record in the run folder."""
    return f"jobs/{number:04}.json"


def open_record(folder: RunFolder, manifest: Manifest) -> JobRecord:
    """Return the record of a manifest; the first time, one that says `planned`."""
    name = record_name(manifest.number)
    if not folder.exists(name):
        record = JobRecord(number=manifest.number, manifest=manifest.name, items=manifest.items)
        folder.write_json(name, asdict(record))
        return record
    record = JobRecord.from_json(folder.read_json(name))
    if record.manifest != manifest.name:
        raise EncordError(
            f"is of {record.manifest}, but the run now has {manifest.name} in its place.",
            where=str(folder.path(name)),
            remedy="Trigger a new run: the manifests of a run must not change after the first was sent.",
        )
    return record


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
            where=str(folder.path(record.name)),
            remedy="Trigger a new run: what is registered already is skipped.",
        )
    moved = replace(record, status=status, **changes)
    folder.write_json(moved.name, asdict(moved))
    return moved
