"""Runs upload jobs in the background: several jobs at once, many objects at once, and across restarts.

A job is worked through in portions. Objects are read outside any transaction; what came of a portion is
then written in one. So a process that ends at any moment leaves each unit either untouched or settled,
and the next one goes on with what is untouched.
"""

from __future__ import annotations

import logging
import queue
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import select

from cloud_sync.dataset_service.checking import (
    FileFinding,
    Finding,
    check_file,
    finding_of,
    unit_problem,
)
from cloud_sync.dataset_service.registering import finish, identity_of, register, registered_already
from cloud_sync.dataset_service.tables import Job, JobStatus, Unit, UnitStatus
from cloud_sync.dataset_service.units import FileSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from uuid import UUID

    from sqlalchemy.orm import Session

    from cloud_sync.dataset_service.config import Limits
    from cloud_sync.dataset_service.database import Database
    from cloud_sync.dataset_service.reader import ObjectReader

log = logging.getLogger(__name__)

JOBS_AT_ONCE = 4
UNITS_PER_TRANSACTION = 200
# Groups can be large; so many files are looked at between two looks at whether the job was cancelled.
FILES_PER_TRANSACTION = 1000
PAUSE_AFTER_FAILURE_S = 2.0
LONGEST_STOP_S = 1.0


class FileCheck(NamedTuple):
    """A file to look at, and where to put what came of it."""

    future: Future[FileFinding]
    unit: Unit
    file: FileSpec
    reader: ObjectReader


class Worker:
    """The threads that run jobs. All are daemons: an end of the process never waits for a slow store."""

    def __init__(
        self,
        database: Database,
        readers: Mapping[UUID, ObjectReader],
        limits: Limits,
        threads: int,
        on_finish: Callable[[UUID], None],
    ) -> None:
        """Prepare; nothing runs before `start`.

        Args:
            database: Where jobs are.
            readers: By UUID of the Encord integration.
            limits: Applied to URLs.
            threads: How many objects are read at once, over all jobs.
            on_finish: Called with a job's UUID when it has ended, from a thread of the worker.
        """
        self._database = database
        self._readers = readers
        self._limits = limits
        self._on_finish = on_finish
        self._checks: queue.SimpleQueue[FileCheck] = queue.SimpleQueue()
        self._changed = threading.Condition()
        self._stopping = False
        self._claimed: set[int] = set()
        self._checkers = [_daemon(self._check_for_ever, f"check-{n}") for n in range(threads)]
        self._runners = [_daemon(self._run_for_ever, f"job-{n}") for n in range(JOBS_AT_ONCE)]

    def start(self) -> None:
        """Start, and go on with the jobs that an earlier process left."""
        for thread in self._checkers + self._runners:
            thread.start()

    def wake(self) -> None:
        """Tell that a job has been stored."""
        with self._changed:
            self._changed.notify()

    def stop(self) -> None:
        """Take no new portion. What is being read is read again by the next process."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        for thread in self._runners:
            thread.join(LONGEST_STOP_S / JOBS_AT_ONCE)

    # --- jobs -----------------------------------------------------------------------------------

    def _run_for_ever(self) -> None:
        while not self._stopping:
            try:
                self._run_next()
            except Exception:
                # The database may be away for a while; the job is still stored and tried again.
                log.exception("an upload job was interrupted and will be tried again")
                with self._changed:
                    self._changed.wait_for(lambda: self._stopping, PAUSE_AFTER_FAILURE_S)

    def _run_next(self) -> None:
        job_id = self._claim()
        if job_id is None:
            return
        try:
            self._run(job_id)
        finally:
            with self._changed:
                self._claimed.discard(job_id)

    def _claim(self) -> int | None:
        """Wait for a pending job that no other thread has; None when the worker stops."""
        with self._changed:
            while not self._stopping:
                job_id = self._next_job()
                if job_id is not None:
                    self._claimed.add(job_id)
                    return job_id
                self._changed.wait()
        return None

    def _next_job(self) -> int | None:
        with self._database.reading() as session:
            query = select(Job.id).where(Job.status == JobStatus.PENDING, Job.id.not_in(self._claimed))
            return session.scalar(query.order_by(Job.id).limit(1))

    def _run(self, job_id: int) -> None:
        while not self._stopping:
            with self._database.reading() as session:
                job, units, known = _next_portion(session, job_id)
            reader = self._readers.get(job.encord_integration_uuid) if job.encord_integration_uuid else None
            findings = self._look_at([unit for unit in units if identity_of(unit) not in known], reader)
            findings += [Finding(unit.id) for unit in units if identity_of(unit) in known]
            location = reader.storage_location if reader else ""
            with self._database.writing() as session:
                ended = _settle(session, job_id, findings, location)
            if ended:
                log.info("upload job %s has ended", job.uuid)
                self._on_finish(job.uuid)
                return

    # --- units ----------------------------------------------------------------------------------

    def _look_at(self, units: Sequence[Unit], reader: ObjectReader | None) -> list[Finding]:
        begun = [(unit, self._begin(unit, reader)) for unit in units]
        return [
            looked_at if isinstance(looked_at, Finding) else finding_of(unit, [f.result() for f in looked_at])
            for unit, looked_at in begun
        ]

    def _begin(self, unit: Unit, reader: ObjectReader | None) -> Finding | list[Future[FileFinding]]:
        problem = unit_problem(unit, reader)
        if problem or reader is None:
            return Finding(unit.id, error=problem)
        checks = [FileCheck(Future(), unit, FileSpec(**file), reader) for file in unit.files]
        for check in checks:
            self._checks.put(check)
        return [check.future for check in checks]

    def _check_for_ever(self) -> None:
        while True:
            future, unit, file, reader = self._checks.get()
            try:
                future.set_result(check_file(unit.item_type, file, reader, self._limits))
            except Exception:
                # One odd file must not stop the others: it becomes an error of its own unit.
                log.exception("unit %s could not be processed", unit.uuid)
                future.set_result(FileFinding(error=f"The file could not be processed: {file.url}"))


def _next_portion(session: Session, job_id: int) -> tuple[Job, Sequence[Unit], set[tuple[str, str]]]:
    """Return the job, its next units, and which of them are registered already."""
    job = session.get_one(Job, job_id)
    query = select(Unit).where(Unit.job_id == job_id, Unit.status == UnitStatus.PENDING)
    # Rows come in small batches: those of groups are large, and few of them may be enough.
    query = query.order_by(Unit.id).limit(UNITS_PER_TRANSACTION).execution_options(yield_per=20)
    with session.scalars(query) as pending:
        units = _within_files(pending)
    return job, units, set(registered_already(session, job, units))


def _within_files(pending: Iterable[Unit]) -> list[Unit]:
    """Take units up to the one with which they have enough files."""
    units, files = [], 0
    for unit in pending:
        units.append(unit)
        files += len(unit.files)
        if files >= FILES_PER_TRANSACTION:
            break
    return units


def _settle(session: Session, job_id: int, findings: Sequence[Finding], storage_location: str) -> bool:
    """Write what came of a portion; return True if the job has ended.

    With `ignore_errors` each portion is registered at once. Without, nothing is registered before the
    last unit is known to be healthy, and the first error ends the job.
    """
    job = session.get_one(Job, job_id, with_for_update=True)
    if job.status != JobStatus.PENDING:
        return True  # cancelled meanwhile
    units, waiting = _mark(session, job, findings)
    healthy = [unit for unit in units if unit.status == UnitStatus.CHECKED]
    if job.ignore_errors:
        register(session, job, healthy, storage_location)
    elif len(healthy) < len(units):
        finish(session, job, JobStatus.ERROR)
        return True
    elif not waiting:
        session.flush()
        query = select(Unit).where(Unit.job_id == job.id, Unit.status == UnitStatus.CHECKED)
        register(session, job, session.scalars(query.order_by(Unit.id)).all(), storage_location)
    if not waiting:
        finish(session, job, JobStatus.DONE)
    return not waiting


def _mark(session: Session, job: Job, findings: Sequence[Finding]) -> tuple[list[Unit], bool]:
    """Write findings to their units; return these in order, and whether others still wait."""
    by_id = {finding.unit_id: finding for finding in findings}
    pending = select(Unit).where(Unit.job_id == job.id, Unit.status == UnitStatus.PENDING).order_by(Unit.id)
    units = list(session.scalars(pending.where(Unit.id.in_(by_id))))
    # Portions are taken in order, so whatever waits stands behind this one.
    others = pending.where(Unit.id > max(by_id, default=0)).limit(1)
    waiting = session.scalar(others) is not None
    for unit in units:
        finding = by_id[unit.id]
        unit.status = UnitStatus.ERROR if finding.error else UnitStatus.CHECKED
        unit.media, unit.file_media = finding.media, finding.file_media
        unit.error, unit.error_urls = finding.error, finding.error_urls
    return units, waiting


def _daemon(work: Callable[[], None], name: str) -> threading.Thread:
    return threading.Thread(target=work, name=f"dataset-service-{name}", daemon=True)
