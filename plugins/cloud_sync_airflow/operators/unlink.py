"""The unlink stage as a task: items whose objects are gone leave the dataset, if the integration says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk.exceptions import AirflowSkipException

from cloud_sync_airflow.operators.stage import PlannedOperator
from cloud_sync_airflow.params import sends_nothing

if TYPE_CHECKING:
    from airflow.sdk import Context


class UnlinkOperator(PlannedOperator):
    """Takes the items that the plan names out of the dataset. A try after a crash does what is left."""

    def execute(self, context: Context) -> dict[str, int]:
        """Return how many items were to leave, and how many of them were there no more."""
        from cloud_sync.planning.model import UNLINK_NAME
        from cloud_sync.registration.model import read_target
        from cloud_sync.registration.unlink import unlink
        from cloud_sync_airflow.hooks.encord import EncordHook

        if sends_nothing(context):
            raise AirflowSkipException("Plan only: the dataset is as it was.")
        folder = self.run_folder(context)
        self.check_approved(folder)
        self.verified_plan(folder)
        if not folder.exists(UNLINK_NAME):
            raise AirflowSkipException("No item has lost its objects.")
        integration = self.frozen_integration(folder)
        client = EncordHook(integration.target.connection_id).get_conn()
        done = unlink(folder, UNLINK_NAME, client, read_target(folder), integration_name=integration.name)
        self.log.info(
            "%s items have left the dataset; %s were there no more",
            f"{done.items - done.absent:,}",
            f"{done.absent:,}",
        )
        return {"items": done.items, "absent": done.absent}
