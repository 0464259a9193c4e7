"""The register stage as a task: sends manifests and waits for Encord without holding a worker."""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from cloud_sync.errors import EncordError
from cloud_sync_airflow.operators.stage import StageOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from cloud_sync.manifest.model import ManifestEntry
    from cloud_sync.registration.jobs import JobRecord
    from cloud_sync.registration.register import Registrar
    from cloud_sync.run_folder import RunFolder

ASK_AIRFLOW_S = 2.0  # a task that is being ended has 5 s before Airflow kills it


class RegisterOperator(StageOperator):
    """Registers the manifests of one shard, one after the other; mapped over `shard`.

    How far each manifest has come is in its job record, so a task that is tried again goes on where the
    one before stopped, and returns the same.

    Ending it: if a person clears or marks the task, its upload job is cancelled in Encord, whether the
    task waits (by the trigger) or runs (by `on_kill`, which asks Airflow first). Restarts of workers,
    triggerers and schedulers leave the job alone; so does a timeout. A task that was cleared sends a
    manifest whose job was cancelled that way again.

    If Encord asks for a pause before it takes a manifest, the task waits for its end in the triggerer, which
    costs neither a worker slot nor one of its retries.

    Args:
        shard: Which of the shards of the index.
        of_round: The retry round whose manifests are sent; 0 for those of the build stage.
        hold_s: How long to stay with a job before waiting in the triggerer. Small jobs finish in it.
        first_poll_s: Wait before the trigger asks for the first time. Airflow 3.3 can fail tasks that
            resume within a few seconds, so not under 10.
        longest_poll_s: Longest wait between two questions.
        job_timeout_s: How long a job may take before the task fails; the job itself goes on. Also how long
            Encord may ask for one pause after the other.
    """

    def __init__(
        self,
        *,
        shard: int,
        of_round: int = 0,
        hold_s: float = 5,
        first_poll_s: float = 10,
        longest_poll_s: float = 60,
        job_timeout_s: float = 24 * 3600,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.shard = shard
        self.of_round = of_round
        self.hold_s = hold_s
        self.first_poll_s = first_poll_s
        self.longest_poll_s = longest_poll_s
        self.job_timeout_s = job_timeout_s
        self._context: Context | None = None
        self._at_work: tuple[Registrar, ManifestEntry] | None = None

    @property
    def label(self) -> str:
        """What the UI shows for this map index, with `map_index_template="{{ task.label }}"`."""
        return f"round {self.of_round}, shard {self.shard}" if self.of_round else f"shard {self.shard}"

    def execute(self, context: Context) -> dict[str, int]:
        """Register the shard; returns how many manifests there are and how their jobs ended."""
        return self._register(context, resubmit_cancelled=True)

    def resume(
        self, context: Context, event: dict[str, Any] | None = None, *, resubmit_cancelled: bool = False
    ) -> dict[str, int]:
        """Go on after the trigger fired. How the job ended is asked of Encord, not of the event.

        Args:
            context: Airflow's.
            event: Why the wait is over.
            resubmit_cancelled: Whether the job may have been cancelled with an earlier try of the task: this
                one had no answer about it before the wait.
        """
        from cloud_sync_airflow.triggers.upload_job import UploadJobEvent

        kind = (event or {}).get("event")
        if kind == UploadJobEvent.DEADLINE:
            raise EncordError(
                f"has not finished within {self.job_timeout_s / 3600:g} hours; it goes on in Encord.",
                where=f"upload job {(event or {}).get('job_id')}",
                remedy="Look at it in Encord, then clear this task to wait on.",
            )
        if kind not in set(UploadJobEvent):
            raise EncordError(f"the trigger fired {kind!r}, which is no event of an upload job.")
        was_pending = bool((event or {}).get("was_pending"))
        return self._register(context, resubmit_cancelled=resubmit_cancelled and not was_pending)

    def go_on(
        self, context: Context, event: dict[str, Any] | None = None, *, paused_since: float
    ) -> dict[str, int]:
        """Go on after a pause that Encord asked for.

        Args:
            context: Airflow's.
            event: That the time has come; says nothing more.
            paused_since: When the first of several pauses in a row began, in seconds since 1970 UTC.
        """
        return self._register(context, resubmit_cancelled=False, paused_since=paused_since)

    def on_kill(self) -> None:
        """Cancel the running upload job if a person ended this task, and stop at once.

        If the manifest is just being sent, the interrupted code goes on: it cancels the job as soon as it
        has its id, if Airflow leaves it that long.
        """
        from cloud_sync.registration.register import task_ended

        if self._at_work is None or not self._ended_by_a_person():
            return
        registrar, manifest = self._at_work
        registrar.ended.set()
        if registrar.cancel(manifest):
            raise task_ended(manifest.name)

    def _register(
        self, context: Context, *, resubmit_cancelled: bool, paused_since: float | None = None
    ) -> dict[str, int]:
        from cloud_sync.manifest.model import read_index
        from cloud_sync.registration.errors import EncordRefusedError

        folder = self.run_folder(context)
        manifests = read_index(folder, self.of_round).of_shard(self.shard)
        ended: Counter[str] = Counter(done=0, failed=0, cancelled=0)
        if not manifests:
            return {"manifests": 0, **ended}
        registrar = self._registrar(folder)
        self._context = context
        for manifest in manifests:
            self._at_work = registrar, manifest
            try:
                record = registrar.advance(
                    manifest, hold_s=self.hold_s, resubmit_cancelled=resubmit_cancelled
                )
            except EncordRefusedError as error:
                self._pause(error, paused_since or time.time())
                raise
            paused_since = None
            if not record.status.final:
                unseen = record.job_id not in registrar.at_work
                self._wait_for(record, registrar, resubmit_cancelled=resubmit_cancelled and unseen)
            ended[record.status.value] += 1
        self._at_work = None
        return {"manifests": len(manifests), **ended}

    def _registrar(self, folder: RunFolder) -> Registrar:
        from cloud_sync.manifest.model import items_name
        from cloud_sync.registration.breaker import Breaker, BreakerRule
        from cloud_sync.registration.model import read_target
        from cloud_sync.registration.register import Registrar
        from cloud_sync_airflow.hooks.encord import EncordHook

        integration = self.frozen_integration(folder)
        upload = integration.upload
        # What a round sends again has failed already, for reasons that may have passed.
        stop_after = 0 if self.of_round else upload.stop_after_manifests
        return Registrar(
            client=EncordHook(integration.target.connection_id).get_conn(),
            folder=folder,
            target=read_target(folder),
            ignore_errors=upload.ignore_errors,
            skip_duplicate_urls=upload.skip_duplicate_urls,
            items_name=items_name(self.of_round),
            breaker=Breaker(folder, BreakerRule(stop_after, upload.stop_at_share)),
        )

    def _pause(self, error: EncordError, paused_since: float) -> None:
        """Wait in the triggerer until Encord takes requests again, if that is what it asked for."""
        from cloud_sync_airflow.triggers.pause import PauseTrigger

        if not error.transient or not error.retry_after_s:
            return
        if time.time() - paused_since > self.job_timeout_s:
            return
        self.log.warning("%s Going on in %.0f s", error, error.retry_after_s)
        pause_s = max(error.retry_after_s, self.first_poll_s)
        self.defer(
            trigger=PauseTrigger(until=time.time() + pause_s, pause_s=pause_s),
            method_name="go_on",
            kwargs={"paused_since": paused_since},
        )

    def _wait_for(self, record: JobRecord, registrar: Registrar, *, resubmit_cancelled: bool) -> None:
        from cloud_sync_airflow.triggers.upload_job import UploadJobTrigger

        integration = self.frozen_integration(registrar.folder)
        self.defer(
            trigger=UploadJobTrigger(
                encord_conn_id=integration.target.connection_id,
                folder_uuid=str(registrar.target.folder_uuid),
                job_id=str(record.job_id),
                first_interval_s=self.first_poll_s,
                longest_interval_s=self.longest_poll_s,
                deadline=time.time() + self.job_timeout_s,
            ),
            method_name="resume",
            kwargs={"resubmit_cancelled": resubmit_cancelled},
        )

    def _ended_by_a_person(self) -> bool:
        """Ask Airflow whether it still holds this task to be running, as it does when a worker restarts.

        In a thread with a limit, since the interrupted code may itself be talking to Airflow.
        """
        running: list[int] = []
        asking = threading.Thread(target=lambda: running.append(self._count_running()), daemon=True)
        asking.start()
        asking.join(ASK_AIRFLOW_S)
        return running == [0]

    def _count_running(self) -> int:
        if self._context is None:
            return 1
        ti = self._context["ti"]
        return ti.get_ti_count(
            dag_id=ti.dag_id,
            map_index=ti.map_index,
            task_ids=[ti.task_id],
            run_ids=[ti.run_id],
            states=["running"],
        )
