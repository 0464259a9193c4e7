"""Whether a plan needs a person's approval, how it is shown to them, and what they decided."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from cloud_sync.markdown import code, table
from cloud_sync.numbers import counted
from cloud_sync.planning.model import REASONS, SENT_ACTIONS, UNLINK_ACTION, PlanRow

if TYPE_CHECKING:
    from cloud_sync.integration import Approval

NEW: Final = frozenset({"new", "full_pass", "changed_since_failure"})
"""Reasons of what would be registered and was not tried before in this form."""
CHANGED: Final = frozenset({"changed", "grown"})
"""Reasons of what is registered already and is not the same any more."""
REMOVED: Final = frozenset({"file_missing", "removed"})
"""Reasons of what is registered already and is gone."""
MOVED: Final = "moved"
"""The reason of what is registered under another key; where the integration registers that, it is new."""
LONGEST_EXAMPLE: Final = 200


def excesses(plan: Sequence[PlanRow], registered: int, limits: Approval) -> list[str]:
    """Return each limit that a plan is above, as a sentence; none if it needs no approval.

    A plan that empties the dataset because nothing was listed always needs it, however high the limits are:
    the bucket may be empty by mistake, or shown empty to these credentials.

    Args:
        plan: Its summary.
        registered: How many objects were registered before it.
        limits: Those of the integration.
    """
    kinds = (
        ("new", NEW, limits.new_count, limits.new_share),
        ("changed", CHANGED, limits.changed_count, limits.changed_share),
        ("removed", REMOVED, limits.removed_count, limits.removed_share),
    )
    return [
        *_of_nothing_listed(plan),
        *(
            sentence
            for name, reasons, count, share in kinds
            for sentence in _of_kind(
                name, [row for row in plan if _is_of(row, reasons)], registered, count, share
            )
        ),
    ]


def _of_nothing_listed(plan: Sequence[PlanRow]) -> Iterator[str]:
    leaving = sum(row.number for row in plan if row.action == UNLINK_ACTION)
    if leaving and not any(row.is_listed for row in plan):
        items = counted(leaving, "item")
        yield f"nothing was listed, and {items} would leave the dataset: for that a person is always asked"


def _is_of(row: PlanRow, reasons: frozenset[str]) -> bool:
    if row.reason == MOVED:
        return reasons is NEW and row.action in SENT_ACTIONS
    return row.reason in reasons


def _of_kind(
    name: str, rows: Sequence[PlanRow], registered: int, count: int | None, share: float | None
) -> Iterator[str]:
    number = sum(row.number for row in rows)
    if count is not None and number > count:
        yield f"{name} items: {number:,}, and approval.{name}_count is {count:,}"
    objects = sum(row.objects for row in rows)
    # Of nothing everything would be too much.
    if share is not None and registered and objects > share * registered:
        yield (
            f"{name} objects: {objects / registered:.1%} of the {registered:,} registered, "
            f"and approval.{name}_share is {share * 100:g}%"
        )


def shown(plan: Sequence[PlanRow], above: Sequence[str]) -> str:
    """Return a plan as Markdown, for the person who decides.

    Args:
        plan: Its summary.
        above: What `excesses` returned.
    """
    rows = [
        [
            row.action,
            f"{row.number:,} {row.unit}",
            row.item_type or "other",
            REASONS[row.reason],
            ", ".join(code(_cut(key)) for key in row.examples),
        ]
        for row in plan
    ]
    return "\n".join(
        [
            "This plan is above limits of the integration:",
            "",
            *(f"- {sentence}" for sentence in above),
            "",
            table(("action", "how many", "type", "why", "such as"), rows),
            "",
            "**Approve** carries it out. **Reject** ends the run, and nothing changes.",
        ]
    )


def _cut(key: str) -> str:
    return key if len(key) <= LONGEST_EXAMPLE else f"{key[: LONGEST_EXAMPLE - 1]}…"
