"""Whether a plan needs a person's approval, how it is shown to them, and what they decided."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from cloud_sync.markdown import code, table
from cloud_sync.numbers import agreeing, counted
from cloud_sync.planning.model import (
    CHANGED_REASON,
    FILE_MISSING,
    REASONS,
    REMOVED_REASON,
    SENT_ACTIONS,
    UNLINK_ACTION,
    PlanRow,
)

if TYPE_CHECKING:
    from cloud_sync.integration import Approval

NEW: Final = frozenset({"new", "full_pass", "changed_since_failure"})
"""Reasons of what would be registered and was not tried before in this form."""
CHANGED: Final = frozenset({CHANGED_REASON, "grown"})
"""Reasons of what is registered already and is not the same any more."""
REMOVED: Final = frozenset({FILE_MISSING, REMOVED_REASON})
"""Reasons of what is registered already and is gone."""
MOVED: Final = "moved"
"""The reason of what is registered under another key; where the integration registers that, it is new."""
LONGEST_EXAMPLE: Final = 200


def excesses(
    plan: Sequence[PlanRow], registered: int, limits: Approval, *, registered_here: int | None = None
) -> list[str]:
    """Return each limit that a plan is above, as a sentence; none if it needs no approval.

    A plan that empties the dataset because nothing was listed always needs it, however high the limits are:
    the bucket may be empty by mistake, or shown empty to these credentials.

    Args:
        plan: Its summary.
        registered: How many objects were registered before it.
        limits: Those of the integration.
        registered_here: How many of them are below the prefix that was listed; all of them if left out. Only
            they can be seen to have changed or gone.
    """
    here = registered if registered_here is None else registered_here
    kinds = (
        ("new", NEW, registered, limits.new_count, limits.new_share),
        ("changed", CHANGED, here, limits.changed_count, limits.changed_share),
        ("removed", REMOVED, here, limits.removed_count, limits.removed_share),
    )
    return [
        *_of_nothing_listed(plan),
        *(
            sentence
            for name, reasons, of, count, share in kinds
            for sentence in _of_kind(name, [row for row in plan if _is_of(row, reasons)], of, count, share)
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
    # Of a group of which files are gone, the plan has those that are left.
    objects = sum(row.missing if row.reason == FILE_MISSING else row.objects for row in rows)
    # Of nothing everything would be too much.
    if share is not None and registered and objects > share * registered:
        yield (
            f"{name} objects: {objects / registered:.1%} of the {registered:,} registered, "
            f"and approval.{name}_share is {share * 100:g}%"
        )


@dataclass(frozen=True, slots=True)
class Question:
    """What a person has to know besides the plan.

    Attributes:
        dataset: Title of the dataset that the plan would change.
        bucket: The bucket, or container, that was listed.
        prefix: Under which prefix; empty for all of it.
        plan_path: Path or URL of the plan, with a row for each object.
        summary_path: Path or URL of its summary.
        expires_at: When the run fails without an answer; None if it waits for ever.
    """

    dataset: str
    bucket: str
    prefix: str
    plan_path: str
    summary_path: str
    expires_at: datetime | None

    @property
    def until(self) -> str:
        """When it expires, for people: `2026-11-22 15:00 UTC`; empty if it does not."""
        return f"{self.expires_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if self.expires_at else ""


def shown(plan: Sequence[PlanRow], above: Sequence[str], question: Question) -> str:
    """Return a plan as Markdown, for the person who decides.

    Args:
        plan: Its summary.
        above: What `excesses` returned.
        question: What it is about, and until when.
    """
    until = question.until
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
            f"For the dataset {code(question.dataset)}, from {code(f'{question.bucket}/{question.prefix}')}. "
            "This plan is above limits of the integration:",
            "",
            *(f"- {sentence}" for sentence in above),
            "",
            table(("action", "how many", "type", "why", "such as"), rows),
            "",
            f"Every object is in {code(question.plan_path)}, this table in {code(question.summary_path)}.",
            "",
            *_losses(plan),
            "**Approve** carries it out. **Reject** ends the run, and nothing changes.",
            *([f"Without an answer by **{until}** the run fails, and nothing changes."] if until else []),
        ]
    )


def _losses(plan: Sequence[PlanRow]) -> Iterator[str]:
    """Yield what a person has to know before labels are lost."""
    replaced = sum(row.number for row in plan if row.replaces)
    leaving = replaced + sum(row.number for row in plan if row.action == UNLINK_ACTION)
    if not leaving:
        return
    them = agreeing(leaving, "it", "them")
    leave = f"{counted(leaving, 'item')} {agreeing(leaving, 'leaves', 'leave')} the dataset"
    again = f"; {counted(replaced, 'item')} of these {agreeing(replaced, 'is', 'are')} registered anew"
    yield (
        f"**Labels are lost:** {leave}, and with {them} the labels that projects have of "
        f"{them}{again if replaced else ''}."
    )
    yield ""


def _cut(key: str) -> str:
    return key if len(key) <= LONGEST_EXAMPLE else f"{key[: LONGEST_EXAMPLE - 1]}…"
