"""The stack: every process of the demo, started side by side where possible, ended for sure."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cloud_sync.errors import CloudSyncError
from cloud_sync.numbers import counted
from cloud_sync.run_folder import RunFolder
from demo.airflow import (
    POOL,
    POOL_SLOTS,
    Sources,
    airflow_environment,
    airflow_url,
    migrate_command,
    part_commands,
    write_environment,
)
from demo.airflow_api import HEALTHY, AirflowApi
from demo.content import BUCKET, BucketContent, fill_bucket
from demo.dataset import DatasetItem, read_items
from demo.media import bucket_content
from demo.places import AIRFLOW_USER, Places, Secrets, load_secrets
from demo.processes import ProcessRecord, ProcessTable, StoppingError, Supervisor, end_all
from demo.servers import (
    answers,
    create_cluster,
    create_database,
    dataset_client,
    dataset_service_command,
    dataset_service_url,
    find_postgres,
    postgres_command,
    remove_s3_sockets,
    s3_client,
    s3_command,
    s3_is_ready,
    scratch_folder,
)
from demo.settings import Settings

DATASET = "Cloud Sync Demo"
BUCKETS = (BUCKET,)
DESCRIPTION = "stack.json"
# What Airflow's health names; its database is ready before it.
HEALTHY_PARTS = ("scheduler", "dag_processor", "triggerer")
HEALTH_INTERVAL_S = 0.5

Progress = Callable[[str], None]
"""Told what has just become ready."""


class BusyError(CloudSyncError):
    """Somebody else is starting, showing or ending this stack."""


@dataclass(slots=True)
class Stack:
    """A stack that runs, and what one needs to speak to its parts.

    Attributes:
        content: What was put into the bucket, and what has to become of it.
        dataset_uuid: The dataset that `include/integrations/demo.yaml` names; empty at first.
        environment: Airflow's environment, for `airflow` commands beside the stack. Carries secrets.
    """

    settings: Settings
    places: Places
    secrets: Secrets
    supervisor: Supervisor
    api: AirflowApi
    content: BucketContent = field(repr=False)
    environment: Mapping[str, str] = field(repr=False)
    dataset_uuid: str = ""

    def s3(self) -> Any:
        """Return a boto3 client of the stack's S3 server."""
        return s3_client(self.settings, self.secrets)

    def encord(self) -> Any:
        """Return the Encord SDK's user client, connected to the dataset service."""
        return dataset_client(self.settings, self.secrets)

    def dataset_items(self) -> list[DatasetItem]:
        """Return every item in the dataset, as the SDK reads them."""
        return read_items(self.encord(), self.dataset_uuid)

    def check(self) -> None:
        """Notice a process that has ended (`ProcessEndedError`)."""
        self.supervisor.check()

    def stop(self) -> None:
        """End every process and remove what lies outside the stack's root."""
        self.api.close()
        self.supervisor.stop()
        # A stack that never became ready has no description to find them by.
        remove_s3_sockets(self.settings)
        _remove_traces(self.places)


@contextmanager
def running_stack(
    root: Path,
    settings: Settings,
    *,
    sources: Sources | None = None,
    content: BucketContent | None = None,
    extra_environment: Mapping[str, str] | None = None,
    progress: Progress = lambda message: None,
) -> Iterator[Stack]:
    """Run a fresh stack, and end it on the way out, however that comes about.

    Args:
        root: Folder for everything it writes. What an earlier stack left there is ended and removed.
        settings: Its ports; several stacks with different roots and ports can run at a time.
        sources: Folders with DAGs, plugins and integration files; by default the project's own.
        content: What to put into the bucket; by default the demo's media.
        extra_environment: Further variables for Airflow; they win.
        progress: Told what has just become ready.

    Raises:
        BusyError: Somebody else uses this root.
        ConfigError: A port is taken; nothing was started.
        ProcessEndedError: A part ended or was not ready in time; nothing is left running.
    """
    with locked(Places(root)):
        stack = start_stack(
            root,
            settings,
            sources=sources,
            content=content,
            extra_environment=extra_environment,
            progress=progress,
        )
        with ending(stack):
            yield stack


@contextmanager
def ending(stack: Stack) -> Iterator[None]:
    """End a stack on the way out, also if Ctrl-C is pressed while it ends."""
    try:
        yield
    finally:
        try:
            stack.stop()
        except KeyboardInterrupt:
            stack.stop()
            raise


def start_stack(
    root: Path,
    settings: Settings,
    *,
    sources: Sources | None = None,
    content: BucketContent | None = None,
    extra_environment: Mapping[str, str] | None = None,
    progress: Progress = lambda message: None,
) -> Stack:
    """Start a fresh stack that outlives this process; `end_stack` ends it. See `running_stack`."""
    root = root.resolve()
    places = Places(root)
    if ended := end_stack(root):
        progress(f"Ended {counted(ended, 'process', 'processes')} that an earlier demo had left")
    settings.refuse_taken_ports()
    places.make_fresh()
    secrets = load_secrets(places.secrets)
    environment = airflow_environment(settings, places, secrets, sources or Sources(), extra_environment)
    write_environment(environment, places)
    stack = Stack(
        settings=settings,
        places=places,
        secrets=secrets,
        supervisor=Supervisor(root),
        api=AirflowApi(airflow_url(settings), AIRFLOW_USER, secrets.airflow_password),
        content=content or bucket_content(),
        environment=environment,
    )
    _describe(stack, ready=False)
    try:
        _start_parts(stack, progress)
        _describe(stack, ready=True)
    except BaseException:
        with ending(stack):
            raise
    return stack


def end_stack(root: Path) -> int:
    """End what runs of a stack, by the records of an earlier process.

    Returns:
        How many processes were found running.
    """
    table = ProcessTable(root)
    ended = end_all(table.records())
    if root.is_dir():
        table.clear()
        _remove_traces(Places(root))
    return ended


def stack_processes(root: Path) -> list[ProcessRecord]:
    """Return the records of the processes that a stack's root knows of, oldest first."""
    return ProcessTable(root).records()


def running_settings(root: Path) -> Settings | None:
    """Return the settings of the stack that runs there; None if none does, or not whole."""
    folder, records = RunFolder(root), stack_processes(root)
    if not folder.exists(DESCRIPTION) or not records or not all(one.is_running() for one in records):
        return None
    description = folder.read_json(DESCRIPTION)
    return Settings(**description["settings"]) if description["ready"] else None


@contextmanager
def locked(places: Places) -> Iterator[None]:
    """Keep every other process from starting, showing or ending this stack.

    Raises:
        BusyError: Somebody else does; names the process.
    """
    places.root.mkdir(parents=True, exist_ok=True)
    with places.lock.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise BusyError(
                f"process {holder} is busy with the demo.",
                where=str(places.root),
                remedy=f"Wait for it, or press Ctrl-C where it runs (`kill -INT {holder}`).",
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _describe(stack: Stack, *, ready: bool) -> None:
    """Write down on which ports the stack is, for those who end it or look for it later."""
    content = {"settings": asdict(stack.settings), "ready": ready}
    RunFolder(stack.places.root).write_json(DESCRIPTION, content)


def _start_parts(stack: Stack, progress: Progress) -> None:
    """Start three lanes side by side: database and Airflow; S3 and media; dataset service and dataset."""
    lanes = (_start_airflow, _start_storage, _start_dataset_service)
    with ThreadPoolExecutor(len(lanes)) as pool:
        futures = [pool.submit(lane, stack, progress) for lane in lanes]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
        finally:
            if not all(future.done() and not future.exception() for future in futures):
                stack.supervisor.stopping.set()  # the other lanes give up, so the pool can end
    errors = [error for future in futures if (error := future.exception())]
    # The lane that failed says why; the others only say that they were told to stop.
    for error in sorted(errors, key=lambda error: isinstance(error, StoppingError)):
        raise error


def _start_airflow(stack: Stack, progress: Progress) -> None:
    supervisor, settings = stack.supervisor, stack.settings
    postgres = find_postgres(stack.places)
    create_cluster(postgres, stack.secrets)
    server = supervisor.start(postgres_command(settings, postgres))
    supervisor.wait_until(
        lambda: create_database(settings, stack.secrets), server, timeout_s=settings.start_timeout_s
    )
    progress("PostgreSQL is ready")
    supervisor.run(migrate_command(stack.environment, stack.places), timeout_s=settings.start_timeout_s)
    progress("Airflow's tables are ready")
    records = [supervisor.start(command) for command in part_commands(stack.environment, stack.places)]
    told: set[str] = set()

    def all_healthy() -> bool:
        health = stack.api.health()
        for part in HEALTHY_PARTS:
            if health.get(part) == HEALTHY and part not in told:
                told.add(part)
                progress(f"Airflow's {part.replace('_', ' ')} is ready")
        return told == set(HEALTHY_PARTS)

    supervisor.wait_until(
        all_healthy, records[-1], timeout_s=settings.start_timeout_s, interval_s=HEALTH_INTERVAL_S
    )
    stack.api.make_pool(POOL, POOL_SLOTS, "Upload jobs that Encord works on at one time")


def _start_storage(stack: Stack, progress: Progress) -> None:
    command = s3_command(stack.settings, stack.places, stack.secrets, BUCKETS)
    client = stack.s3()
    record = stack.supervisor.start(command)
    stack.supervisor.wait_until(
        lambda: s3_is_ready(client, BUCKETS), record, timeout_s=stack.settings.start_timeout_s
    )
    fill_bucket(client, stack.content)
    progress(f"The S3 server is ready, with {len(stack.content.everything())} objects in bucket {BUCKET}")


def _start_dataset_service(stack: Stack, progress: Progress) -> None:
    url = dataset_service_url(stack.settings)
    record = stack.supervisor.start(
        dataset_service_command(stack.settings, stack.places, stack.secrets, BUCKETS)
    )
    stack.supervisor.wait_until(
        lambda: answers(f"{url}/healthz", status=200), record, timeout_s=stack.settings.start_timeout_s
    )
    stack.dataset_uuid = _create_dataset(stack.encord())
    progress(f"The dataset service is ready, with an empty dataset {DATASET!r}")


def _create_dataset(client: Any) -> str:
    from encord.orm.dataset import StorageLocation

    created = client.create_dataset(DATASET, StorageLocation.AWS, create_backing_folder=True)
    return str(created.dataset_hash)


def _remove_traces(places: Places) -> None:
    """Remove what says that a stack runs, and what its parts left outside its root."""
    description = places.root / DESCRIPTION
    if description.is_file():
        settings = Settings(**RunFolder(places.root).read_json(DESCRIPTION)["settings"])
        remove_s3_sockets(settings)
        description.unlink()
    shutil.rmtree(scratch_folder(places), ignore_errors=True)
