"""The list stage as one task."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from cloud_sync.errors import FormError
from cloud_sync.numbers import counted
from cloud_sync_airflow.operators.stage import FROZEN_NAME, URLS_NAME, StageOperator
from cloud_sync_airflow.params import RunOptions, check_names

if TYPE_CHECKING:
    from airflow.sdk import Context

    from cloud_sync.integration import Integration
    from cloud_sync.objects.listing import Listing
    from cloud_sync.objects.model import ObjectStore
    from cloud_sync.run_folder import RunFolder


class BeginOperator(StageOperator):
    """Base of the first stage of a sync, which freezes the settings."""

    def begin(self, context: Context, folder: RunFolder) -> tuple[Integration, str, ObjectStore]:
        """Freeze the settings; return the integration, the prefix to list, and the opened storage.

        Raises:
            FormError: What a person gave with the run is no field, or lies outside the integration.
        """
        from cloud_sync.integration import Integration
        from cloud_sync_airflow.hooks.object_store import ObjectStoreHook

        check_names(context)
        integration = Integration.model_validate(self.integration)
        self.freeze_integration(folder, integration)
        prefix = narrowed(integration.storage.prefix, RunOptions.of(context).prefix)
        hook = ObjectStoreHook(integration.storage)
        self.freeze_urls(folder, hook.urls())
        store = hook.get_conn()
        store.check_access(prefix)
        return integration, prefix, store


class ListOperator(BeginOperator):
    """Lists the integration's storage into the run folder, in one task."""

    def execute(self, context: Context) -> dict[str, Any]:
        """Return a reference to the listing's index."""
        from cloud_sync.objects.listing import list_objects

        folder = self.run_folder(context)
        integration, prefix, store = self.begin(context, folder)
        listing = list_objects(store, prefix, folder, attempt=attempt_of(context, folder))
        self.log.info("Listed %s, under %s/%s", in_words(listing), integration.storage.bucket, prefix)
        return listing.index.to_json()


def attempt_of(context: Context, folder: RunFolder) -> str:
    """Return what the tries of a task have in common until a person clears something in its run.

    A task that is tried again goes on with the listing that it has begun. A person who clears the run wants
    to see what has come since. A run that was deleted and made again under its old name is another one, and
    so is a try that finds another bucket in the settings: its files may not follow those of the first.
    """
    run = context["dag_run"]
    begun = run.start_date.isoformat() if run.start_date else "at no known time"
    listed = [folder.read_json(FROZEN_NAME)["storage"], folder.read_json(URLS_NAME)]
    of = sha256(json.dumps(listed, sort_keys=True).encode()).hexdigest()
    return f"cleared {run.clear_number or 0} times, begun {begun}, of {of}"


def in_words(listing: Listing) -> str:
    """Return how much was listed."""
    return f"{counted(listing.objects, 'object')}, {counted(listing.total_bytes, 'byte')}"


def narrowed(prefix: str, narrower: str | None) -> str:
    """Return the prefix to list.

    Raises:
        FormError: The narrower prefix lies outside the integration's.
    """
    if narrower is None:
        return prefix
    if not narrower.startswith(prefix):
        raise FormError(
            f"the prefix {narrower!r} lies outside the integration's prefix {prefix!r}.",
            where="the form's field Narrower prefix",
            remedy=f"Begin it with {prefix!r}, or leave it empty.",
        )
    return narrower
