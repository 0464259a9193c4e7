"""The plan stage as a task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cloud_sync.numbers import counted
from cloud_sync_airflow.operators.stage import StageOperator, open_store
from cloud_sync_airflow.params import RunOptions
from cloud_sync_airflow.settings import tables_folder

if TYPE_CHECKING:
    from airflow.sdk import Context

    from cloud_sync.integration import Integration
    from cloud_sync.planning.empty import NothingListed
    from cloud_sync.registration.model import Target


class PlanOperator(StageOperator):
    """Decides what to do with each listed object. Changes nothing in Encord.

    Args:
        listing: Reference to the listing, from the list stage; or those to all of its shards, in order.
    """

    template_fields = ("listing",)

    def __init__(self, *, listing: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.listing = listing

    def execute(self, context: Context) -> dict[str, Any]:
        """Return a reference to the plan's summary."""
        from cloud_sync.objects.model import read_listing
        from cloud_sync.planning.model import Sources
        from cloud_sync.planning.plan import make_plan
        from cloud_sync.registration.model import write_target
        from cloud_sync.run_folder import FileRef

        folder = self.run_folder(context)
        integration = self.frozen_integration(folder)
        indexes = [self.listing] if isinstance(self.listing, Mapping) else self.listing
        listing = read_listing(folder, *map(FileRef.from_json, indexes))
        target = resolve(integration)
        ledger = self.ledger(integration, target)
        ledger.check_url_base(self.frozen_urls(folder).base)
        options = RunOptions.of(context)
        plan = make_plan(
            folder,
            listing_parts=listing.parts,
            integration=integration,
            ledger=ledger.before(context["dag_run"].run_id),
            now=listing.listed_at,
            full_pass=options.full_pass,
            narrowed_to=options.prefix,
            sources=Sources(lambda: open_store(integration), ledger.files.files, tables_folder().files),
        )
        write_target(folder, target)
        for row in plan.rows:
            self.log.info(
                "%s %s, %s: %s (%s)",
                row.action,
                counted(row.objects, "object"),
                counted(row.items, "item"),
                row.reason,
                row.item_type or "other",
            )
        if not plan.ref.counts["objects"]:
            nothing = nothing_listed(integration, options.prefix)
            self.log.warning("Nothing was listed: %s %s", nothing.why, nothing.remedy)
        return plan.ref.to_json()


def nothing_listed(integration: Integration, narrowed_to: str | None) -> NothingListed:
    """Return what to say of a run that listed nothing.

    Args:
        integration: Its settings.
        narrowed_to: The prefix to which a person narrowed it.
    """
    from cloud_sync.planning.empty import NothingListed

    storage = integration.storage
    access = f"where the connection {storage.connection_id} leads (account, endpoint, region)"
    return NothingListed.under(storage, narrowed_to or storage.prefix, access=access)


def resolve(integration: Integration) -> Target:
    """Ask Encord for the ids of an integration's dataset, folder and credential."""
    from cloud_sync.registration.target import resolve_target
    from cloud_sync_airflow.hooks.encord import EncordHook

    hook = EncordHook(integration.target.connection_id)
    return resolve_target(
        hook.get_conn(),
        dataset=integration.target.dataset,
        encord_integration=integration.target.encord_integration or hook.encord_integration,
        folder=integration.target.folder,
        integration_name=integration.name,
    )
