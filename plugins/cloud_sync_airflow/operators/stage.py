"""What the operators of all stages share: the integration, and the run folder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from cloud_sync_airflow.settings import manifests_folder, state_folder, tables_folder

if TYPE_CHECKING:
    from airflow.sdk import Context

    from cloud_sync.integration import Integration
    from cloud_sync.ledger import Ledger
    from cloud_sync.objects.stores import ObjectStore
    from cloud_sync.objects.urls import ObjectUrls
    from cloud_sync.registration.model import Target
    from cloud_sync.run_folder import RunFolder

__all__ = ["StageOperator", "manifests_folder", "open_store", "state_folder", "tables_folder"]

# Beside the folders of integrations, whose names never begin so.
UPLOADS_FOLDER = "_uploads"

FROZEN_NAME = "integration.json"
URLS_NAME = "urls.json"


def open_store(integration: Integration) -> ObjectStore:
    """Open the integration's storage, to read some of its objects."""
    from cloud_sync_airflow.hooks.object_store import ObjectStoreHook

    return ObjectStoreHook(integration.storage).get_conn()


class StageOperator(BaseOperator):
    """Base of the stage operators. An operator adapts: the work is done by the core.

    Args:
        integration: The integration, as `Integration.model_dump(mode="json")`; None in a DAG where it is
            chosen for each run.
    """

    def __init__(self, *, integration: Mapping[str, Any] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.integration = integration

    def run_folder(self, context: Context) -> RunFolder:
        """Return the folder of this DAG run, the same for all its tasks."""
        from cloud_sync.run_folder import RunFolder, safe_name

        of_dag = self.integration["name"] if self.integration is not None else UPLOADS_FOLDER
        return RunFolder(state_folder() / "runs" / of_dag / safe_name(context["dag_run"].run_id))

    def freeze_integration(self, folder: RunFolder, integration: Integration) -> None:
        """Keep the integration as it is now for the whole run; only the first stage calls this."""
        folder.write_json(FROZEN_NAME, integration.model_dump(mode="json"))

    def frozen_integration(self, folder: RunFolder) -> Integration:
        """Return the integration as it was when the run began, whatever its file says by now."""
        from cloud_sync.integration import Integration

        return Integration.model_validate(folder.read_json(FROZEN_NAME))

    def ledger(self, integration: Integration, target: Target) -> Ledger:
        """Return the ledger of this integration and dataset."""
        from cloud_sync.ledger import Ledger

        return Ledger(state_folder() / "ledgers" / integration.name / target.dataset_uuid)

    def freeze_urls(self, folder: RunFolder, urls: ObjectUrls) -> None:
        """Keep how object URLs are built, which the connection has a say in, for the whole run."""
        from dataclasses import asdict

        folder.write_json(URLS_NAME, {name: value for name, value in asdict(urls).items() if name != "base"})

    def frozen_urls(self, folder: RunFolder) -> ObjectUrls:
        """Return the builder of object URLs. Needs no connection, whose hook takes seconds to import."""
        from cloud_sync.objects.urls import ObjectUrls, UrlStyle

        values = folder.read_json(URLS_NAME)
        return ObjectUrls(**{**values, "style": UrlStyle(values["style"])})
