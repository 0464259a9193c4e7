"""The unlink stage as a task: items leave the dataset whose objects are gone, or are registered again."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from cloud_sync_airflow.operators.stage import PlannedOperator, open_store
from cloud_sync_airflow.params import sends_nothing

if TYPE_CHECKING:
    from airflow.sdk import Context


class UnlinkOperator(PlannedOperator):
    """Takes the items that the plan names out of the dataset. A try after a crash does what is left.

    The ledger knows of it before anything else is done: an object whose item has left is new from then on, in
    whatever run.

    Args:
        leads: Whether the next stages wait for it; then it ends as success, not as skipped, if no item is to
            leave.
    """

    def __init__(self, *, leads: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.leads = leads

    def execute(self, context: Context) -> dict[str, int]:
        """Return how many items were to leave, and how many of them were there no more.

        Raises:
            StorageError: The store does not say whether what is gone by the plan is gone still.
        """
        from cloud_sync.ledger import Left
        from cloud_sync.objects.presence import present
        from cloud_sync.planning.model import UNLINK_NAME, planned_file
        from cloud_sync.registration.model import read_target
        from cloud_sync.registration.unlink import unlink
        from cloud_sync_airflow.hooks.encord import EncordHook

        if sends_nothing(context):
            raise AirflowSkipException("Plan only: the dataset is as it was.")
        folder = self.run_folder(context)
        self.check_approved(folder, self.verified_plan(folder))
        if planned_file(folder, UNLINK_NAME) is None:
            return self._nothing_to_do()
        integration, target = self.frozen_integration(folder), read_target(folder)
        client = EncordHook(integration.target.connection_id).get_conn()
        done = unlink(
            folder,
            UNLINK_NAME,
            client,
            target,
            integration_name=integration.name,
            find_present=lambda keys: present(open_store(integration), keys),
        )
        self.log.info(
            "%s items whose objects are gone have left the dataset; %s were there no more",
            f"{done.items - done.absent:,}",
            f"{done.absent:,}",
        )
        self.log.info(
            "%s items whose objects have changed have left it; %s were there no more",
            f"{done.changed - done.changed_absent:,}",
            f"{done.changed_absent:,}",
        )
        if done.came_back:
            self.log.warning(
                "%s items stay: their objects, or some of them, have come back since the plan was made",
                f"{done.came_back:,}",
            )
        left = Left(folder.local(done.left_name(UNLINK_NAME)), datetime.fromisoformat(done.at))
        self.ledger(integration, target).mark_removed(left)
        return {"items": done.items + done.changed, "absent": done.absent + done.changed_absent}

    def _nothing_to_do(self) -> dict[str, int]:
        said = "No item has lost its objects, or is registered again."
        if not self.leads:
            raise AirflowSkipException(said)
        self.log.info(said)
        return {"items": 0, "absent": 0}
