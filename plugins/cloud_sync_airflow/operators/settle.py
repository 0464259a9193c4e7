"""The settle stage as a task."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from cloud_sync.planning.model import PLAN_ONLY
from cloud_sync_airflow.operators.plan import nothing_listed
from cloud_sync_airflow.operators.stage import StageOperator, open_store
from cloud_sync_airflow.params import SYNC, sends_nothing

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from airflow.sdk import Context

    from cloud_sync.failures.report import RunFacts
    from cloud_sync.failures.settle import SettleContext, Settlement
    from cloud_sync.integration import Integration
    from cloud_sync.ledger import Ledger
    from cloud_sync.manifest.model import SentItem
    from cloud_sync.planning.model import PlanRow
    from cloud_sync.registration.client import EncordClient
    from cloud_sync.registration.model import Target
    from cloud_sync.run_folder import RunFolder


class SettleOperator(StageOperator):
    """Accounts for what was sent, and writes failures, ledger and report; also when the run broke off.

    Args:
        rounds: How many retry rounds the DAG has. A run is failed in which one was due and did not run.
    """

    def __init__(self, *, rounds: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rounds = rounds

    def execute(self, context: Context) -> dict[str, Any]:
        """Return the verdict and the counts; fails if the verdict is `failed`.

        With nothing but a plan, and with one that a person refused, it ends as skipped, so that nobody who
        follows the dataset is woken.
        """
        from cloud_sync.failures.failure_csv import write_failures
        from cloud_sync.failures.report import make_report, summary
        from cloud_sync.failures.settle import Settlement
        from cloud_sync.failures.verdict import check_verdict
        from cloud_sync.planning.model import read_unapproved
        from cloud_sync.registration.model import read_target

        folder = self.run_folder(context)
        integration = self.frozen_integration(folder)
        target = read_target(folder)
        plan_only = sends_nothing(context)
        is_unapproved = not plan_only and read_unapproved(folder) is not None
        settlement = (
            Settlement() if plan_only or is_unapproved else self._settle(context, folder, integration, target)
        )
        write_failures(folder, settlement.failures)
        facts = self.facts(context, folder, integration, target)
        rounds = min(self.rounds, integration.retry.rounds)
        report = make_report(folder, facts, settlement, integration.failures, rounds=rounds)
        self.log.info("%s", summary(report))
        if plan_only:
            raise AirflowSkipException("Plan only: the dataset is as it was.")
        if is_unapproved:
            check_verdict(report)
            raise AirflowSkipException("The plan was refused: the dataset is as it was.")
        counts = {name: report[name] for name in ("registered", "already_registered", "failed", "waiting")}
        self.tell_followers(context, integration, {"verdict": report["verdict"], **counts})
        check_verdict(report)
        return {"verdict": report["verdict"], **counts}

    def _settle(
        self, context: Context, folder: RunFolder, integration: Integration, target: Target
    ) -> Settlement:
        from cloud_sync.errors import CloudSyncError
        from cloud_sync.failures.failure_csv import write_failures
        from cloud_sync.failures.settle import known_failures, settle

        sources: dict[str, Any] = {
            "context": self.settle_context(context, folder, integration, target),
            "ledger": self.ledger_of_run(integration, target),
            "open_reader": lambda: open_store(integration),
        }
        try:
            return settle(folder, encord_folder=TargetFolder(integration, target), **sources)
        except CloudSyncError:
            # The next try may be long in coming, and may be the last.
            with suppress(CloudSyncError):
                write_failures(folder, known_failures(folder, **sources))
            raise

    def ledger_of_run(self, integration: Integration, target: Target) -> Ledger | None:
        """Return the ledger that gets a new version; None if none does."""
        return self.ledger(integration, target)

    def settle_context(
        self, context: Context, folder: RunFolder, integration: Integration, target: Target
    ) -> SettleContext:
        """Return where and for whom is settled."""
        from cloud_sync.failures.settle import SettleContext

        urls = self.frozen_urls(folder)
        return SettleContext(
            run_id=context["dag_run"].run_id,
            integration=integration.name,
            dataset=target.dataset_title,
            url_base=urls.base,
            parse_url=urls.parse,
            diagnosis_requests=integration.failures.diagnosis_requests,
        )

    def facts(
        self, context: Context, folder: RunFolder, integration: Integration, target: Target
    ) -> RunFacts:
        """Return what the report says of the run besides its settlement."""
        from cloud_sync.planning.model import read_plan_rows

        dataset = {"uuid": target.dataset_uuid, "title": target.dataset_title}
        facts = run_facts(context, integration.name, dataset, read_plan_rows(folder))
        if facts.listed["objects"]:
            return facts
        nothing = nothing_listed(integration, context["params"].get("prefix"))
        return replace(facts, nothing_listed=asdict(nothing))

    def tell_followers(self, context: Context, integration: Integration, extra: dict[str, Any]) -> None:
        """Have the event of the dataset's asset carry the verdict and the counts."""
        for asset in self.outlets:
            context["outlet_events"][asset].extra = extra


def run_facts(
    context: Context, integration: str, dataset: Mapping[str, str], plan: Sequence[PlanRow]
) -> RunFacts:
    """Return what a report says of a run besides its settlement, as of a sync."""
    from cloud_sync.failures.report import RunFacts

    dag_run = context["dag_run"]
    return RunFacts(
        integration=integration,
        dag_id=dag_run.dag_id,
        run_id=dag_run.run_id,
        mode=PLAN_ONLY if sends_nothing(context) else SYNC,
        dataset=dataset,
        listed={
            "objects": sum(row.objects for row in plan if row.is_listed),
            "total_bytes": sum(row.total_bytes for row in plan if row.is_listed),
        },
        plan=plan,
        started_at=dag_run.start_date.isoformat(timespec="seconds"),
        finished_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )


class TargetFolder:
    """The target's storage folder, as settling needs it (`cloud_sync.failures.accounting.FolderReader`).

    Connects when it is first asked: most runs need nothing of it.
    """

    def __init__(self, integration: Integration, target: Target) -> None:
        self.integration = integration
        self.target = target

    def find(self, items: Iterable[SentItem]) -> tuple[list[str], list[SentItem]]:
        """Return the uuids of the items that the folder holds, and the items that it does not hold."""
        from cloud_sync.registration.folder import RENAMED_AT_MOST, find_items

        if self.target.folder_uuid is None:
            return [], list(items)
        return find_items(self._client, self.target.folder_uuid, items, renamed_at_most=RENAMED_AT_MOST)

    def link(self, item_uuids: Sequence[str]) -> None:
        """Link items to the dataset; a backing folder's items are in it already."""
        if item_uuids and not self.target.is_backing_folder:
            self._client.link_items(self.target.dataset_uuid, item_uuids)

    @cached_property
    def _client(self) -> EncordClient:
        from cloud_sync_airflow.hooks.encord import EncordHook

        return EncordHook(self.integration.target.connection_id).get_conn()
