"""What a person may choose when triggering a run by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from airflow.sdk import Param

from cloud_sync.errors import FormError
from cloud_sync.nearest import all_of, did_you_mean
from cloud_sync.planning.model import PLAN_ONLY

SYNC = "sync"


@dataclass(frozen=True, slots=True)
class RunOptions:
    """The choices of one run; a scheduled run has the defaults."""

    mode: str = SYNC
    prefix: str | None = None
    full_pass: bool = False

    @classmethod
    def of(cls, context: Mapping[str, Any]) -> Self:
        """Read the choices from a task's context."""
        params = context["params"]
        return cls(mode=params["mode"], prefix=params["prefix"] or None, full_pass=params["full_pass"])


def check_names(context: Mapping[str, Any]) -> None:
    """Refuse what no field of the form is called: Airflow takes any name, and a run would go on without it.

    Raises:
        FormError: A name that was given with the run is none of a field.
    """
    fields = list(context["dag"].params)
    for name in context["dag_run"].conf or {}:
        if name not in fields:
            meant = did_you_mean(name, fields) or f"Its fields are {all_of(fields)}."
            raise FormError(
                f"the form has no field {name!r}.",
                where="what was given with the run",
                remedy=f"Nothing was done. {meant} Trigger a new run.",
            )


def sends_nothing(context: Mapping[str, Any]) -> bool:
    """Tell whether a run only says what it would do: a sync that only plans, or the dry run of an upload."""
    params = context["params"]
    return params.get("mode") == PLAN_ONLY or bool(params.get("dry_run"))


def sync_params(prefix: str) -> dict[str, Param]:
    """Return the form of `sync__<name>`.

    Args:
        prefix: The integration's own prefix, which a narrower one must begin with.
    """
    return {
        "mode": Param(
            SYNC,
            type="string",
            title="Mode",
            enum=[SYNC, PLAN_ONLY],
            values_display={SYNC: "Sync", PLAN_ONLY: "Plan only: show what a sync would do"},
            description="Plan only lists and plans, and sends nothing to Encord.",
        ),
        "prefix": Param(
            None,
            type=["null", "string"],
            title="Narrower prefix",
            description=f"Only keys that begin with this. It must begin with {prefix!r}."
            if prefix
            else "Only keys that begin with this.",
        ),
        "full_pass": Param(
            False,
            type="boolean",
            title="Full pass",
            description="Send also what is known to be registered or quarantined. Encord skips the single "
            "files and unchanged groups that it has. Registered groups that grew or changed are not sent.",
        ),
    }
