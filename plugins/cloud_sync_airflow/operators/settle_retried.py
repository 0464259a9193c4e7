"""The settle stage of a retry of listed failures."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cloud_sync.planning.model import PLAN_ONLY
from cloud_sync_airflow.operators.choose import RETRIED_NAME
from cloud_sync_airflow.operators.settle import SettleOperator
from cloud_sync_airflow.operators.settle_given import tell_by_alias

if TYPE_CHECKING:
    from airflow.sdk import Context

    from cloud_sync.failures.report import RunFacts
    from cloud_sync.failures.settle import SettleContext
    from cloud_sync.integration import Integration
    from cloud_sync.registration.model import Target
    from cloud_sync.run_folder import RunFolder

RETRY = "retry"


class SettleRetriedOperator(SettleOperator):
    """Accounts for listed failures that were sent again, in the ledger of the integration's sync."""

    def settle_context(
        self, context: Context, folder: RunFolder, integration: Integration, target: Target
    ) -> SettleContext:
        """Return where and for whom is settled. A sync may have a run of the same name.

        A run that is cleared leaves out what it has registered itself. So what it sends then is named by what
        it was built from, and builds on what it sent before instead of replacing it.
        """
        from cloud_sync.manifest.model import read_index

        of_sync = super().settle_context(context, folder, integration, target)
        dag_run = context["dag_run"]
        sent = read_index(folder).plan_sha256[:12]
        return replace(of_sync, committed_as=f"{dag_run.dag_id}/{dag_run.run_id}/{sent}")

    def facts(
        self, context: Context, folder: RunFolder, integration: Integration, target: Target
    ) -> RunFacts:
        """Return what the report says of the run besides its settlement."""
        facts = super().facts(context, folder, integration, target)
        return replace(
            facts,
            mode=facts.mode if facts.mode == PLAN_ONLY else RETRY,
            listed={"objects": 0, "total_bytes": 0},
            nothing_listed=None,
            retried=folder.read_json(RETRIED_NAME),
        )

    def tell_followers(self, context: Context, integration: Integration, extra: dict[str, Any]) -> None:
        """Make an event of the asset of the dataset that was chosen for this run."""
        tell_by_alias(self.outlets, context, integration, extra)
