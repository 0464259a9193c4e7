"""What a person chooses when retrying failures: the form of `retry_failures`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from airflow.sdk import Param

from cloud_sync.errors import FormError
from cloud_sync.failures.model import FailureClass
from cloud_sync_airflow.upload_params import integration_param

DEFAULT_CLASSES = (FailureClass.TRANSIENT, FailureClass.FORBIDDEN)


@dataclass(frozen=True, slots=True)
class RetryOptions:
    """The choices of one run of `retry_failures`.

    Attributes:
        integration: Name of the integration.
        run_id: The run whose failure CSV is read; None if it is given by path.
        path: Path of the failure list in the folder of manifests; None if it is that of a run.
        classes: The failure classes to send again.
        release_quarantine: Send also what is quarantined.
    """

    integration: str
    run_id: str | None
    path: str | None
    classes: frozenset[str]
    release_quarantine: bool

    @classmethod
    def of(cls, context: Mapping[str, Any]) -> Self:
        """Read the choices from a task's context.

        Raises:
            FormError: Neither a run nor a file is given, or both, or no class.
        """
        params = context["params"]
        run_id, path = (params["run_id"] or "").strip(), (params["failures_path"] or "").strip()
        if bool(run_id) == bool(path):
            raise FormError(
                "both a run and a file are given." if run_id else "neither a run nor a file is given.",
                where="the form's fields Run and Failure list",
                remedy="Fill in one of them.",
            )
        if not params["failure_classes"]:
            raise FormError(
                "no failure class is chosen.",
                where="the form's field Failure classes",
                remedy="Choose at least one.",
            )
        return cls(
            integration=params["integration"] or "",
            run_id=run_id or None,
            path=path or None,
            classes=frozenset(params["failure_classes"]),
            release_quarantine=params["release_quarantine"],
        )


def retry_params(
    integrations: Mapping[str, Mapping[str, Any]], folder: str, broken: Iterable[str] = ()
) -> dict[str, Param]:
    """Return the form of `retry_failures`, in the order in which it is shown.

    Args:
        integrations: Those to choose from, by name.
        folder: The folder of manifests, where failure lists lie, too.
        broken: Names of those whose files are wrong.
    """
    return {
        "integration": integration_param(integrations, broken),
        "run_id": Param(
            None,
            type=["null", "string"],
            title="Run",
            description="Id of the run whose failures.csv is read, such as "
            "scheduled__2026-11-22T02:00:00+00:00: a sync, an upload or an earlier retry. It has to be "
            "a run of the chosen integration. Fill in this field or the next one.",
        ),
        "failures_path": Param(
            None,
            type=["null", "string"],
            title="Failure list",
            description=f"Or the path of a file in the folder {folder} of Airflow's workers, relative to "
            "it: a failure CSV, or any CSV with a column of object URLs, or one URL a line.",
        ),
        "failure_classes": Param(
            list(DEFAULT_CLASSES),
            type="array",
            items={"type": "string", "enum": list(FailureClass)},
            examples=list(FailureClass),
            title="Failure classes",
            description="What is sent again. Rows that name no class always are. What is quarantined needs "
            f"Release quarantine, too: as a rule all classes but {' and '.join(DEFAULT_CLASSES)}.",
        ),
        "release_quarantine": Param(
            False,
            type="boolean",
            title="Release quarantine",
            description="Send also what is quarantined. Without this such files are left out and counted.",
        ),
        "dry_run": Param(
            False,
            type="boolean",
            title="Dry run",
            description="Say what would be sent and what would be left out, and send nothing.",
        ),
    }
