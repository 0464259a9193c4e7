"""What this project asks of Encord, through the official SDK and nothing else.

The only module that imports the SDK, inside functions, because the import takes a second.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import chain, islice
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec
from pydantic import ValidationError

from cloud_sync.errors import ManifestError
from cloud_sync.integration import is_uuid
from cloud_sync.numbers import counted
from cloud_sync.registration.connection import DEFAULT_DOMAIN, DEFAULT_TIMEOUTS, Timeouts, check_domain
from cloud_sync.registration.errors import clean_text, the_one, translate
from cloud_sync.registration.keys import check_ssh_key
from cloud_sync.registration.model import DatasetRef, FolderItem, JobState, UnitError
from cloud_sync.registration.pacing import SharedPace
from cloud_sync.safe_url import without_secrets

if TYPE_CHECKING:
    from encord.dataset import Dataset
    from encord.http.v2.api_client import ApiClient
    from encord.orm.dataset import DataRow
    from encord.orm.storage import DataUploadItems, UploadLongPollingState
    from encord.storage import StorageFolder, StorageItem
    from encord.user_client import EncordUserClient

    from cloud_sync.registration.transport import Transport

PAGE_ITEMS = 1000  # Encord's longest page
LINK_BATCH_ITEMS = 1000
READS_IN_FLIGHT = 8  # they wait for Encord, not for this machine
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 2.0


class _Dialect(msgspec.Struct, rename="camel"):
    """The key that only manifests in the SDK's own dialect have; decoding keeps nothing else of the file."""

    skip_duplicate_urls: bool | None = None


class EncordClient:
    """A connection to Encord for one user. May be shared by threads.

    How often a request is made, and when, is said in `cloud_sync.registration.transport`.

    Args:
        domain: API domain, `https://api.encord.com` or that of a region or private cloud.
        ssh_private_key: An Ed25519 private key in OpenSSH format.
        user_agent_suffix: Names this project in Encord's logs (`product/version`).
        timeouts: How long to wait.
        pace: When requests may be made, as other processes know it, too; None for one of its own.

    Raises:
        ConfigError: The key or the domain is wrong; here, or in any method if Encord does not accept it.
        EncordError: In any method: Encord refused (permanent) or failed (transient).
    """

    def __init__(
        self,
        *,
        domain: str = DEFAULT_DOMAIN,
        ssh_private_key: str,
        user_agent_suffix: str | None = None,
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
        pace: SharedPace | None = None,
    ) -> None:
        from cloud_sync.registration.transport import Transport

        key = check_ssh_key(ssh_private_key)
        self.domain = check_domain(domain)
        self.pace = pace or SharedPace()
        self._transport = Transport(self.pace)
        connect = partial(_connect, key, self.domain, user_agent_suffix, timeouts.connect_s)
        self._sdk: EncordUserClient = connect(answer_s=timeouts.request_s, transport=self._transport)
        one_request = Transport(self.pace, attempts=1, longest_wait_s=0)
        self._polls = _one_request_at_a_time(connect(answer_s=timeouts.poll_s, transport=one_request))
        self._folders: dict[str, StorageFolder] = {}
        self._datasets: dict[str, Dataset] = {}
        self._lock = RLock()

    def check(self) -> int:
        """Prove that key and domain work; return the number of Encord integrations the user sees."""
        with self._translated(self.domain):
            return len(self._sdk.get_cloud_integrations())

    def find_encord_integration(self, title_or_uuid: str) -> tuple[str, str]:
        """Return uuid and title of a cloud credential stored in Encord.

        Raises:
            ConfigError: There is none of that name, or more than one.
        """
        where = f"Encord integration {title_or_uuid!r}"
        with self._translated(where):
            if is_uuid(title_or_uuid):
                found = self._sdk.get_cloud_integrations(filter_integration_uuids=[title_or_uuid])
            else:
                found = self._sdk.get_cloud_integrations(filter_integration_titles=[title_or_uuid])
            known = [] if found else [one.title for one in self._sdk.get_cloud_integrations()]
        matches = [(str(one.id), one.title) for one in found]
        return the_one(matches, title_or_uuid, known, where=where)

    def find_dataset(self, title_or_hash: str) -> DatasetRef:
        """Return a dataset by its title or its hash.

        Raises:
            ConfigError: There is none of that name, or more than one.
        """
        where = f"dataset {title_or_hash!r}"
        with self._translated(where):
            if is_uuid(title_or_hash):
                dataset = self._dataset(title_or_hash)
                return DatasetRef(title_or_hash, dataset.title, _optional(dataset.backing_folder_uuid))
            found = [one["dataset"] for one in self._sdk.get_datasets(title_eq=title_or_hash)]
            known = [] if found else [one["dataset"].title for one in self._sdk.get_datasets()]
        folders = {str(one.dataset_hash): _optional(one.backing_folder_uuid) for one in found}
        matches = [(str(one.dataset_hash), one.title) for one in found]
        uuid, title = the_one(matches, title_or_hash, known, where=where)
        return DatasetRef(uuid, title, folders[uuid])

    def find_folder(self, name_or_uuid: str) -> str | None:
        """Return the uuid of a storage folder; None if there is none of that name at the top level.

        Raises:
            ConfigError: More than one has the name, or there is none with the uuid.
        """
        where = f"storage folder {name_or_uuid!r}"
        with self._translated(where):
            if is_uuid(name_or_uuid):
                return str(self._folder(name_or_uuid).uuid)
            listed = self._sdk.list_storage_folders(search=name_or_uuid, page_size=PAGE_ITEMS)
            matches = [(str(one.uuid), one.name) for one in listed if one.name == name_or_uuid]
        return the_one(matches, name_or_uuid, [], where=where)[0] if matches else None

    def ensure_folder(self, name_or_uuid: str) -> str:
        """Return the uuid of a storage folder, made at the top level if there is none of that name.

        Running it twice makes one folder: a request whose answer was lost is found again by its name.
        """
        if found := self.find_folder(name_or_uuid):
            return found
        with self._translated(f"storage folder {name_or_uuid!r}"):
            folder = self._sdk.create_storage_folder(
                name_or_uuid, description="Filled by Encord Cloud Sync. Keep it: it tells what is registered."
            )
        return str(folder.uuid)

    def start_upload_job(
        self,
        folder_uuid: str,
        manifest: Path,
        *,
        encord_integration_uuid: str | None,
        ignore_errors: bool,
    ) -> str:
        """Have Encord register a manifest; return the id of the upload job.

        Sent again only where it is certain that there is no job: after a 429, or without a connection.

        Args:
            folder_uuid: The storage folder to register to.
            manifest: The manifest file, in the product document's dialect or in the SDK's own. Of the
                first Encord shows the name beside the job; with the second the SDK sends none.
            encord_integration_uuid: The cloud credential with which Encord reads the objects.
            ignore_errors: True: a bad file fails alone. False: it fails the job.

        Raises:
            ManifestError: The file is none that the SDK would send whole; nothing was sent.
            ManifestRefusedError: Encord will not take this manifest; there is no job.
            EncordRefusedError: Encord said no; there is no job.
            EncordError: Otherwise: there may be a job, whose id is lost.
        """
        where = f"storage folder {folder_uuid}, manifest {manifest.name}"
        files = _as_sent(manifest)
        with self._translated(where, changes_nothing=True):
            folder = self._folder(folder_uuid)
        with self._translated(where, sends_manifest=True):
            job = folder.add_private_data_to_folder_start(
                integration_id=encord_integration_uuid,
                private_files=files,
                ignore_errors=ignore_errors,
            )
            return str(job)

    def poll_upload_job(self, folder_uuid: str, job_id: str, hold_s: float = 0) -> JobState:
        """Return the state of an upload job, asked for with one request.

        Args:
            folder_uuid: The folder that the job was started in.
            job_id: The job.
            hold_s: Ask again, at growing intervals, until the job has finished or this time is over. A pause
                that Encord asked for and that ends before is waited out.
        """
        ends = time.monotonic() + hold_s
        pause_s = FIRST_PAUSE_S
        while True:
            if 0 < (asked_s := self.pace.wait_s()) < ends - time.monotonic():
                time.sleep(asked_s)
            state = self._poll_once(folder_uuid, job_id)
            left_s = ends - time.monotonic()
            if state.finished or left_s <= 0:
                return state
            time.sleep(min(pause_s, left_s))
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _poll_once(self, folder_uuid: str, job_id: str) -> JobState:
        from encord.orm.storage import GetUploadJobParams, UploadLongPollingState

        with self._translated(f"upload job {job_id}"):
            state = self._polls.get(
                f"storage/folders/{folder_uuid}/data-upload-jobs/{job_id}",
                params=GetUploadJobParams(timeout_seconds=0),  # answer at once
                result_type=UploadLongPollingState,
            )
            return _job_state(state)

    def cancel_upload_job(self, folder_uuid: str, job_id: str) -> int:
        """Cancel an upload job; return the number of units that will not be processed.

        What was registered before stays. Cancelling a finished job changes nothing.
        """
        with self._translated(f"upload job {job_id}"):
            answer = self._folder(folder_uuid).add_data_to_folder_job_cancel(UUID(job_id))
            return int(answer.units_cancelled_count)

    def folder_items(
        self, folder_uuid: str, *, unlinked_only: bool = False, linked_only: bool = False
    ) -> Iterator[FolderItem]:
        """Stream the items of a storage folder, 1,000 a request.

        Args:
            folder_uuid: The folder.
            unlinked_only: Only items that belong to no dataset.
            linked_only: Only items that belong to one.
        """
        with self._translated(f"storage folder {folder_uuid}"):
            listed = self._folder(folder_uuid).list_items(
                is_in_dataset=False if unlinked_only else True if linked_only else None,
                include_client_metadata=False,
                page_size=PAGE_ITEMS,
            )
            for item in listed:
                yield _folder_item(item)

    def child_urls(self, item_uuids: Iterable[str]) -> Iterator[tuple[str, tuple[str | None, ...]]]:
        """Stream groups and series with the object URLs of their files, in order: a request for each.

        Args:
            item_uuids: Items of the types that have several files.
        """
        with ThreadPoolExecutor(READS_IN_FLIGHT, thread_name_prefix="children") as pool:
            for batch in _batches(item_uuids, PAGE_ITEMS):
                with self._translated(f"{counted(len(batch), 'item')} from {batch[0]}"):
                    items = self._sdk.get_storage_items(batch)
                    for item, urls in zip(items, pool.map(_child_urls, items), strict=True):
                        yield str(item.uuid), urls

    def dataset_items(self, dataset_uuid: str) -> set[str]:
        """Return the uuids of a dataset's items, in whatever folders they are.

        Their list has no pages, so it is one long answer: ask only where the list of a folder does not tell.
        """
        with self._translated(f"dataset {dataset_uuid}"):
            rows = self._dataset(dataset_uuid).list_data_rows()
            return {str(row.backing_item_uuid) for row in rows}

    def link_items(self, dataset_uuid: str, uuids: Iterable[str]) -> int:
        """Make items of a storage folder part of a dataset; those that are part of it stay as they are.

        Returns:
            Number of items that are linked now (new or before).
        """
        from encord.orm.dataset import DataLinkDuplicatesBehavior

        count = 0
        with self._translated(f"dataset {dataset_uuid}"):
            dataset = self._dataset(dataset_uuid)
            for batch in _batches(uuids, LINK_BATCH_ITEMS):
                linked = [UUID(uuid) for uuid in batch]
                with self._transport.repeating():  # what is linked is skipped
                    dataset.link_items(linked, DataLinkDuplicatesBehavior.SKIP)
                count += len(batch)
        return count

    def unlink_items(self, dataset_uuid: str, uuids: Iterable[str]) -> int:
        """Take items out of a dataset that does not mirror a folder; they stay in their folders.

        The labels that projects have of them are lost. Running it twice is harmless.

        Returns:
            How many items were in the dataset.
        """
        count = 0
        with self._translated(f"dataset {dataset_uuid}"):
            dataset = self._dataset(dataset_uuid)
            for batch in _batches(uuids, LINK_BATCH_ITEMS):
                rows = _data_rows(dataset, self._sdk.get_storage_items(batch))
                if rows:
                    dataset.delete_data([row.uid for row in rows])
                count += len({row.backing_item_uuid for row in rows})
        return count

    def move_items(self, folder_uuid: str, new_folder_uuid: str, uuids: Iterable[str]) -> int:
        """Move items from one storage folder to another, and so out of the dataset that mirrors the first.

        Returns:
            How many items were moved.
        """
        count = 0
        with self._translated(f"storage folder {folder_uuid}"):
            folder = self._folder(folder_uuid)
            for batch in _batches(uuids, LINK_BATCH_ITEMS):
                moved = [UUID(uuid) for uuid in batch]
                folder.move_items_to_folder(UUID(new_folder_uuid), moved, allow_mirror_dataset_changes=True)
                count += len(batch)
        return count

    @contextmanager
    def _translated(
        self, where: str, *, changes_nothing: bool = False, sends_manifest: bool = False
    ) -> Iterator[None]:
        """Raise what the SDK raises as an error of this project, without a cause that could be secret."""
        from encord.exceptions import EncordException
        from requests.exceptions import RequestException

        try:
            yield
        except (EncordException, RequestException, ValueError) as error:
            raise translate(
                error,
                where=where,
                changes_nothing=changes_nothing,
                sends_manifest=sends_manifest,
                pause_s=self.pace.wait_s(),
            ) from None

    def _folder(self, uuid: str) -> StorageFolder:
        with self._lock:
            cached = self._folders.get(uuid)
        if cached is None:
            cached = self._sdk.get_storage_folder(uuid)
            with self._lock:
                self._folders[uuid] = cached
        return cached

    def _dataset(self, uuid: str) -> Dataset:
        with self._lock:
            cached = self._datasets.get(uuid)
        if cached is None:
            cached = self._sdk.get_dataset(uuid, include_data_rows=False)
            with self._lock:
                self._datasets[uuid] = cached
        return cached


def _connect(
    key: str,
    domain: str,
    user_agent_suffix: str | None,
    connect_s: int,
    *,
    answer_s: int,
    transport: Transport,
) -> EncordUserClient:
    from encord.http import querier
    from encord.http.constants import RequestsSettings
    from encord.http.v2 import api_client
    from encord.user_client import EncordUserClient

    from cloud_sync.registration.transport import with_transport

    for protocol in (querier, api_client):
        protocol.create_new_session = with_transport(protocol.create_new_session)
    settings = RequestsSettings(
        max_retries=transport.attempts - 1,
        connection_retries=0,
        connect_timeout=connect_s,
        read_timeout=answer_s,
        write_timeout=answer_s,
        trace_id_provider=transport.trace_id,
    )
    try:
        return EncordUserClient.create_with_ssh_private_key(
            key, requests_settings=settings, domain=domain, user_agent_suffix=user_agent_suffix
        )
    except ValueError as error:
        raise translate(error, where=domain) from None


def _one_request_at_a_time(sdk: EncordUserClient) -> ApiClient:
    """Return the SDK's layer below `add_private_data_to_folder_get_result`, which is not fit for polling.

    That call asks again without a pause while a job is pending, gives up at the first 429, sleeps through
    a long Retry-After, and after a failed request sleeps 10 s twice before it says so.
    """
    from encord.http.v2.api_client import ApiClient

    return ApiClient(sdk.user_config.config)


def _as_sent(manifest: Path) -> Path | DataUploadItems:
    """Return a manifest as the SDK wants it: its path, or in the SDK's own dialect its content as a model.

    The SDK sends a path as the product document's dialect whatever stands in it, and its models drop
    keys that they do not know, so such keys are refused here.
    """
    try:
        data = manifest.read_bytes()
        if msgspec.json.decode(data, type=_Dialect).skip_duplicate_urls is None:
            return manifest
        from encord.orm.storage import DataUploadItems

        return DataUploadItems.model_validate_json(data, extra="forbid")
    except msgspec.DecodeError as error:
        said = f"is not a manifest: {error}."
    except ValidationError as error:
        said = f"the encord SDK would not send all of it: {_first_problem(error)}."
    raise ManifestError(said, where=str(manifest), remedy="Trigger a new run, which writes it anew.")


def _first_problem(error: ValidationError) -> str:
    """Return place and message of the first of pydantic's findings, without the values around it."""
    problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
    return f"{'.'.join(str(step) for step in problem['loc'])}: {problem['msg']}"


def _job_state(state: UploadLongPollingState) -> JobState:
    errors = tuple(
        UnitError(
            urls=tuple(without_secrets(url) for url in one.object_urls),
            error=clean_text(one.error),
            unit_id=str(one.subtask_uuid),
            action=clean_text(one.action_description),
        )
        for one in state.unit_errors
    )
    return JobState(
        status=state.status.value,
        pending=state.units_pending_count,
        done=state.units_done_count,
        failed=state.units_error_count,
        cancelled=state.units_cancelled_count,
        item_uuids=tuple(str(one.item_uuid) for one in state.items_with_names),
        unit_errors=errors,
        job_errors=tuple(clean_text(one) for one in state.errors),
    )


def _folder_item(item: StorageItem) -> FolderItem:
    return FolderItem(
        uuid=str(item.uuid),
        name=item.name,
        url=item.url,
        item_type=item.item_type.name.lower(),
        frame_count=item.frame_count,
    )


def _child_urls(item: StorageItem) -> tuple[str | None, ...]:
    return tuple(child.url for child in item.get_child_items())


def _data_rows(dataset: Dataset, items: Iterable[StorageItem]) -> list[DataRow]:
    """Return a dataset's data rows of these items.

    The list of a dataset has no pages and can only be asked by title. A row is called like its item, unless
    somebody has renamed one of them since: only then the whole list is asked for.
    """
    names = {item.uuid: item.name for item in items if item.backed_data_units_count}

    def rows_of(title: str | None) -> list[DataRow]:
        return [row for row in dataset.list_data_rows(title_eq=title) if row.backing_item_uuid in names]

    with ThreadPoolExecutor(READS_IN_FLIGHT, thread_name_prefix="rows") as pool:
        found = list(chain.from_iterable(pool.map(rows_of, sorted(set(names.values())))))
    if len({row.backing_item_uuid for row in found}) < len(names):
        return rows_of(None)
    return found


def _batches(values: Iterable[str], size: int) -> Iterator[list[str]]:
    rest = iter(values)
    while batch := list(islice(rest, size)):
        yield batch


def _optional(value: Any) -> str | None:
    return None if value is None else str(value)
