"""The choose stage as a task: the first of a retry of listed failures, in the place of list and plan."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloud_sync.errors import CloudSyncError, FormError, StorageError
from cloud_sync.numbers import agreeing, counted
from cloud_sync_airflow.operators.plan import resolve
from cloud_sync_airflow.operators.stage import (
    FROZEN_NAME,
    RETRIES_FOLDER,
    UPLOADS_FOLDER,
    FormOperator,
    open_store,
)
from cloud_sync_airflow.params import sends_nothing
from cloud_sync_airflow.retry_params import RetryOptions
from cloud_sync_airflow.settings import manifests_folder, state_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from airflow.sdk import Context

    from cloud_sync.failures.choice import LeftOut
    from cloud_sync.failures.failure_list import ListedFailure
    from cloud_sync.integration import Integration
    from cloud_sync.ledger import Ledger
    from cloud_sync.manifest.recall import RecalledItem
    from cloud_sync.objects.urls import ObjectUrls
    from cloud_sync.run_folder import RunFolder

log = logging.getLogger(__name__)

RETRIED_NAME = "retried.json"

# How many run folders of the integration are looked through for items, the newest first.
RUNS_LOOKED_AT = 200


class ChooseOperator(FormOperator):
    """Reads a failure list, finds the items of its rows, and writes them down for the build stage."""

    def __init__(self, *, runs: str = RETRIES_FOLDER, **kwargs: Any) -> None:
        super().__init__(runs=runs, **kwargs)

    def take(self, context: Context) -> dict[str, Any]:
        """Return a reference to the summary of what is sent again."""
        from cloud_sync.failures.choice import LeftOut, by_key, of_classes
        from cloud_sync.failures.failure_list import read_failure_list
        from cloud_sync.manifest.recall import write_recalled
        from cloud_sync.registration.model import write_target

        folder = self.run_folder(context)
        options = RetryOptions.of(context)
        integration = self.chosen_integration(options.integration)
        path, file = _failure_list(integration, options)
        urls = self._freeze(folder, integration)
        listed = read_failure_list(path, file=file)
        rows = by_key(listed, urls.key_of, file=file, bucket=integration.storage.bucket)
        target = resolve(integration)
        ledger = self.ledger(integration, target)
        ledger.check_url_base(urls.base)
        left_out = LeftOut()
        wanted = of_classes(rows, options.classes, left_out, states_of=ledger.states)
        items = self._items(integration, urls, wanted, left_out)
        items = _not_left_out(items, wanted, ledger, options, left_out)
        items = _in_bucket(items, integration, left_out)
        ref = write_recalled(folder, items)
        folder.write_json(
            RETRIED_NAME,
            {
                "list": file,
                "rows": len(listed),
                "items": len(items),
                "files": ref.counts["objects"],
                "left_out": left_out.to_json(),
            },
        )
        write_target(folder, target)
        self._log(file, len(listed), items, left_out, would_be=sends_nothing(context))
        return ref.to_json()

    def _freeze(self, folder: RunFolder, integration: Integration) -> ObjectUrls:
        from cloud_sync_airflow.hooks.object_store import ObjectStoreHook

        urls = ObjectStoreHook(integration.storage).urls()
        self.freeze_integration(folder, integration)
        self.freeze_urls(folder, urls)
        return urls

    def _items(
        self,
        integration: Integration,
        urls: ObjectUrls,
        wanted: Mapping[str, ListedFailure],
        left_out: LeftOut,
    ) -> list[RecalledItem]:
        """Return the items of these files: as they were sent, or if nothing tells that, as the list says."""
        items: list[RecalledItem] = []
        missing, taken = dict(wanted), set[str]()
        run_ids = {row.run_id for row in wanted.values() if row.run_id}
        for run in _run_folders(integration.name, run_ids):
            if not missing:
                break
            for item in self._recalled(run, urls, missing):
                # A file may stand in several items: in a given manifest, or in a group that has grown since.
                if taken.isdisjoint(item.keys):
                    taken.update(item.keys)
                    items.append(item)
            missing = {key: row for key, row in missing.items() if key not in taken}
        made_up = list(_single_files(integration, urls, missing, left_out))
        if made_up:
            made = counted(len(made_up), "item")
            self.log.info("%s of no run folder: made up from the list", made)
        return items + made_up

    def _recalled(
        self, run: RunFolder, urls: ObjectUrls, missing: Mapping[str, ListedFailure]
    ) -> list[RecalledItem]:
        from cloud_sync.manifest.recall import recall

        ours = urls.build_many(list(missing))
        as_listed = [row.object_url for row in missing.values()]
        try:
            recalled = recall(run, {*ours, *as_listed}, urls.key_of)
        except CloudSyncError as error:
            self.log.warning("Nothing can be recalled from a run: %s", error)
            return []
        return [_written_as_ours(item, urls) for item in recalled]

    def _log(
        self, file: str, rows: int, items: Sequence[RecalledItem], left_out: LeftOut, *, would_be: bool
    ) -> None:
        from cloud_sync.failures.choice import EXAMPLES

        are = "would be" if would_be else agreeing(len(items), "is", "are")
        chosen = counted(len(items), "item")
        self.log.info("%s: %s; %s %s sent again", file, counted(rows, "row"), chosen, are)
        for item in items[:EXAMPLES]:
            self.log.info("      %s", item.item_key)
        for reason, count in left_out.counts.items():
            self.log.info("  left out: %s: %s", counted(count, "file"), left_out.why(reason))
            for key in left_out.examples[reason]:
                self.log.info("      %s", key)
        if left_out.remedy:
            self.log.info("%s", left_out.remedy)


def _failure_list(integration: Integration, options: RetryOptions) -> tuple[Path, str]:
    """Return the path of the failure list, and what to call it."""
    from cloud_sync.failures.failure_csv import CSV_NAME
    from cloud_sync.manifest.location import FAILURE_LIST, find_manifest

    if options.path is not None:
        return find_manifest(manifests_folder(), options.path, what=FAILURE_LIST), options.path
    for folder in _folders_of_run(integration.name, str(options.run_id)):
        if folder.exists(CSV_NAME):
            return folder.local(CSV_NAME), f"{CSV_NAME} of run {options.run_id}"
    raise FormError(
        f"there is no run {options.run_id!r} of the integration {integration.name} with a failure CSV.",
        where="the form's field Run",
        remedy="Copy the run's id from the Airflow UI. A run writes its failure CSV when it ends.",
    )


def _folders_of_run(integration: str, run_id: str) -> Iterator[RunFolder]:
    """Yield the folders that a run of this integration may have: as a sync, a retry or an upload."""
    from cloud_sync.run_folder import safe_name

    for parent in (integration, RETRIES_FOLDER, UPLOADS_FOLDER):
        folder = state_folder().below(f"runs/{parent}/{safe_name(run_id)}")
        if _is_of(folder, integration):
            yield folder


def _is_of(folder: RunFolder, integration: str) -> bool:
    """Tell whether a run was of this integration. False if that cannot be read."""
    try:
        return folder.exists(FROZEN_NAME) and folder.read_json(FROZEN_NAME).get("name") == integration
    except StorageError as error:
        log.warning("A run is left out: %s", error)
        return False


def _run_folders(integration: str, run_ids: Collection[str]) -> Iterator[RunFolder]:
    """Yield the run folders in which items may stand: those that the list names, then the newest syncs."""
    for run_id in sorted(run_ids):
        yield from _folders_of_run(integration, run_id)
    runs = state_folder().below(f"runs/{integration}")
    yield from (runs.below(name) for name in runs.newest_folders(FROZEN_NAME)[:RUNS_LOOKED_AT])


def _written_as_ours(item: RecalledItem, urls: ObjectUrls) -> RecalledItem:
    """Return the item with its URLs written as the sync writes them."""
    from dataclasses import replace

    import msgspec

    ours = tuple(urls.build_many(item.keys))
    return replace(item, item=msgspec.structs.replace(item.item, object_urls=ours))


def _single_files(
    integration: Integration, urls: ObjectUrls, rows: Mapping[str, ListedFailure], left_out: LeftOut
) -> Iterator[RecalledItem]:
    """Yield items of one file for rows of which no run folder tells anything."""
    from cloud_sync.failures.choice import OUTSIDE_PREFIX, UNKNOWN_GROUP, UNKNOWN_TYPE
    from cloud_sync.manifest.items import GROUPED_TYPES, Item
    from cloud_sync.manifest.recall import RecalledFile, RecalledItem

    type_of = _type_by_extension(integration)
    for (key, row), url in zip(rows.items(), urls.build_many(list(rows)), strict=True):
        kind = row.item_type or type_of(key)
        if not key.startswith(integration.storage.prefix):
            left_out.add(OUTSIDE_PREFIX, [key])
        elif not kind:
            left_out.add(UNKNOWN_TYPE, [key])
        elif kind in GROUPED_TYPES:
            left_out.add(UNKNOWN_GROUP, [key])
        else:
            # The failure CSV says the file's name where the item had no title.
            title = row.title if row.title and row.title != key.rpartition("/")[2] else None
            yield RecalledItem(Item(kind, (url,), title), key, (RecalledFile(key),))


def _type_by_extension(integration: Integration) -> Callable[[str], Any]:
    """Return what tells the type of a key by its longest known extension."""
    types = integration.types.by_extension()

    def type_of(key: str) -> str | None:
        _, *parts = key.rpartition("/")[2].lower().split(".")
        endings = (".".join(parts[start:]) for start in range(len(parts)))
        return next((types[ending] for ending in endings if ending in types), None)

    return type_of


def _in_bucket(
    items: Sequence[RecalledItem], integration: Integration, left_out: LeftOut
) -> list[RecalledItem]:
    """Return the items whose files are all in the bucket, with their present state."""
    from cloud_sync.failures.choice import NOT_IN_BUCKET
    from cloud_sync.manifest.recall import with_present_state

    if not items:
        return []
    store = open_store(integration)
    looked_at = list(with_present_state(items, store.head))
    if any(missing for _, missing in looked_at):
        # A request for one object does not tell whether it or the whole bucket is missing.
        store.check_access(integration.storage.prefix)
    for item, missing in looked_at:
        if missing:
            left_out.add(NOT_IN_BUCKET, [*missing, *(key for key in item.keys if key not in missing)])
    return [item for item, missing in looked_at if not missing]


def _not_left_out(
    items: Sequence[RecalledItem],
    wanted: Mapping[str, ListedFailure],
    ledger: Ledger,
    options: RetryOptions,
    left_out: LeftOut,
) -> list[RecalledItem]:
    from cloud_sync.failures.choice import QUARANTINED, reason_to_leave_out

    states = ledger.states([key for item in items for key in item.keys])
    kept = []
    for item in items:
        of_item = [states.get(key) for key in item.keys]
        reason = reason_to_leave_out(of_item, release_quarantine=options.release_quarantine)
        if reason is None:
            kept.append(item)
        elif reason == QUARANTINED:
            # A group may stand in the list with some of its files only.
            failure_class = next((wanted[key].failure_class for key in item.keys if key in wanted), "")
            left_out.add(reason, item.keys, failure_class=failure_class, is_quarantined=True)
        else:
            left_out.add(reason, item.keys)
    return kept
