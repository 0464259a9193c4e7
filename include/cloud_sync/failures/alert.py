"""What an alert is about: a failed run or task, new quarantined files, a plan that waits for a person.

Without secrets, and in short.

Everything that comes from outside (reasons, messages, URLs) is cleaned here, once, for all channels.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from cloud_sync.errors import CloudSyncError
from cloud_sync.failures.verdict import RunFailed, check_verdict
from cloud_sync.integration.alerts import AlertEvent
from cloud_sync.numbers import agreeing, counted
from cloud_sync.planning.model import PLAN_ONLY, Decision
from cloud_sync.safe_url import without_secrets

EXAMPLES: Final = 5
"""Files that are named for each cause."""
LONGEST_TEXT: Final = 400
"""Characters of a message, a reason or a remedy."""
LONGEST_NAME: Final = 200
"""Characters of a URL, a title or a path."""
COUNTS: Final = ("registered", "already_registered", "failed", "waiting")
"""Of items; an alert about a run with a ledger also has the files that are quarantined."""

FAILED_TASKS: Final = "tasks of the run failed"
"""The cause of a run that failed because a task did: an alert about the task has said it."""

URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S+")
# Also of a URL whose host is left out, as in "Max retries exceeded with url: /a.jpg?X-Amz-Signature=...".
QUERY: Final = re.compile(r"\?[\w.~%+-]+=\S*")
# Numbers, addresses and ids, which differ between two errors of one cause.
VARYING: Final = re.compile(r"[0-9a-f-]*[0-9][0-9a-f-]*")


@dataclass(frozen=True, slots=True)
class Cause:
    """Why files failed, and how many for this reason.

    Attributes:
        failure_class: A class of `docs/failures.md`.
        reason: What was found.
        remedy: What to do about it.
        count: Files that failed so.
        examples: URLs of a few of them, without queries.
    """

    failure_class: str
    reason: str
    remedy: str
    count: int
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """Where it happened.

    Attributes:
        run_url: The run in the Airflow UI.
    """

    integration: str
    dataset: str
    dag_id: str
    run_id: str
    run_url: str


@dataclass(frozen=True, slots=True)
class Alert:
    """What people are told.

    Attributes:
        event: What it is about.
        place: Where it happened.
        why: What went wrong, in one sentence.
        remedy: What to do, in the imperative.
        keys: One for each cause. Whoever was told of all of them in this run need not be told again.
        implied: Causes that whoever gets this alert knows of as well.
        task: The task that failed; None for a run.
        counts: Items by what became of them (`registered`, `failed`), and files in quarantine (`quarantined`
            in all, `newly_quarantined` by this run); empty for a task.
        causes: Why files failed, the most frequent first.
        failures_csv: Path of the failure CSV, if it has rows.
    """

    event: AlertEvent
    place: Place
    why: str
    remedy: str
    keys: tuple[str, ...]
    implied: tuple[str, ...] = ()
    task: str | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    causes: tuple[Cause, ...] = ()
    failures_csv: str | None = None

    @property
    def headline(self) -> str:
        """What happened, in one line."""
        dag = self.place.dag_id
        return {
            "failed_run": f"{dag} failed: {self.why}",
            "failed_task": f"{dag}, task {self.task} failed: {self.why}",
            "quarantine": f"{dag}: {self.why}",
            "approval": f"{dag} waits for approval: {self.why}",
        }[self.event]


def run_alert(report: Mapping[str, Any], run_url: str) -> Alert | None:
    """Return the alert that a run's report calls for, or None if nobody needs to be told.

    Args:
        report: The run's `report.json`.
        run_url: The run in the Airflow UI.
    """
    if report["mode"] == PLAN_ONLY:
        return None
    error = _verdict_error(report)
    # What passes by itself needs nobody, as long as the run is good. Of an upload nothing is tried again.
    causes = tuple(
        _cause(cause)
        for cause in report["failures_by_cause"]
        if error is not None or "given" in report or cause["quarantined"]
    )
    if error is None and not causes:
        return None
    keys = tuple(key_of(cause.failure_class, cause.reason, cause.remedy) for cause in causes)
    return Alert(
        event="failed_run" if error else "quarantine",
        place=Place(
            integration=report["integration"],
            dataset=clean(report["dataset"]["title"], LONGEST_NAME),
            dag_id=report["dag_id"],
            run_id=report["run_id"],
            run_url=run_url,
        ),
        why=clean(error.message) if error else _quarantined(report, causes),
        remedy=clean(str(error.remedy)) if error else "Do what is said of each cause.",
        keys=(*([_verdict_key(report, error)] if error else []), *keys),
        counts={name: report[name] for name in COUNTS} | _quarantine(report),
        causes=causes,
        failures_csv=report["files"]["failures_csv"] if report["failed_files"] else None,
    )


def task_alert(
    error: BaseException | str | None, place: Place, task: str, *, mask: Callable[[str], str] = str
) -> Alert:
    """Return the alert about a task that failed for good.

    Args:
        error: What it failed with; None if its process ended without a word.
        place: Where it happened.
        task: The task, if it is mapped with its label.
        mask: Blanks out secrets. Comes before anything is cut, since half a secret is not known as one.
    """
    why, remedy, key = _explain(error, mask)
    return Alert(
        event="failed_task",
        place=place,
        task=clean(task, LONGEST_NAME),
        why=clean(why),
        remedy=clean(remedy),
        keys=(key,),
        implied=(FAILED_TASKS,),
    )


def approval_alert(place: Place, above: Sequence[str], *, question: int, until: str = "") -> Alert:
    """Return the alert about a plan that waits for a person.

    Args:
        place: Where; its link leads to the question.
        above: The limits that the plan is above, each as a sentence.
        question: Counts the questions of the run: each is told, also one about the same plan.
        until: When the question expires; empty if it does not.
    """
    expires = f" Without an answer by {until} the run fails." if until else ""
    return Alert(
        event="approval",
        place=place,
        why=clean("; ".join(above)),
        remedy=f"Look at the plan in Airflow, then approve or reject it.{expires}",
        keys=(f"approval, question {question}",),
    )


def clean(text: str, longest: int = LONGEST_TEXT) -> str:
    """Return text fit to be sent: one line, no query or user name in a URL, not too long."""
    line = " ".join(text.encode(errors="replace").decode().split())
    line = QUERY.sub("", URL.sub(lambda found: without_secrets(found[0]), line))
    return line if len(line) <= longest else f"{line[: longest - 1]}…"


def key_of(*parts: str) -> str:
    """Return what two errors of one cause have in common, whatever numbers and ids they name."""
    return " | ".join(VARYING.sub("#", clean(part).lower()) for part in parts)


def digest_of(*parts: str) -> str:
    """Return a short name of texts that is the same wherever and whenever it is made."""
    return hashlib.sha256("\n".join(parts).encode(errors="replace")).hexdigest()[:32]


def _verdict_error(report: Mapping[str, Any]) -> RunFailed | None:
    try:
        check_verdict(report)
    except RunFailed as error:
        return error
    return None


def _verdict_key(report: Mapping[str, Any], error: RunFailed) -> str:
    """Return the cause of a verdict: failed tasks, which may have been told of, or the run's own."""
    is_unapproved = report.get("approval", {}).get("decision", Decision.APPROVED) != Decision.APPROVED
    by_tasks = report["waiting"] or not report["manifests"]
    return FAILED_TASKS if by_tasks and not is_unapproved else key_of(error.message)


def _quarantined(report: Mapping[str, Any], causes: tuple[Cause, ...]) -> str:
    if "given" in report:
        return f"{counted(sum(cause.count for cause in causes), 'file')} failed."
    files = report["newly_quarantined"]
    until = agreeing(files, "is quarantined now, until it changes", "are quarantined now, until they change")
    return f"{counted(files, 'file')} {until}."


def _quarantine(report: Mapping[str, Any]) -> dict[str, int]:
    """Return how many files are quarantined now, and how many by this run; of an upload nothing."""
    if report["quarantined_files"] is None:
        return {}
    return {"quarantined": report["quarantined_files"], "newly_quarantined": report["newly_quarantined"]}


def _cause(cause: Mapping[str, Any]) -> Cause:
    return Cause(
        failure_class=cause["failure_class"],
        reason=clean(cause["reason"]),
        remedy=clean(cause["remedy"]),
        count=cause["count"],
        examples=tuple(clean(url, LONGEST_NAME) for url in cause["examples"][:EXAMPLES]),
    )


def _explain(error: BaseException | str | None, mask: Callable[[str], str]) -> tuple[str, str, str]:
    """Return message, remedy and cause of a task's error, masked."""
    if isinstance(error, CloudSyncError):
        message, remedy = mask(error.message), mask(error.remedy or "See the log of the task, then clear it.")
        why = f"{mask(error.where)}: {message}" if error.where else message
        return why, remedy, key_of(type(error).__name__, message, remedy)
    if error is None:
        why = "its process ended without an error of its own."
        return why, "See whether its worker was lost or ran out of memory, then clear the task.", key_of(why)
    name = "" if isinstance(error, str) else type(error).__name__
    first = next((line.strip() for line in mask(str(error)).splitlines() if line.strip()), "")
    why = ": ".join(part for part in (name, first) if part) or "it gave no reason."
    return why, "See the log of the task for all of it, then clear the task.", key_of(why)
