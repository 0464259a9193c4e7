"""The build stage of an upload."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cloud_sync_airflow.operators.build import BuildOperator

if TYPE_CHECKING:
    from cloud_sync.run_folder import RunFolder


class BuildGivenOperator(BuildOperator):
    """Writes the manifests into which a given one is split; its keys are URLs already."""

    def contents(self, folder: RunFolder) -> dict[str, Any]:
        """Return what is said of the contents of the manifests, as arguments of `build_manifests`."""
        from cloud_sync.manifest.given import read_given

        return {"build_urls": list, "upsert_metadata": read_given(folder).upsert_metadata}
