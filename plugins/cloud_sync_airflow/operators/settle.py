"""The settle stage as a task."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from cloud_sync.planning.model import PLAN_ONLY
from cloud_sync_airflow.operators.stage import StageOperator, open_store
from cloud_sync_airflow.params import RunOptions

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from airflow.sdk import Context

    from cloud_sync.failures.settle import Settlement
    from cloud_sync.integration import Integration
    from cloud_sync.manifest.model import SentItem
    from cloud_sync.registration.client import EncordClient
    from cloud_sync.registration.model import Target
    from cloud_sync.run_folder import RunFolder


class SettleOperator(StageOperator):
    """Accounts for what was sent, and writes failures, ledger and report; also when the run broke off."""

    def execute(self, context: Context) -> dict[str, Any]:
        """Return the verdict and the counts; fails if the verdict is `failed`.

        With nothing but a plan it ends as skipped, so that nobody who follows the dataset is woken.
        """
        from cloud_sync.failures.failure_csv import write_failures
        from cloud_sync.failures.report import check_verdict, make_report, summary
        from cloud_sync.failures.settle import Settlement
        from cloud_sync.registration.model import read_target

        folder = self.run_folder(context)
        integration = self.frozen_integration(folder)
        target = read_target(folder)
        plan_only = RunOptions.of(context).mode == PLAN_ONLY
        settlement = Settlement() if plan_only else self._settle(context, folder, integration, target)
        write_failures(folder, settlement.failures)
        report = make_report(folder, self._facts(context, folder, target), settlement)
        self.log.info("%s", summary(report))
        if plan_only:
            raise AirflowSkipException("Plan only: the dataset is as it was.")
        counts = {name: report[name] for name in ("registered", "already_registered", "failed", "waiting")}
        for asset in self.outlets:
            context["outlet_events"][asset].extra = {"verdict": report["verdict"], **counts}
        check_verdict(report)
        return {"verdict": report["verdict"], **counts}

    def _settle(
        self, context: Context, folder: RunFolder, integration: Integration, target: Target
    ) -> Settlement:
        from cloud_sync.failures.settle import SettleContext, settle

        urls = self.frozen_urls(folder)
        return settle(
            folder,
            context=SettleContext(
                run_id=context["dag_run"].run_id,
                integration=integration.name,
                dataset=target.dataset_title,
                url_base=urls.base,
                parse_url=urls.parse,
            ),
            ledger=self.ledger(integration, target),
            open_reader=lambda: open_store(integration),
            encord_folder=TargetFolder(integration, target),
        )

    def _facts(self, context: Context, folder: RunFolder, target: Target) -> Any:
        from cloud_sync.failures.report import RunFacts
        from cloud_sync.planning.model import read_plan_rows

        dag_run = context["dag_run"]
        plan = read_plan_rows(folder)
        return RunFacts(
            integration=self.integration["name"],
            dag_id=dag_run.dag_id,
            run_id=dag_run.run_id,
            mode=RunOptions.of(context).mode,
            dataset={"uuid": target.dataset_uuid, "title": target.dataset_title},
            listed={
                "objects": sum(row.objects for row in plan),
                "total_bytes": sum(row.total_bytes for row in plan),
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
