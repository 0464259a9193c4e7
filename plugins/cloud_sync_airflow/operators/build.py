"""The build stage as a task."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from cloud_sync.numbers import counted
from cloud_sync_airflow.operators.stage import PlannedOperator
from cloud_sync_airflow.params import sends_nothing

if TYPE_CHECKING:
    from airflow.sdk import Context

    from cloud_sync.integration import Integration
    from cloud_sync.run_folder import RunFolder


class BuildOperator(PlannedOperator):
    """Writes the manifests of the run."""

    def execute(self, context: Context) -> list[int]:
        """Return the numbers of the shards, over which the register stage is mapped."""
        from cloud_sync.manifest.build import build_manifests
        from cloud_sync.manifest.model import read_rounds
        from cloud_sync.planning.model import CARRIED_OUT, REGISTER_NAME, planned_file
        from cloud_sync.registration.jobs import set_aside

        if sends_nothing(context):
            raise AirflowSkipException("Plan only: nothing is built or sent.")
        folder = self.run_folder(context)
        integration = self.frozen_integration(folder)
        plan = self.verified_plan(folder)
        self.check_approved(folder, plan)
        files = {name: planned_file(folder, name) for name in CARRIED_OUT}
        self.check_unlinked(folder)
        if plan.counts["to_register"]:
            make_target_folder(folder, integration)
        ref, index = build_manifests(
            folder,
            register_path=files[REGISTER_NAME] or folder.local(REGISTER_NAME),
            items_per_manifest=integration.upload.items_per_manifest,
            jobs_in_flight=integration.upload.jobs_in_flight,
            skip_duplicate_urls=integration.upload.skip_duplicate_urls,
            **self.contents(folder),
        )
        built = [index, *read_rounds(folder)]
        if aside := set_aside(folder, chain.from_iterable(one.manifests for one in built), new_plan=True):
            self.log.info(
                "Set aside %s of manifests that an earlier try of this run had", counted(aside, "record")
            )
        context["ti"].xcom_push(key="manifests", value=ref.to_json())
        manifests = counted(len(index.manifests), "manifest")
        self.log.info("Built %s of %s", manifests, counted(index.items, "item"))
        return list(range(index.shards))

    def contents(self, folder: RunFolder) -> dict[str, Any]:
        """Return what is said of the contents of the manifests, as arguments of `build_manifests`."""
        return {"build_urls": self.frozen_urls(folder).build_many}


def make_target_folder(folder: RunFolder, integration: Integration) -> None:
    """Make the storage folder to upload to, before several register tasks need it at once."""
    from cloud_sync.registration.model import read_target, write_target
    from cloud_sync.registration.target import ensure_target_folder, folder_name
    from cloud_sync_airflow.hooks.encord import EncordHook

    target = read_target(folder)
    if target.folder_uuid is not None:
        return
    client = EncordHook(integration.target.connection_id).get_conn()
    name = integration.target.folder or folder_name(integration.name)
    write_target(folder, ensure_target_folder(client, target, name))
