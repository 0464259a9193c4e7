"""The run report: one JSON file for machines, one readable text for the task log, one verdict."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from cloud_sync.failures.choice import LEFT_OUT
from cloud_sync.failures.failure_csv import CSV_NAME, JSONL_NAME
from cloud_sync.failures.model import Failure, NextStep
from cloud_sync.failures.rounds import missing_round
from cloud_sync.failures.settle import Settlement
from cloud_sync.failures.verdict import (
    Judgement,
    Verdict,
    judge,
    of_unapproved,
    quarantined_items,
    waiting_items,
)
from cloud_sync.manifest.model import FINDINGS_NAME
from cloud_sync.numbers import agreeing, counted
from cloud_sync.planning.model import (
    PLAN_NAME,
    PLAN_ONLY,
    REASONS,
    UNLINK_ACTION,
    UNLINK_NAME,
    PlanRow,
    read_answer,
    read_unapproved,
)
from cloud_sync.registration.model import read_unlinked, tripped
from cloud_sync.run_folder import RunFolder

if TYPE_CHECKING:
    from cloud_sync.integration import Failures

REPORT_NAME = "report.json"
EXAMPLES = 5
# Where Encord's words differ from file to file there are as many causes as files.
MOST_CAUSES = 1000
CAUSES_IN_LOG = 20
FILES = {"report": REPORT_NAME, "failures_csv": CSV_NAME, "failures_jsonl": JSONL_NAME}


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What the report says of a run besides its settlement. Times are ISO 8601, UTC.

    Attributes:
        given: What is known of the manifest that a person gave; None for a sync. It has `file` and
            `findings` (how many of each level), if it could be read also `format`, `items` and `files`, and
            if it was refused `error`.
        retried: What is known of the failure list whose items were sent again; None for other runs. It has
            `list`, `rows`, `items` and `files` (of what was sent), and `left_out` (by reason, with examples).
        nothing_listed: What to say of a listing of nothing, `why` and `remedy`; None if something was listed,
            or nothing was to be.
    """

    integration: str
    dag_id: str
    run_id: str
    mode: str
    dataset: Mapping[str, str]
    listed: Mapping[str, int]
    plan: Sequence[PlanRow]
    started_at: str
    finished_at: str
    given: Mapping[str, Any] | None = None
    retried: Mapping[str, Any] | None = None
    nothing_listed: Mapping[str, str] | None = None


def make_report(
    folder: RunFolder, facts: RunFacts, settlement: Settlement, limits: Failures, *, rounds: int = 0
) -> dict[str, Any]:
    """Write `report.json` and return it.

    What is listed is counted in objects, what is sent and registered in items; `planned` says both.

    Args:
        folder: The run folder.
        facts: What is known of the run besides its settlement.
        settlement: What it came to.
        limits: The thresholds for its verdict.
        rounds: How many retry rounds it may have.
    """
    jobs = [outcome.status for _, outcome in settlement.ended]
    known = sum(row.items for row in facts.plan if row.reason == "registered")
    causes = failures_by_cause(settlement.failures)
    report = {
        **asdict(facts),
        **asdict(_judgement(folder, facts, settlement, limits, rounds)),
        "planned": [asdict(row) for row in facts.plan],
        "manifests": len(settlement.ended) + len(settlement.waiting),
        "jobs": {status: jobs.count(status) for status in ("done", "failed", "cancelled")},
        "registered": settlement.registered,
        "already_registered": settlement.already_registered + known,
        "registered_by_type": {kind: asdict(tally) for kind, tally in settlement.by_type.items()},
        "retry_rounds": [asdict(one) for one in settlement.rounds],
        "failed": settlement.failed,
        "failed_files": len(settlement.failures),
        "quarantined": quarantined_items(facts.plan),
        "newly_quarantined": settlement.newly_quarantined,
        "quarantined_files": settlement.quarantined_files,
        "waiting": waiting_items(facts.plan, settlement),
        "causes": len(causes),
        "failures_by_cause": causes[:MOST_CAUSES],
    }
    if stopped := tripped(folder):
        report["stopped"] = str(stopped)
    if answer := read_answer(folder):
        report["approval"] = {**asdict(answer), "told": answer.told}
    if unlinked := read_unlinked(folder, UNLINK_NAME):
        report["unlinked"] = asdict(unlinked)
    del report["plan"]
    files = {**FILES, "plan": PLAN_NAME} if facts.given is None else {**FILES, "findings": FINDINGS_NAME}
    report["files"] = {name: folder.address(file) for name, file in files.items()}
    for name in ("given", "retried", "nothing_listed"):
        if report[name] is None:
            del report[name]
    folder.write_json(REPORT_NAME, report)
    return report


def _judgement(
    folder: RunFolder, facts: RunFacts, settlement: Settlement, limits: Failures, rounds: int
) -> Judgement:
    refused = (facts.given or {}).get("error")
    if refused is not None:
        return Judgement(Verdict.FAILED, refused)
    if answer := read_unapproved(folder):
        return of_unapproved(answer)
    judgement = judge(
        facts.plan,
        settlement,
        limits,
        failures_csv=folder.address(CSV_NAME),
        stopped=tripped(folder),
        runs_again=facts.given is None,
        missing_round=missing_round(folder, settlement, rounds=rounds),
        asked_for=facts.retried is not None,
        left_out={reason: one["files"] for reason, one in (facts.retried or {}).get("left_out", {}).items()},
        still_linked=_still_linked(folder, facts),
    )
    if facts.nothing_listed and judgement.verdict is Verdict.OK:
        return Judgement(Verdict.OK, _told(facts.nothing_listed), facts.nothing_listed["remedy"])
    return judgement


def _told(nothing: Mapping[str, str]) -> str:
    return f"nothing was listed: {nothing['why']}"


def _still_linked(folder: RunFolder, facts: RunFacts) -> int:
    """Return how many items were to leave the dataset, if nothing tells that they did."""
    if facts.mode == PLAN_ONLY or read_unlinked(folder, UNLINK_NAME) is not None:
        return 0
    return sum(row.items for row in facts.plan if row.action == UNLINK_ACTION)


def failures_by_cause(failures: Sequence[Failure]) -> list[dict[str, Any]]:
    """Count failures by class and reason, and how many are quarantined; the most frequent come first.

    Each has a few examples.
    """
    if not failures:
        return []
    import pandas as pd

    table = pd.DataFrame([asdict(failure) for failure in failures])
    causes = table.groupby(["failure_class", "reason", "remedy"], as_index=False).agg(
        count=("object_url", "size"),
        quarantined=("next_step", lambda steps: int((steps == NextStep.QUARANTINED).sum())),
        examples=("object_url", lambda urls: list(urls[:EXAMPLES])),
    )
    ordered = causes.sort_values(["count", "failure_class", "reason"], ascending=[False, True, True])
    return [{str(name): value for name, value in row.items()} for row in ordered.to_dict("records")]


def summary(report: Mapping[str, Any]) -> str:
    """Return the report as text that fits a task log: what happened, why, and what to do."""
    is_plan = report["mode"] == PLAN_ONLY
    outcome = "plan only, nothing was sent" if is_plan else report["verdict"]
    lines = [
        f"Integration {report['integration']}, run {report['run_id']}: {outcome}",
        f"  dataset             {report['dataset']['title']} ({report['dataset']['uuid']})",
        *_source(report),
        *_planned(report, with_examples=is_plan),
        *([] if is_plan else _sent(report)),
        *_left(report),
        *_causes(report),
    ]
    if report["failed_files"]:
        lines.append(f"  all failures: {report['files']['failures_csv']}")
    lines.append(f"  all of this: {report['files']['report']}")
    if not is_plan:
        # The last line: the one that is read first.
        lines.append(f"{report['verdict']}: {report['why']} {report['remedy']}".rstrip())
    return "\n".join(lines)


def _planned(report: Mapping[str, Any], *, with_examples: bool) -> Iterator[str]:
    for row in map(PlanRow.from_json, report["planned"]):
        yield (
            f"  plan: {row.action:<14}{row.number:>9,} {row.unit}, "
            f"{row.item_type or 'other'}: {REASONS[row.reason]}"
        )
        if with_examples:
            yield from (f"      {key}" for key in row.examples)


def _sent(report: Mapping[str, Any]) -> Iterator[str]:
    yield f"  manifests           {report['manifests']:>9,}"
    yield _line("registered", report["registered"], "item")
    yield _line("already registered", report["already_registered"], "item")
    for kind, tally in report["registered_by_type"].items():
        of_files = f" of {counted(tally['files'], 'file')}, {kind}"
        yield _line("sent, registered", tally["items"], "item", of_files)
    for one in report["retry_rounds"]:
        came_of_it = f" sent again, {one['registered']:,} registered"
        yield _line(f"retry round {one['number']}", one["sent"], "item", came_of_it)
    yield _line("failed", report["failed"], "item")
    if unlinked := report.get("unlinked"):
        kept = f", kept in the folder {unlinked['folder']}" if unlinked["folder"] else ""
        left = unlinked["items"] - unlinked["absent"]
        yield _line("left the dataset", left, "item", f" whose objects are gone{kept}")


def _left(report: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a person said of the plan, and what is left for people or for later."""
    if "approval" in report:
        yield f"  approval            the plan was {report['approval']['told']}"
    if "stopped" in report:
        yield f"  stopped: {report['stopped']}"
    if report["waiting"]:
        yield _line("never answered for", report["waiting"], "item", ": see the failed tasks of this run")
    if now := report["newly_quarantined"]:
        until = agreeing(now, "it changes or is released", "they change or are released")
        yield _line("quarantined now", now, "file", f" until {until}")
    if before := report["quarantined"]:
        were = agreeing(before, "was", "were")
        yield _line("quarantined before", before, "item", f", which {were} not sent")
    if files := report["quarantined_files"]:
        yield _line("in quarantine", files, "file", " in all")


def _causes(report: Mapping[str, Any]) -> Iterator[str]:
    shown = report["failures_by_cause"][:CAUSES_IN_LOG]
    for cause in shown:
        yield f"  {cause['count']:,} x {cause['failure_class']}: {cause['reason']} {cause['remedy']}"
        yield from (f"      {url}" for url in cause["examples"])
    if more := report["causes"] - len(shown):
        yield f"  and {counted(more, 'more cause')}"


def _line(name: str, number: int, noun: str, rest: str = "") -> str:
    return f"  {name:<20}{number:>9,} {agreeing(number, noun)}{rest}"


def _source(report: Mapping[str, Any]) -> list[str]:
    """Return the line about where the run's items came from: a listing, or a manifest that was given."""
    if retried := report.get("retried"):
        return [
            _line("failure list", retried["rows"], "row", f": {retried['list']}"),
            *(
                _line("left out", one["files"], "file", f": {LEFT_OUT[reason]}")
                for reason, one in retried["left_out"].items()
            ),
        ]
    if (given := report.get("given")) is None:
        listed = report["listed"]
        line = _line("listed", listed["objects"], "object", f", {counted(listed['total_bytes'], 'byte')}")
        nothing = report.get("nothing_listed")
        # Mostly it is what the last line says.
        if nothing is None or (report["mode"] != PLAN_ONLY and report["why"] == _told(nothing)):
            return [line]
        return [line, f"  {_told(nothing)} {nothing['remedy']}"]
    levels = ", ".join(f"{level}s: {count:,}" for level, count in given["findings"].items())
    return [
        _line("given", given["items"], "item", f", {counted(given['files'], 'file')}: {given['file']}"),
        f"  findings            {levels}",
    ]
