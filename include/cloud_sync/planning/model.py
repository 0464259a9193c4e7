"""The nouns of planning: the summary of a plan, and the reasons in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cloud_sync.run_folder import RunFolder

PLAN_NAME = "plan.parquet"
REGISTER_NAME = "register.parquet"
SUMMARY_NAME = "plan.json"

# The mode of a run that ends with the plan.
PLAN_ONLY = "plan"

SENT_ACTIONS = frozenset({"register", "retry"})

# What a person reads for each reason in the plan.
REASONS: Mapping[str, str] = {
    "new": "new since the last run",
    "failed_before": "failed before for a passing reason",
    "changed_since_failure": "failed before, and the object has changed since",
    "full_pass": "a full pass was asked for",
    "registered": "registered already",
    "not_included": "matches no pattern of select.include",
    "excluded": "matches a pattern of select.exclude",
    "unknown_type": "its extension stands under no type",
    "too_large": "larger than select.maximum_size",
    "quarantined": "failed before for a lasting reason, and has not changed since",
    "too_young": "younger than select.minimum_age",
    "changed": "registered already, but the object has changed since",
}


@dataclass(frozen=True, slots=True)
class PlanRow:
    """One line of the plan's summary.

    Attributes:
        action: `register`, `retry`, `hold`, `skip` or `report`.
        item_type: `video` or `image`; None if the extension is unknown.
        reason: A key of `REASONS`.
        objects: How many objects.
        total_bytes: Their size together.
        examples: A few of their keys.
    """

    action: str
    item_type: str | None
    reason: str
    objects: int
    total_bytes: int
    examples: tuple[str, ...]


def read_plan_rows(folder: RunFolder) -> tuple[PlanRow, ...]:
    """Read the summary that `make_plan` wrote."""
    rows: list[dict[str, Any]] = folder.read_json(SUMMARY_NAME)
    return tuple(PlanRow(**{**row, "examples": tuple(row["examples"])}) for row in rows)
