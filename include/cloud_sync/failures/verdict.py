"""The verdict of a run: by its counts and the integration's thresholds, with why and what to do.

Encord calls an upload job done even when every unit in it failed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from cloud_sync.errors import CloudSyncError
from cloud_sync.failures.choice import CLASS_NOT_CHOSEN, QUARANTINED, LeftOut
from cloud_sync.failures.settle import Settlement
from cloud_sync.numbers import agreeing, counted
from cloud_sync.planning.model import SENT_ACTIONS, Answer, Decision, PlanRow

if TYPE_CHECKING:
    from cloud_sync.integration import Failures
    from cloud_sync.registration.model import Trip


QUARANTINE_LIST: Final = "cloud-sync quarantine list"


class Verdict(StrEnum):
    """The project's word on a run."""

    OK = "ok"
    OK_WITH_QUARANTINE = "ok_with_quarantine"
    FAILED = "failed"


class RunFailed(CloudSyncError):  # noqa: N818 (a verdict, not an accident)
    """The run ended, and a person has to look at it."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict, why it is so, and what to do about it (empty if nothing)."""

    verdict: Verdict
    why: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Lists:
    """Where people see what is wrong with single files.

    Attributes:
        failures_csv: What failed in this run.
        quarantine_list: The command that shows what is quarantined.
    """

    failures_csv: str
    quarantine_list: str

    def see(self, *, has_failures: bool, has_quarantined: bool) -> str:
        """Send people to the list that has rows."""
        if not has_quarantined:
            return _look_into(self.failures_csv)
        if not has_failures:
            return f"What is quarantined, and why: {self.quarantine_list}"
        return f"See {self.failures_csv}; what is quarantined: {self.quarantine_list}"


def judge(
    plan: Sequence[PlanRow],
    settlement: Settlement,
    limits: Failures,
    *,
    failures_csv: str,
    stopped: Trip | None = None,
    runs_again: bool = True,
    missing_round: int = 0,
    asked_for: bool = False,
    left_out: LeftOut | None = None,
    still_linked: int = 0,
    quarantine_list: str = QUARANTINE_LIST,
) -> Judgement:
    """Judge a run.

    It has failed if it stopped submitting, the build never finished, a manifest never got an outcome, a retry
    round that was due did not run, items that were to leave the dataset did not, an upload job was refused or
    cancelled and left items behind, nothing of all that was sent is registered, or a threshold is reached.
    What failed in an earlier run and fails again
    is no news: it does not count for the last two.

    Args:
        plan: What was planned.
        settlement: What came of it.
        limits: The thresholds of the integration.
        failures_csv: Where each failure stands.
        stopped: Why it stopped submitting, if it did.
        runs_again: Whether a later run tries again what can pass.
        missing_round: The retry round that was due and did not run; 0 if there is none.
        asked_for: Whether a person asked for what was sent: then what failed before counts as well.
        left_out: Which files of a failure list were not sent, and why.
        still_linked: How many items were to leave the dataset and did not.
        quarantine_list: The command that shows what is quarantined.
    """
    again = 0 if asked_for else settlement.failed_before
    lists = Lists(failures_csv, quarantine_list)
    for why, remedy in (
        *_stopped(stopped, failures_csv),
        *_unanswered(plan, settlement, still_linked),
        *_without_round(missing_round),
        *_without_unlink(still_linked),
        *_bad_jobs(settlement, failures_csv, runs_again),
        *_too_many(settlement, limits, failures_csv, again),
    ):
        return Judgement(Verdict.FAILED, why, remedy)
    if asked_for:
        return _of_failure_list(plan, settlement, left_out or LeftOut(), lists, again)
    quarantined = quarantined_items(plan) if runs_again else 0
    if settlement.failures or quarantined:
        return _with_failures(settlement, quarantined, lists, again)
    known = ", and nothing that was listed is quarantined" if runs_again else ""
    return Judgement(Verdict.OK, f"nothing failed{known}.")


def _with_failures(settlement: Settlement, quarantined: int, lists: Lists, again: int) -> Judgement:
    """Judge a good run of which files failed, or that left out quarantined ones."""
    if not settlement.failures:
        are = agreeing(quarantined, "is", "are")
        why = f"nothing failed, but {counted(quarantined, 'item')} {are} quarantined since earlier runs."
    else:
        are = f", and {quarantined:,} {agreeing(quarantined, 'is', 'are')} quarantined since earlier runs"
        why = f"{_failed(settlement, again)}{are if quarantined else ''}."
    has_quarantined = bool(quarantined or settlement.newly_quarantined)
    remedy = lists.see(has_failures=bool(settlement.failures), has_quarantined=has_quarantined)
    return Judgement(Verdict.OK_WITH_QUARANTINE, why, remedy)


def _of_failure_list(
    plan: Sequence[PlanRow],
    settlement: Settlement,
    left_out: LeftOut,
    lists: Lists,
    again: int,
) -> Judgement:
    """Judge a good retry of a failure list, which knows only of the files that the list names."""
    held = left_out.quarantined.total()
    reasons = [
        f"{counted(count, 'file')} {agreeing(count, 'is', 'are')} {left_out.why(reason)}"
        for reason in (CLASS_NOT_CHOSEN, QUARANTINED)
        if (count := left_out.counts[reason])
    ]
    if settlement.failures:
        why = "; ".join([_failed(settlement, again), *reasons])
        has_quarantined = bool(held or settlement.newly_quarantined)
        see = lists.see(has_failures=True, has_quarantined=has_quarantined)
        remedy = f"{left_out.remedy} {see}".lstrip()
        return Judgement(Verdict.OK_WITH_QUARANTINE, f"{why}.", remedy)
    if others := left_out.counts.total() - left_out.counts[CLASS_NOT_CHOSEN] - left_out.counts[QUARANTINED]:
        were = f"{counted(others, 'file')} {agreeing(others, 'was', 'were')} left out"
        reasons.append(f"{were}{' for other reasons' if reasons else ''}")
    verdict = Verdict.OK_WITH_QUARANTINE if held else Verdict.OK
    remedy = f"{left_out.remedy} The log of choose says which and why.".lstrip() if reasons else ""
    if any(row.action in SENT_ACTIONS for row in plan):
        return Judgement(verdict, f"{'; '.join(['nothing that was sent failed', *reasons])}.", remedy)
    why = "; ".join(reasons) or "the failure list has no rows"
    return Judgement(verdict, f"nothing was sent: {why}.", remedy)


def of_unapproved(answer: Answer, done: str = "", came_of_it: Judgement | None = None) -> Judgement:
    """Judge a run whose plan was not approved: good if a person said so, failed if nobody answered.

    Args:
        answer: The answer.
        done: What of the plan had been done before it; empty if nothing.
        came_of_it: The judgement of that; None if nothing was sent.
    """
    so = f"after {done}" if done else "so nothing was sent"
    why = f"the plan was {answer.told}, {so}. It is above limits: {'; '.join(answer.above)}."
    if came_of_it is not None:
        why = f"{why} Of what was sent: {came_of_it.why}"
    if answer.decision is Decision.REFUSED:
        verdict, remedy = (came_of_it.verdict, came_of_it.remedy) if came_of_it else (Verdict.OK, "")
        return Judgement(verdict, why, remedy)
    return Judgement(
        Verdict.FAILED,
        why,
        "Trigger a new run and answer its task approve, or raise the limits under approval.",
    )


def with_replaced(judgement: Judgement, settlement: Settlement) -> Judgement:
    """Return a judgement that says as well what has left the dataset with nothing in its place."""
    if not (failed := settlement.failed_replaced):
        return judgement
    items = f"{counted(failed, 'item')} that {agreeing(failed, 'was', 'were')} to be registered again"
    have = agreeing(failed, "has", "have")
    return replace(judgement, why=f"{judgement.why} Of those that failed, {items} {have} left the dataset.")


def waiting_items(plan: Sequence[PlanRow], settlement: Settlement) -> int:
    """Return how many items were planned to be sent and were never answered for."""
    planned = sum(row.items for row in plan if row.action in SENT_ACTIONS)
    return planned if settlement.unbuilt else settlement.waiting_items


def quarantined_items(plan: Sequence[PlanRow]) -> int:
    """Return how many items the plan left out because they are quarantined."""
    return sum(row.items for row in plan if row.reason == "quarantined")


def check_verdict(report: Mapping[str, Any]) -> None:
    """End a failed run as failed.

    Raises:
        RunFailed: The verdict is `failed`; says why and what to do.
    """
    if report["verdict"] == Verdict.FAILED:
        raise RunFailed(report["why"], where=f"run {report['run_id']}", remedy=report["remedy"])


Reasons = Iterator[tuple[str, str]]
"""Why a run has failed, each with what to do."""


def _stopped(stopped: Trip | None, failures_csv: str) -> Reasons:
    if stopped is not None:
        yield f"{stopped}", f"See {failures_csv}; remove the cause, then trigger a new run."


def _unanswered(plan: Sequence[PlanRow], settlement: Settlement, still_linked: int) -> Reasons:
    waiting = waiting_items(plan, settlement)
    # Where the build waits for unlink and there was nothing else to do, unlink is what failed.
    if settlement.waiting or (settlement.unbuilt and (waiting or not still_linked)):
        yield (
            f"{counted(waiting, 'item')} {agreeing(waiting, 'was', 'were')} never answered for.",
            "Look at the failed tasks of this run, then clear them; what is registered is skipped.",
        )


def _without_round(missing_round: int) -> Reasons:
    if missing_round:
        yield (
            f"retry round {missing_round} did not run: see its task.",
            f"Remove what made retry_{missing_round}.select fail, then clear it, or wait for the next run.",
        )


def _without_unlink(still_linked: int) -> Reasons:
    if still_linked:
        items = counted(still_linked, "item")
        yield (
            f"{items} whose objects are gone should have left the dataset, and did not: see the task unlink.",
            "Remove what made unlink fail, then clear it, or wait for the next run.",
        )


def _bad_jobs(settlement: Settlement, failures_csv: str, runs_again: bool) -> Reasons:
    jobs = [outcome.status for outcome in settlement.broken_jobs]
    failed, cancelled = jobs.count("failed"), jobs.count("cancelled")
    if jobs:
        later = "the next run tries again" if runs_again else "upload once more"
        ended = f"{_jobs(failed or cancelled)} {'refused' if failed else 'cancelled'}"
        also = f", {cancelled:,} cancelled" if failed and cancelled else ""
        yield f"{ended}{also}.", f"See {failures_csv}; {later} what can pass."


def _jobs(count: int) -> str:
    return f"{counted(count, 'upload job')} {agreeing(count, 'was', 'were')}"


def _too_many(settlement: Settlement, limits: Failures, failures_csv: str, again: int) -> Reasons:
    failed = settlement.failed - again
    if not failed:
        return
    sent = settlement.registered + settlement.already_registered + failed
    remedy = _look_into(failures_csv)
    if failed == sent:
        every = agreeing(
            settlement.failed, "the only item that was", f"all {settlement.failed:,} items that were"
        )
        yield f"{every} sent failed.", remedy
    besides = f", besides {again:,} that failed in earlier runs, too" if again else ""
    many = f"{failed:,} of {sent:,} items that were sent failed{besides}"
    reached = []
    if limits.fail_at_count is not None and failed >= limits.fail_at_count:
        reached.append(f"failures.fail_at_count is {limits.fail_at_count:,}")
    if failed / sent >= limits.fail_at_share:
        reached.append(f"failures.fail_at_share is {limits.fail_at_share * 100:g}%")
    if reached:
        yield f"{many}; {' and '.join(reached)}.", remedy


def _failed(settlement: Settlement, again: int) -> str:
    """Say how many items failed, and how many of them failed in earlier runs, too."""
    unsent = sum(not row.item_type for row in settlement.failures)
    named = f"Encord named {counted(unsent, 'URL')} that {agreeing(unsent, 'was', 'were')} not sent"
    if unsent and not settlement.failed:
        return f"nothing that was sent failed, but {named}"
    failed = f"{counted(settlement.failed, 'item')} failed{_again(settlement.failed, again)}"
    return f"{failed}, and {named}" if unsent else failed


def _again(failed: int, again: int) -> str:
    if not again:
        return ""
    if again == failed:
        return f", {agreeing(again, 'as', 'all of them as')} in earlier runs"
    return f", {again:,} of them as in earlier runs"


def _look_into(failures_csv: str) -> str:
    return f"See {failures_csv} for the reason and the remedy of each."
