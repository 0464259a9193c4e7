"""What the routes share: configuration, database, readers and the worker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from cloud_sync.dataset_service.database import Database
from cloud_sync.dataset_service.faults import FailedFetch, FaultyReader
from cloud_sync.dataset_service.holding import JobEnds
from cloud_sync.dataset_service.reader import ObjectReader, open_readers
from cloud_sync.dataset_service.tables import JobStatus
from cloud_sync.dataset_service.wire import JobCounts
from cloud_sync.dataset_service.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from uuid import UUID

    from cloud_sync.dataset_service.config import ServiceConfig

State = TypeVar("State", bound=JobCounts)


@dataclass(frozen=True, slots=True)
class Service:
    """One running service."""

    config: ServiceConfig
    database: Database
    readers: Mapping[UUID, ObjectReader]
    job_ends: JobEnds
    worker: Worker

    @classmethod
    def open(cls, config: ServiceConfig, readers: Mapping[UUID, ObjectReader] | None = None) -> Service:
        """Open the database and prepare the worker; nothing runs before `worker.start`.

        Args:
            config: The configuration.
            readers: By UUID of the Encord integration; from the configuration if None.

        Raises:
            ConfigError: A secret is missing or the database cannot be used.
        """
        readers = open_readers(config.encord_integrations, config.folder) if readers is None else readers
        if faults := [rule for rule in config.faults if isinstance(rule, FailedFetch)]:
            readers = {uuid: FaultyReader(reader, faults) for uuid, reader in readers.items()}
        database = Database.open(config.database_url, config.folder)
        job_ends = JobEnds()
        worker = Worker(database, readers, config.limits, config.workers, job_ends.announce)
        return cls(config, database, readers, job_ends, worker)

    def close(self) -> None:
        """Stop the worker, let held polls go and close the database."""
        self.job_ends.close()
        self.worker.stop()
        self.database.close()

    async def held(self, job_uuid: UUID, timeout_s: float, read: Callable[[], State]) -> State:
        """Return a job's state when it has ended, or after a while.

        Args:
            job_uuid: The job.
            timeout_s: How long the caller would wait; the configured hold caps it, 0 does not wait.
            read: Reads the state from the database.
        """
        with self.job_ends.watch(job_uuid) as waiter:
            state = await run_in_threadpool(read)
            wait_s = min(timeout_s, self.config.hold_s)
            if state.status != JobStatus.PENDING or wait_s <= 0:
                return state
            await waiter.wait(wait_s)
        return await run_in_threadpool(read)


def service_of(request: Request) -> Service:
    """Return the service that a request is for."""
    service = request.app.state.service
    if not isinstance(service, Service):
        raise TypeError("the application was not made by create_app")
    return service


def user_of(request: Request) -> str:
    """Return the email of the person who signed the request."""
    user = request.state.user
    if not isinstance(user, str):
        raise TypeError("the signature middleware is not in place")
    return user
