"""What the operators of all stages share: the integration, and the run folder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from cloud_sync_airflow.params import check_names
from cloud_sync_airflow.settings import state_folder

if TYPE_CHECKING:
    from airflow.sdk import Context

    from cloud_sync.integration import Integration
    from cloud_sync.ledger import Ledger
    from cloud_sync.objects.model import ObjectStore
    from cloud_sync.objects.urls import ObjectUrls
    from cloud_sync.registration.model import Target
    from cloud_sync.run_folder import FileRef, RunFolder

# Beside the folders of integrations, whose names never begin so.
UPLOADS_FOLDER = "_uploads"
RETRIES_FOLDER = "_retries"

ASKING_TASK = "approve"
"""The task that asks a person about a plan."""

UNLINKING_TASK = "unlink"
"""The task that takes items out of the dataset."""

FROZEN_NAME = "integration.json"
URLS_NAME = "urls.json"


def open_store(integration: Integration) -> ObjectStore:
    """Open the integration's storage, to read some of its objects."""
    from cloud_sync_airflow.hooks.object_store import ObjectStoreHook

    return ObjectStoreHook(integration.storage).get_conn()


def has_begun(folder: RunFolder) -> bool:
    """Tell whether anything of the plan that there is now has been carried out."""
    from cloud_sync.manifest.model import read_index
    from cloud_sync.planning.model import UNLINK_NAME
    from cloud_sync.registration import jobs
    from cloud_sync.registration.model import read_unlinked

    if read_unlinked(folder, UNLINK_NAME) is not None:
        return True
    index = read_index(folder)
    return index.is_of(folder) and jobs.has_begun(folder, index.manifests)


class StageOperator(BaseOperator):
    """Base of the stage operators. An operator adapts: the work is done by the core.

    Args:
        integration: The integration, as `Integration.model_dump(mode="json")`; None in a DAG where it is
            chosen for each run.
        runs: Where the run folders of such a DAG are.
    """

    def __init__(
        self, *, integration: Mapping[str, Any] | None = None, runs: str = UPLOADS_FOLDER, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.integration = integration
        self.runs = runs

    def run_folder(self, context: Context) -> RunFolder:
        """Return the folder of this DAG run, the same for all its tasks."""
        from cloud_sync.run_folder import safe_name

        of_dag = self.integration["name"] if self.integration is not None else self.runs
        return state_folder().below(f"runs/{of_dag}/{safe_name(context['dag_run'].run_id)}")

    def freeze_integration(self, folder: RunFolder, integration: Integration) -> None:
        """Keep the integration as it is now for the whole run; only the first stage calls this.

        Raises:
            ConfigError: The state folder is in a bucket in which two workers could overwrite each other.
        """
        folder.check()
        folder.write_json(FROZEN_NAME, integration.model_dump(mode="json"))

    def frozen_integration(self, folder: RunFolder) -> Integration:
        """Return the integration as it was when the run began, whatever its file says by now."""
        from cloud_sync.integration import Integration

        return Integration.model_validate(folder.read_json(FROZEN_NAME))

    def integration_of_run(self, context: Context) -> Integration | None:
        """Return the integration that a run is for; None if the run broke off before it was known."""
        from cloud_sync.integration import Integration

        if self.integration is not None:
            return Integration.model_validate(self.integration)
        folder = self.run_folder(context)
        return self.frozen_integration(folder) if folder.exists(FROZEN_NAME) else None

    def ledger(self, integration: Integration, target: Target) -> Ledger:
        """Return the ledger of this integration and dataset."""
        from cloud_sync.ledger import Ledger

        return Ledger(state_folder().below(f"ledgers/{integration.name}/{target.dataset_uuid}").files)

    def freeze_urls(self, folder: RunFolder, urls: ObjectUrls) -> None:
        """Keep how object URLs are built, which the connection has a say in, for the whole run."""
        from dataclasses import asdict

        folder.write_json(URLS_NAME, {name: value for name, value in asdict(urls).items() if name != "base"})

    def frozen_urls(self, folder: RunFolder) -> ObjectUrls:
        """Return the builder of object URLs. Needs no connection, whose hook takes seconds to import."""
        from cloud_sync.objects.urls import ObjectUrls, UrlStyle

        values = folder.read_json(URLS_NAME)
        return ObjectUrls(**{**values, "style": UrlStyle(values["style"])})


class PlannedOperator(StageOperator):
    """Base of the stages that go by a plan.

    Args:
        plan: Reference to the plan's summary, from the plan stage.
    """

    template_fields = ("plan",)

    def __init__(self, *, plan: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.plan = plan

    def verified_plan(self, folder: RunFolder) -> FileRef:
        """Return the reference to the plan, whose summary is as it was written."""
        from cloud_sync.run_folder import FileRef

        plan = FileRef.from_json(self.plan)
        folder.verified(plan)
        return plan

    def above(self, folder: RunFolder, plan: FileRef) -> list[str]:
        """Return the limits of the integration that the plan is above, each as a sentence."""
        from cloud_sync.planning.approval import excesses
        from cloud_sync.planning.model import read_plan_rows

        limits = self.frozen_integration(folder).approval
        if limits is None:
            return []
        # Without the numbers the plan is what a person gave in a form, which is above no limit.
        registered, here = plan.counts.get("registered", 0), plan.counts.get("registered_here")
        return excesses(read_plan_rows(folder), registered, limits, registered_here=here)

    def check_approved(self, folder: RunFolder, plan: FileRef) -> None:
        """Refuse a plan that needs a person's approval and has none, whatever Airflow says of the task.

        Raises:
            ConfigError: This very plan was not approved.
        """
        from cloud_sync.errors import ConfigError
        from cloud_sync.planning.model import Decision, read_answer

        answer = read_answer(folder)
        if answer is not None and answer.decision is Decision.APPROVED:
            return
        if answer is not None:
            why = f"the plan was {answer.told}"
        elif above := self.above(folder, plan):
            why = f"the plan is above limits, and nobody has approved it as it is now ({'; '.join(above)})"
        else:
            return
        raise ConfigError(
            f"{why}, so it is not carried out.",
            where=f"task {ASKING_TASK}",
            remedy=f"Clear {ASKING_TASK}: it asks again.",
        )

    def check_unlinked(self, folder: RunFolder) -> None:
        """Refuse to register again what has not left the dataset yet, whatever Airflow says of the task.

        Raises:
            ConfigError: Encord would skip it as a duplicate, and its change would be forgotten.
        """
        from cloud_sync.errors import ConfigError
        from cloud_sync.planning.model import UNLINK_NAME, read_plan_rows
        from cloud_sync.registration.model import read_unlinked

        if any(row.replaces for row in read_plan_rows(folder)) and not read_unlinked(folder, UNLINK_NAME):
            raise ConfigError(
                "what has changed cannot be registered again: its old items have not left the dataset.",
                where=f"task {UNLINKING_TASK}",
                remedy=f"Remove what made {UNLINKING_TASK} fail, then clear it; or trigger a new run.",
            )


class FormOperator(StageOperator):
    """Base of the first stage of a DAG in whose form the integration is chosen.

    What is wrong with what a person gave, be it a field or the file that a field names, is a `FormError`.

    Args:
        integrations: Those to choose from, by name, as `Integration.model_dump(mode="json")`.
        broken: What is wrong with the file of each of the others, by name.
    """

    def __init__(
        self,
        *,
        integrations: Mapping[str, Mapping[str, Any]],
        broken: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.integrations = integrations
        self.broken = broken or {}

    def execute(self, context: Context) -> dict[str, Any]:
        """Return a reference to the summary of what is to be registered.

        Raises:
            FormError: Something that the person gave is wrong; says what.
            ManifestError: What the person gave cannot be read just now.
        """
        from cloud_sync.errors import FormError, ManifestError

        check_names(context)
        try:
            return self.take(context)
        except ManifestError as error:  # this stage reads no manifest but the given one
            if error.transient:
                raise
            raise FormError(error.message, where=error.where, remedy=error.remedy) from error

    def take(self, context: Context) -> dict[str, Any]:
        """Read what the person gave, and return a reference to the summary of what is to be registered."""
        raise NotImplementedError

    def chosen_integration(self, name: str) -> Integration:
        """Return the integration that a person chose in the form.

        Raises:
            FormError: There is none of this name, or its file is wrong.
        """
        from cloud_sync.errors import FormError
        from cloud_sync.integration import Integration

        if name in self.integrations:
            return Integration.model_validate(self.integrations[name])
        where = "the form's field Integration"
        if name in self.broken:
            raise FormError(
                f"the file of the integration {name!r} is wrong: {self.broken[name]}",
                where=where,
                remedy="Nothing was sent. Correct the file, then trigger a new run.",
            )
        known = ", ".join(sorted(self.integrations))
        raise FormError(
            f"there is no integration {name!r}." if name else "no integration is chosen.",
            where=where,
            remedy=f"Choose one of {known}." if known else "Write an integration file first.",
        )

    def integration_of_run(self, context: Context) -> Integration | None:
        """Return the integration that was chosen in the form, if there is such a one."""
        name = context["params"]["integration"]
        return self.chosen_integration(name) if name in self.integrations else None
