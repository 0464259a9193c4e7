"""The list stage as a task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cloud_sync.errors import FormError
from cloud_sync.numbers import counted
from cloud_sync_airflow.operators.stage import StageOperator
from cloud_sync_airflow.params import RunOptions

if TYPE_CHECKING:
    from airflow.sdk import Context


class ListOperator(StageOperator):
    """Lists the integration's storage into the run folder; the first stage, so it freezes the settings."""

    def execute(self, context: Context) -> dict[str, Any]:
        """Return a reference to the listing's index."""
        from cloud_sync.integration import Integration
        from cloud_sync.objects.listing import list_objects
        from cloud_sync_airflow.hooks.object_store import ObjectStoreHook

        folder = self.run_folder(context)
        integration = Integration.model_validate(self.integration)
        self.freeze_integration(folder, integration)
        prefix = narrowed(integration.storage.prefix, RunOptions.of(context).prefix)
        hook = ObjectStoreHook(integration.storage)
        self.freeze_urls(folder, hook.urls())
        store = hook.get_conn()
        store.check_access(prefix)
        listing = list_objects(store, prefix, folder)
        self.log.info(
            "Listed %s, %s, under %s/%s",
            counted(listing.objects, "object"),
            counted(listing.total_bytes, "byte"),
            integration.storage.bucket,
            prefix,
        )
        return listing.index.to_json()


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
