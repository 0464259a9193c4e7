"""The check stage as a task: the first of an upload, in the place of list and plan."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloud_sync.errors import ManifestError
from cloud_sync.numbers import counted
from cloud_sync_airflow.operators.plan import resolve
from cloud_sync_airflow.operators.settle_given import given_facts
from cloud_sync_airflow.operators.stage import FormOperator
from cloud_sync_airflow.settings import manifests_folder
from cloud_sync_airflow.upload_params import UploadOptions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context

    from cloud_sync.integration import Integration
    from cloud_sync.manifest.content import ReadManifest
    from cloud_sync.manifest.findings import Finding
    from cloud_sync.run_folder import FileRef, RunFolder

SHOWN_FINDINGS = 50
LOG_LEVELS = {"error": logging.ERROR, "warning": logging.WARNING, "note": logging.INFO}
PASTED = "the pasted text"


class CheckOperator(FormOperator):
    """Reads and lints the manifest that a person gave; sends nothing.

    Any error among the findings ends the run here. Otherwise the manifest's items are written down for the
    build stage, so that a file that is changed meanwhile changes nothing in this run.
    """

    def take(self, context: Context) -> dict[str, Any]:
        """Return a reference to the summary of what would be registered."""
        from cloud_sync.registration.model import write_target

        folder = self.run_folder(context)
        options = UploadOptions.of(context)
        integration = options.applied_to(self.chosen_integration(options.integration))
        given: dict[str, Any] = {"file": options.path or PASTED, "findings": {}}
        try:
            manifest, ref = self._read(folder, options, integration, given)
        except ManifestError as error:
            self._report(context, folder, integration, {**given, "error": str(error)})
            raise
        integration = with_skipping(integration, bool(manifest.skip_duplicate_urls))
        self.freeze_integration(folder, integration)
        write_target(folder, resolve(integration))
        self._log_size(folder, integration, manifest, ref.counts)
        return ref.to_json()

    def _read(
        self, folder: RunFolder, options: UploadOptions, integration: Integration, given: dict[str, Any]
    ) -> tuple[ReadManifest, FileRef]:
        """Read, lint, and write down what passes; `given` is told how many findings there are."""
        from cloud_sync.manifest.given import count_by_level, examine, write_findings, write_given
        from cloud_sync_airflow.hooks.object_store import ObjectStoreHook

        urls = ObjectStoreHook(integration.storage).urls()
        self.freeze_urls(folder, urls)
        manifest, findings = examine(
            _source(options),
            file=given["file"],
            format=options.format,
            lenient=options.lenient,
            skip_duplicate_urls=integration.upload.skip_duplicate_urls,
            urls=urls,
        )
        given["findings"] = count_by_level(findings)
        write_findings(folder, manifest.file, findings)
        self._log_findings(findings)
        _refuse(folder, manifest.file, findings)
        return manifest, write_given(folder, manifest, findings)

    def _log_findings(self, findings: Sequence[Finding]) -> None:
        from cloud_sync.manifest.given import by_level
        from cloud_sync.manifest.model import FINDINGS_NAME

        for level, found in by_level(findings).items():
            self.log.log(LOG_LEVELS[level] if found else logging.INFO, "%ss: %s", level, f"{len(found):,}")
            for finding in found[:SHOWN_FINDINGS]:
                self.log.log(LOG_LEVELS[level], "  %s", finding)
            if len(found) > SHOWN_FINDINGS:
                rest = f"{len(found) - SHOWN_FINDINGS:,}"
                self.log.log(LOG_LEVELS[level], "  and %s more, in %s", rest, FINDINGS_NAME)

    def _log_size(
        self, folder: RunFolder, integration: Integration, manifest: ReadManifest, counts: Mapping[str, int]
    ) -> None:
        from cloud_sync.manifest.build import count_manifests
        from cloud_sync.planning.model import REGISTER_NAME

        manifests = count_manifests(
            folder,
            register_path=folder.local(REGISTER_NAME),
            items_per_manifest=integration.upload.items_per_manifest,
        )
        self.log.info(
            "%s (%s): %s, %s; to be sent as %s",
            manifest.file,
            manifest.format,
            counted(counts["items"], "item"),
            counted(counts["objects"], "file"),
            counted(manifests, "manifest"),
        )

    def _report(
        self, context: Context, folder: RunFolder, integration: Integration, given: Mapping[str, Any]
    ) -> None:
        """Write the report of a run that ends here: no later stage will."""
        from cloud_sync.failures.report import make_report
        from cloud_sync.failures.settle import Settlement

        dataset = {"uuid": "", "title": integration.target.dataset}
        facts = given_facts(context, integration.name, dataset, given)
        make_report(folder, facts, Settlement(unbuilt=True), integration.failures)


def with_skipping(integration: Integration, skip_duplicate_urls: bool) -> Integration:
    """Return the integration as this run uses it, with what was decided about duplicates."""
    chosen = integration.upload.model_copy(update={"skip_duplicate_urls": skip_duplicate_urls})
    return integration.model_copy(update={"upload": chosen})


def _source(options: UploadOptions) -> Path | bytes:
    from cloud_sync.manifest.location import find_manifest

    if options.path is not None:
        return find_manifest(manifests_folder(), options.path)
    return (options.text or "").encode(errors="surrogatepass")


def _refuse(folder: RunFolder, file: str, findings: Sequence[Finding]) -> None:
    """End the run if there is an error, with a last line that says what to do."""
    from cloud_sync.manifest.content import refuse_errors
    from cloud_sync.manifest.model import FINDINGS_NAME

    try:
        refuse_errors(file, findings)
    except ManifestError as error:
        remedy = (
            f"Nothing was sent; all findings are above and in {folder.address(FINDINGS_NAME)}. "
            f"Correct the manifest and trigger it again. {error.remedy or ''}"
        )
        raise ManifestError(error.message, where=error.where, remedy=remedy.rstrip()) from None
