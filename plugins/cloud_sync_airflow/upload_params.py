"""What a person chooses when uploading a manifest: the form of `upload_manifest`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, cast

from airflow.sdk import Param

from cloud_sync.errors import FormError

if TYPE_CHECKING:
    from cloud_sync.integration import Integration
    from cloud_sync.manifest.content import ManifestFormat

AUTO = "auto"
AS_INTEGRATION, YES, NO = "integration", "yes", "no"
LONGEST_TEXT = 1_000_000
"""Characters. Airflow keeps the form's values in its database and hands them to every task."""


@dataclass(frozen=True, slots=True)
class UploadOptions:
    """The choices of one run of `upload_manifest`.

    Attributes:
        integration: Name of the integration.
        path: Path of the manifest in the folder of manifests; None if it is given as text.
        text: The manifest itself; None if it is given by path.
        format: What it is; None tells by its content.
        ignore_errors: None as the integration says.
        skip_duplicates: True if they are skipped whatever integration and manifest say.
        lenient: Read JSON with commas before closing brackets.
    """

    integration: str
    path: str | None
    text: str | None
    format: ManifestFormat | None
    ignore_errors: bool | None
    skip_duplicates: bool
    lenient: bool

    @classmethod
    def of(cls, context: Mapping[str, Any]) -> Self:
        """Read the choices from a task's context.

        Raises:
            FormError: There is no manifest, or there are two.
        """
        params = context["params"]
        path, text = (params["manifest_path"] or "").strip(), params["manifest_text"] or ""
        if bool(path) == bool(text.strip()):
            raise FormError(
                "both are filled in." if path else "neither is filled in.",
                where="the form's fields Manifest file and Manifest text",
                remedy="Fill in one of them.",
            )
        return cls(
            integration=params["integration"] or "",
            path=path or None,
            text=None if path else text,
            format=None if params["format"] == AUTO else cast("ManifestFormat", params["format"]),
            ignore_errors={YES: True, NO: False}.get(params["ignore_errors"]),
            skip_duplicates=params["skip_duplicate_urls"] == YES,
            lenient=params["lenient"],
        )

    def applied_to(self, integration: Integration) -> Integration:
        """Return the integration as this run uses it."""
        chosen = integration.upload
        if self.ignore_errors is not None:
            chosen = chosen.model_copy(update={"ignore_errors": self.ignore_errors})
        if self.skip_duplicates:
            chosen = chosen.model_copy(update={"skip_duplicate_urls": True})
        return integration.model_copy(update={"upload": chosen})


def upload_params(
    integrations: Mapping[str, Mapping[str, Any]], folder: str, broken: Iterable[str] = ()
) -> dict[str, Param]:
    """Return the form of `upload_manifest`, in the order in which it is shown.

    Args:
        integrations: Those to choose from, by name.
        folder: The folder of manifests.
        broken: Names of those whose files are wrong.
    """
    return {
        "integration": integration_param(integrations, broken),
        **_manifest_params(folder),
        **_handling_params(),
    }


def _manifest_params(folder: str) -> dict[str, Param]:
    """Return the fields that give the manifest, and what is done with it."""
    return {
        "manifest_path": Param(
            None,
            type=["null", "string"],
            title="Manifest file",
            description=f"Path of a JSON or CSV file in the folder {folder} of Airflow's workers, relative "
            "to it. Fill in this field or the next one.",
        ),
        "manifest_text": Param(
            None,
            type=["null", "string"],
            format="multiline",
            maxLength=LONGEST_TEXT,
            title="Manifest text",
            description="Or the manifest itself, up to a million characters. Airflow's database keeps it.",
        ),
        "dry_run": Param(
            False,
            type="boolean",
            title="Dry run",
            description="Check only: say what is wrong and what would be sent, and send nothing.",
        ),
    }


def _handling_params() -> dict[str, Param]:
    """Return the fields that say how the manifest is read and sent."""
    return {
        "format": Param(
            AUTO,
            type="string",
            enum=[AUTO, "json", "csv"],
            values_display={AUTO: "As its first character says", "json": "JSON", "csv": "CSV"},
            title="Format",
            description="A manifest that begins with { or [ is JSON.",
        ),
        "lenient": Param(
            False,
            type="boolean",
            title="Lenient",
            description="Take JSON with a comma before a closing bracket, which strict JSON forbids.",
        ),
        "ignore_errors": Param(
            AS_INTEGRATION,
            type="string",
            enum=[AS_INTEGRATION, YES, NO],
            values_display={
                AS_INTEGRATION: "As the integration says",
                YES: "Yes: a bad file fails alone",
                NO: "No: one bad file fails its whole manifest",
            },
            title="Ignore errors of single files",
            description="What becomes of the other files when Encord cannot take one.",
        ),
        "skip_duplicate_urls": Param(
            AS_INTEGRATION,
            type="string",
            enum=[AS_INTEGRATION, YES],
            values_display={
                AS_INTEGRATION: "As the integration or the manifest says",
                YES: "Yes: what the dataset has is skipped",
            },
            title="Skip duplicate URLs",
            description="Duplicates are skipped if the integration, the manifest or this field says so. This "
            "field cannot switch it off, because then a second try registers everything twice: only an "
            "integration with upload.skip_duplicate_urls: false allows that.",
        ),
    }


def integration_param(integrations: Mapping[str, Mapping[str, Any]], broken: Iterable[str]) -> Param:
    """Return the field in which an integration is chosen.

    Those whose files are wrong can be chosen, too: the run then says what is wrong with the file, where
    Airflow would only say that there is no such choice.
    """
    shown = {
        name: f"{name}: {one['storage']['bucket']} -> {one['target']['dataset']}"
        for name, one in integrations.items()
    } | {name: f"{name}: its file is wrong, see the import errors" for name in broken}
    if not shown:
        return Param(
            None,
            type=["null", "string"],
            title="Integration",
            description="There is none yet, so nothing can be uploaded: write an integration file first. "
            "It says to which dataset, and with which connections.",
        )
    return Param(
        type="string",
        enum=list(shown),
        values_display=shown,
        title="Integration",
        description="Says to which dataset, through which connections, and how Encord reads the objects.",
    )
