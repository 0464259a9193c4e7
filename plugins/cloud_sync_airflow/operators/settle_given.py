"""The settle stage of an upload."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from cloud_sync.failures.model import FailureClass
from cloud_sync.failures.words import REMEDIES
from cloud_sync.planning.model import PLAN_ONLY
from cloud_sync_airflow.assets import dataset_asset
from cloud_sync_airflow.operators.settle import SettleOperator, run_facts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from airflow.sdk import Context

    from cloud_sync.failures.report import RunFacts
    from cloud_sync.failures.settle import SettleContext
    from cloud_sync.integration import Integration
    from cloud_sync.planning.model import PlanRow
    from cloud_sync.registration.model import Target
    from cloud_sync.run_folder import RunFolder

UPLOAD = "upload"

# A sync's remedies name its settings and its next run; that of an object which may not be read fits both.
REMEDIES_OF_UPLOADS = {
    **{name: remedy for name, remedy in REMEDIES.items() if name != FailureClass.FORBIDDEN},
    FailureClass.TRANSIENT: "Upload it once more: nothing tries it again by itself.",
}


class SettleGivenOperator(SettleOperator):
    """Accounts for an upload. Writes no ledger: sizes and etags of the objects are not known."""

    def ledger_of_run(self, integration: Integration, target: Target) -> None:
        """Return that no ledger gets a new version."""

    def settle_context(
        self, context: Context, folder: RunFolder, integration: Integration, target: Target
    ) -> SettleContext:
        """Return where and for whom is settled. URLs may be written in any form."""
        of_sync = super().settle_context(context, folder, integration, target)
        return replace(of_sync, parse_url=self.frozen_urls(folder).key_of, remedies=REMEDIES_OF_UPLOADS)

    def facts(
        self, context: Context, folder: RunFolder, integration: Integration, target: Target
    ) -> RunFacts:
        """Return what the report says of the run besides its settlement."""
        from cloud_sync.manifest.given import read_given
        from cloud_sync.planning.model import read_plan_rows

        dataset = {"uuid": target.dataset_uuid, "title": target.dataset_title}
        given = asdict(read_given(folder))
        return given_facts(context, integration.name, dataset, given, read_plan_rows(folder))

    def tell_followers(self, context: Context, integration: Integration, extra: dict[str, Any]) -> None:
        """Make an event of the asset of the dataset that was chosen for this run."""
        tell_by_alias(self.outlets, context, integration, extra)


def tell_by_alias(
    aliases: Iterable[Any], context: Context, integration: Integration, extra: dict[str, Any]
) -> None:
    """Make an event of the asset of an integration's dataset, through aliases that stand for any dataset."""
    for alias in aliases:
        context["outlet_events"][alias].add(dataset_asset(integration), extra=extra)


def given_facts(
    context: Context,
    integration: str,
    dataset: Mapping[str, str],
    given: Mapping[str, Any],
    plan: Sequence[PlanRow] = (),
) -> RunFacts:
    """Return what a report says of an upload besides its settlement."""
    facts = run_facts(context, integration, dataset, plan)
    mode = facts.mode if facts.mode == PLAN_ONLY else UPLOAD
    return replace(facts, mode=mode, listed={"objects": 0, "total_bytes": 0}, given=given)
