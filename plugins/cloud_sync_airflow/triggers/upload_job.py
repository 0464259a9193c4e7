"""Waits for an upload job without holding a worker."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from enum import StrEnum
from functools import cached_property
from time import monotonic
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from cloud_sync.errors import CloudSyncError
from cloud_sync.numbers import counted

if TYPE_CHECKING:
    from cloud_sync.registration.client import EncordClient
    from cloud_sync.registration.model import JobState

GROWTH = 1.5


class UploadJobEvent(StrEnum):
    """Why the wait is over."""

    FINISHED = "finished"
    REFUSED = "refused"
    DEADLINE = "deadline"


class UploadJobTrigger(BaseTrigger):
    """Asks Encord about one upload job, at growing intervals, until it has finished.

    Fires one event: `{"event": ..., "job_id": ..., "message": ..., "was_pending": ...}`. `finished` says
    that the job has ended, not how: the task asks for that itself. `refused`: Encord will not answer about
    this job (a revoked key, a removed folder). `deadline`: the time is over and the job goes on.
    `was_pending`: whether Encord has said so to this trigger.

    Temporary failures are waited out, and so is a pause that Encord asked for, whichever task was told: it
    becomes the next wait. The end of the triggerer leaves the job alone; a person who
    clears or marks the waiting task cancels it.

    Args:
        encord_conn_id: The Airflow connection.
        folder_uuid: The storage folder that the job was started in.
        job_id: The job.
        first_interval_s: Wait before the first question; the waits grow by half each.
        longest_interval_s: The longest wait.
        deadline: When to stop, in seconds since 1970 UTC.
    """

    def __init__(
        self,
        *,
        encord_conn_id: str,
        folder_uuid: str,
        job_id: str,
        first_interval_s: float,
        longest_interval_s: float,
        deadline: float,
    ) -> None:
        super().__init__()
        self.encord_conn_id = encord_conn_id
        self.folder_uuid = folder_uuid
        self.job_id = job_id
        self.first_interval_s = first_interval_s
        self.longest_interval_s = longest_interval_s
        self.deadline = deadline
        self.was_pending = False

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments, as Airflow stores them."""
        return (
            "cloud_sync_airflow.triggers.upload_job.UploadJobTrigger",
            {
                "encord_conn_id": self.encord_conn_id,
                "folder_uuid": self.folder_uuid,
                "job_id": self.job_id,
                "first_interval_s": self.first_interval_s,
                "longest_interval_s": self.longest_interval_s,
                "deadline": self.deadline,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, and yield the one event."""
        interval_s = self.first_interval_s
        asked_for_s = 0.0
        # From here on by a clock that nobody moves: a day lost or won must not end the wait.
        ends = monotonic() + self.deadline - time.time()
        while True:
            if not await self._sleep(max(interval_s, asked_for_s), ends):
                yield self._event(
                    UploadJobEvent.DEADLINE, "the job has not finished in the time it was given"
                )
                return
            interval_s, asked_for_s = min(interval_s * GROWTH, self.longest_interval_s), 0.0
            try:
                state = await asyncio.to_thread(self._ask)
            except CloudSyncError as error:
                if not error.transient:
                    yield self._event(UploadJobEvent.REFUSED, str(error))
                    return
                asked_for_s = error.retry_after_s or 0.0
                self.log.warning("Upload job %s: %s", self.job_id, error)
                continue
            if state.finished:
                yield self._event(UploadJobEvent.FINISHED, state.status)
                return
            self.was_pending = True
            self.log.info("Upload job %s: %s left", self.job_id, counted(state.pending, "unit"))

    async def on_kill(self) -> None:
        """Cancel the job: a person cleared or marked the waiting task. Not called when a triggerer ends.

        Airflow calls it also in a triggerer that was cut off for a while, whose triggers another one has
        taken over meanwhile. The task is then still deferred, and the job is left alone.

        Airflow may cancel this call while it runs, so all is done in one go in a thread, which runs on.
        """
        await asyncio.to_thread(self._cancel_unless_waited_for)

    async def _sleep(self, wait_s: float, ends: float) -> bool:
        """Wait, a little more than asked, but not past the end; tell if there is time left."""
        left_s = ends - monotonic()
        drawn_s = wait_s * random.uniform(1, 1.25)  # noqa: S311 (spreads load, guards nothing)
        await asyncio.sleep(max(0.0, min(drawn_s, left_s)))
        return drawn_s < left_s

    # The methods below run in a thread: reading a connection, importing the SDK and requests all block.

    def _ask(self) -> JobState:
        return self._client.poll_upload_job(self.folder_uuid, self.job_id)

    def _cancel_unless_waited_for(self) -> None:
        if self._count_waiting():
            self.log.info("Upload job %s is still waited for", self.job_id)
            return
        cancelled = self._client.cancel_upload_job(self.folder_uuid, self.job_id)
        self.log.info("Upload job %s cancelled, %s left", self.job_id, counted(cancelled, "unit"))

    def _count_waiting(self) -> int:
        """Ask Airflow how many tries wait for this job: 1 or 0."""
        from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

        if (ti := self.task_instance) is None:
            return 0
        return RuntimeTaskInstance.get_ti_count(
            dag_id=ti.dag_id,
            map_index=ti.map_index,
            task_ids=[ti.task_id],
            run_ids=[ti.run_id],
            states=["deferred"],
        )

    @cached_property
    def _client(self) -> EncordClient:
        from cloud_sync_airflow.hooks.encord import EncordHook

        return EncordHook(self.encord_conn_id).get_conn()

    def _event(self, event: UploadJobEvent, message: str) -> TriggerEvent:
        return TriggerEvent(
            {
                "event": event.value,
                "job_id": self.job_id,
                "message": message,
                "was_pending": self.was_pending,
            }
        )
