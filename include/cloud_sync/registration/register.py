"""The register stage: send each manifest to Encord once, see its upload job through, say what became of it.

Every step can be repeated. What was done is read from the job record, so a task that was killed anywhere
goes on where its predecessor stopped.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from cloud_sync.errors import ConfigError, EncordError, ManifestError, StorageError
from cloud_sync.manifest.model import ITEMS_NAME, items_of_manifests
from cloud_sync.numbers import counted
from cloud_sync.registration import jobs
from cloud_sync.registration.breaker import Breaker
from cloud_sync.registration.errors import EncordRefusedError, ManifestRefusedError
from cloud_sync.registration.folder import FolderClient, find_items
from cloud_sync.registration.jobs import JobRecord, JobStatus, Manifest
from cloud_sync.registration.model import (
    CANCELLED,
    DONE,
    ERROR,
    JobState,
    Outcome,
    Target,
    outcome_name,
    read_outcome,
)
from cloud_sync.run_folder import RunFolder, sha256_of

log = logging.getLogger(__name__)

FINAL_STATUS = {DONE: JobStatus.DONE, ERROR: JobStatus.FAILED, CANCELLED: JobStatus.CANCELLED}


class UploadClient(FolderClient, Protocol):
    """The calls of `EncordClient` that registering needs."""

    def start_upload_job(
        self, folder_uuid: str, manifest: Path, *, encord_integration_uuid: str | None, ignore_errors: bool
    ) -> str:
        """Make an upload job and return its id."""

    def poll_upload_job(self, folder_uuid: str, job_id: str, hold_s: float = 0) -> JobState:
        """Return the state of a job."""

    def cancel_upload_job(self, folder_uuid: str, job_id: str) -> int:
        """Cancel a job."""

    def link_items(self, dataset_uuid: str, uuids: Iterable[str]) -> int:
        """Make items part of a dataset."""


@dataclass(frozen=True, slots=True)
class Registrar:
    """Registers the manifests of a run.

    Attributes:
        client: The connection to Encord.
        folder: The run folder.
        target: Where the items go; its folder exists.
        ignore_errors: As in the integration file.
        skip_duplicate_urls: As in the integration file. Only with it is a manifest sent again whose
            first answer was lost.
        items_name: The table with the items of the manifests.
        breaker: Asked before each submission; None to submit whatever fails.
        ended: Set from a signal handler when the task is being ended: nothing is sent from then on, and a
            job whose id arrives after that is cancelled.
        at_work: Ids of jobs that were sent here, or that Encord has said to be pending: if one is cancelled,
            that was not with an earlier try of the task.
    """

    client: UploadClient
    folder: RunFolder
    target: Target
    ignore_errors: bool = True
    skip_duplicate_urls: bool = True
    items_name: str = ITEMS_NAME
    breaker: Breaker | None = None
    ended: threading.Event = field(default_factory=threading.Event)
    at_work: set[str] = field(default_factory=set)

    def advance(
        self, manifest: Manifest, *, hold_s: float = 0, resubmit_cancelled: bool = False
    ) -> JobRecord:
        """Take one manifest as far as it will go now.

        Sends it if it was not sent, asks for the state of its job, and if that has finished links the
        items and writes the outcome. If the state cannot be had now, the job counts as pending. A job
        that Encord calls failed is an outcome, not an error: the settle stage gives the verdict. So is a
        manifest that Encord will not take for what is in it: the manifests after it are not concerned.

        Args:
            manifest: An entry of the run's manifest index.
            hold_s: How long to stay with the job if it is pending.
            resubmit_cancelled: Send the manifest again if its job was cancelled: for a task that comes
                back to a job which was cancelled when the task before it was ended.

        Returns:
            The record: `submitted` if the job is pending, else `done`, `failed` or `cancelled`.

        Raises:
            EncordError: Encord refused for a reason that concerns every manifest, or failed, or the
                record forbids going on.
            ConfigError: Encord does not accept the key, or its user lacks a right.
            ManifestError: The manifest file is not the one that the build stage wrote.
            BreakerTrippedError: It would have to be sent, and most of what was sent fails for one cause.
        """
        record = jobs.open_record(self.folder, manifest)
        if record.status.final:
            self._ensure_outcome(record)
            return record
        if record.status is not JobStatus.SUBMITTED:
            return self._send(record, hold_s)
        state = self._poll(record, hold_s)
        if state and state.status == CANCELLED and resubmit_cancelled and self.skip_duplicate_urls:
            log.info("Upload job %s was cancelled with the task before; sending it again", record.job_id)
            return self._send(record, hold_s)
        return self._finish(record, state) if state and state.finished else record

    def _send(self, record: JobRecord, hold_s: float) -> JobRecord:
        record = self._submit(record)
        if record.status.final:
            return record
        if self.ended.is_set():
            self.client.cancel_upload_job(_folder_of(self.target), _job_of(record))
            raise task_ended(record.manifest)
        state = self._poll(record, hold_s)
        return self._finish(record, state) if state and state.finished else record

    def cancel(self, manifest: Manifest) -> bool:
        """Cancel the manifest's upload job; False if it has none that is not known to have finished."""
        record = jobs.open_record(self.folder, manifest)
        if record.status is not JobStatus.SUBMITTED:
            return False
        self.client.cancel_upload_job(_folder_of(self.target), _job_of(record))
        return True

    def _submit(self, record: JobRecord) -> JobRecord:
        if self.ended.is_set():
            raise task_ended(record.manifest)
        if record.status is JobStatus.SUBMITTING and not self.skip_duplicate_urls:
            raise _answer_lost(self.folder, record)
        if self.breaker is not None:
            self.breaker.check()
        folder_uuid = _folder_of(self.target)
        path = _checked(self.folder, record)
        record = jobs.submitting(self.folder, record)
        try:
            job_id = self.client.start_upload_job(
                folder_uuid,
                path,
                encord_integration_uuid=self.target.encord_integration_uuid,
                ignore_errors=self.ignore_errors,
            )
        except ManifestRefusedError as error:
            log.warning("%s", error)
            return self._finish(record, _refusal(error))
        except (EncordRefusedError, ConfigError, ManifestError):
            jobs.refused(self.folder, record)
            raise
        try:
            record = jobs.submitted(self.folder, record, job_id)
        except StorageError:
            log.error("Encord works on manifest %s as upload job %s", record.manifest, job_id)
            raise
        self.at_work.add(job_id)
        log.info("Manifest %s: %s, upload job %s", record.manifest, counted(record.items, "item"), job_id)
        return record

    def _poll(self, record: JobRecord, hold_s: float) -> JobState | None:
        """Return the state of the record's job; None if Encord does not answer now, so ask later."""
        try:
            state = self.client.poll_upload_job(_folder_of(self.target), _job_of(record), hold_s)
        except EncordError as error:
            if not error.transient:
                raise
            log.warning("Upload job %s: %s", record.job_id, error)
            return None
        if not state.finished:
            self.at_work.add(_job_of(record))
            log.info(
                "Upload job %s: %s of %s left", record.job_id, state.pending, counted(record.items, "unit")
            )
        return state

    def _ensure_outcome(self, record: JobRecord) -> None:
        """Write the outcome of a finished job again if the disk has lost it."""
        try:
            found = read_outcome(self.folder, record.number)
        except StorageError as error:
            log.warning("%s", error)
            found = None
        if found is not None and found.manifest == record.manifest:
            return
        if record.job_id is None:
            state = _refusal(EncordRefusedError("Encord refused this manifest; what it said is lost."))
        else:
            state = self.client.poll_upload_job(_folder_of(self.target), record.job_id)
        self._account(record, state)

    def _finish(self, record: JobRecord, state: JobState) -> JobRecord:
        self._account(record, state)
        return jobs.finished(self.folder, record, FINAL_STATUS[state.status])

    def _account(self, record: JobRecord, state: JobState) -> None:
        status = FINAL_STATUS[state.status]
        # What a failed or cancelled job registered before its end is registered, and belongs to the dataset.
        linked = 0 if self.target.is_backing_folder else self._link(record, state)
        outcome = _outcome(record, state, status, linked)
        self.folder.write_json(outcome_name(record.number), outcome.to_json())
        log.info(
            "Manifest %s %s, upload job %s: %s registered, %s refused, %s cancelled",
            record.manifest,
            status.value,
            record.job_id or "never made",
            len(state.item_uuids),
            state.failed,
            state.cancelled,
        )

    def _link(self, record: JobRecord, state: JobState) -> int:
        """Make the manifest's items part of the dataset, those included that the job skipped as duplicates.

        Skipped ones are in the folder from an attempt that died before it linked them, so they are found
        among the folder's items that belong to no dataset.
        """
        if record.job_id is None and record.submissions == 1:
            return 0  # refused the first time it was sent, so nothing of it can be in the folder
        uuids = set(state.item_uuids)
        if len(uuids) + state.failed < record.items:
            items = items_of_manifests(self.folder.local(self.items_name), [record.number])
            found, _ = find_items(self.client, _folder_of(self.target), items, unlinked_only=True)
            uuids.update(found)
        return self.client.link_items(self.target.dataset_uuid, sorted(uuids)) if uuids else 0


def task_ended(manifest: str) -> EncordError:
    """Return the error of a task that a person ended, and with it its upload job."""
    return EncordError(
        "this task was ended, and with it its upload job; what is registered stays.",
        where=manifest,
        remedy="Clear the task to go on.",
        transient=True,
    )


def _outcome(record: JobRecord, state: JobState, status: JobStatus, linked: int) -> Outcome:
    return Outcome(
        manifest_number=record.number,
        manifest=record.manifest,
        job_id=record.job_id or "",
        status=status.value,
        items=record.items,
        made=len(state.item_uuids),
        done=state.done,
        failed=state.failed,
        cancelled=state.cancelled,
        unit_errors=state.unit_errors,
        job_errors=state.job_errors,
        linked=linked,
        submitted_at=record.submitted_at or "",
        finished_at=jobs.now(),
    )


def _refusal(error: EncordRefusedError) -> JobState:
    """Return the refusal of a manifest as the state of a job that failed before it took up a unit."""
    said = f"{error.message} {error.remedy}" if error.remedy else error.message
    return JobState(
        status=ERROR,
        pending=0,
        done=0,
        failed=0,
        cancelled=0,
        item_uuids=(),
        unit_errors=(),
        job_errors=(said,),
    )


def _answer_lost(folder: RunFolder, record: JobRecord) -> EncordError:
    return EncordError(
        "this manifest was sent, but no answer arrived: Encord may be registering it. With "
        "skip_duplicate_urls: false, sending it again could register every object twice, so it is not sent.",
        where=folder.address(record.name),
        remedy=f"Look in Encord for an upload of {Path(record.manifest).name}. If there is none, remove this "
        "record and clear the task; if there is one, trigger a new run when it has finished.",
    )


def _checked(folder: RunFolder, record: JobRecord) -> Path:
    """Return the manifest's path if its bytes are those that its name stands for."""
    path = folder.local(record.manifest)
    if not sha256_of(path).startswith(path.stem.partition("-")[2] or "-"):
        raise ManifestError(
            "is not the file that the build stage wrote.",
            where=folder.address(record.manifest),
            remedy="Trigger a new run; manifests are not to be edited.",
        )
    return path


def _folder_of(target: Target) -> str:
    if target.folder_uuid is None:
        raise EncordError(
            "the storage folder has not been made yet.",
            where=f"dataset {target.dataset_title!r}",
            remedy="Clear the build task, which makes it.",
        )
    return target.folder_uuid


def _job_of(record: JobRecord) -> str:
    assert record.job_id is not None  # noqa: S101 (for the type checker: a submitted record has one)
    return record.job_id
