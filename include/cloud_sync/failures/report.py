"""The run report: one JSON file for machines, one readable text for the task log, one verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from cloud_sync.errors import CloudSyncError
from cloud_sync.failures.failure_csv import CSV_NAME, JSONL_NAME
from cloud_sync.failures.model import Failure
from cloud_sync.failures.settle import Settlement
from cloud_sync.manifest.model import FINDINGS_NAME
from cloud_sync.planning.model import PLAN_NAME, PLAN_ONLY, REASONS, SENT_ACTIONS, PlanRow
from cloud_sync.registration.model import tripped
from cloud_sync.run_folder import RunFolder

REPORT_NAME = "report.json"
EXAMPLES = 5
FILES = {"report": REPORT_NAME, "failures_csv": CSV_NAME, "failures_jsonl": JSONL_NAME}


class Verdict(StrEnum):
    """The project's word on a run; Encord calls a job done even when every unit failed."""

    OK = "ok"
    OK_WITH_QUARANTINE = "ok_with_quarantine"
    FAILED = "failed"


class RunFailed(CloudSyncError):  # noqa: N818 (a verdict, not an accident)
    """The run ended, and a person has to look at it."""


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What the report says of a run besides its settlement. Times are ISO 8601, UTC.

    Attributes:
        given: What is known of the manifest that a person gave; None for a sync. It has `file` and
            `findings` (how many of each level), if it could be read also `format`, `items` and `files`, and
            if it was refused `error`.
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


def verdict_of(plan: Sequence[PlanRow], settlement: Settlement) -> Verdict:
    """Judge a run by its counts.

    Failed: the build never finished, a manifest never got an outcome, an upload job was refused or
    cancelled, or of all that was sent nothing is registered.
    """
    sent = sum(entry.items for entry, _ in settlement.ended)
    nothing_registered = sent > 0 and not settlement.registered and not settlement.already_registered
    bad_job = any(outcome.status != "done" for _, outcome in settlement.ended)
    if settlement.unbuilt or settlement.waiting or bad_job or nothing_registered:
        return Verdict.FAILED
    quarantined_before = any(row.reason == "quarantined" for row in plan)
    return Verdict.OK_WITH_QUARANTINE if settlement.failures or quarantined_before else Verdict.OK


def make_report(folder: RunFolder, facts: RunFacts, settlement: Settlement) -> dict[str, Any]:
    """Write `report.json` and return it.

    What is listed is counted in objects, what is sent and registered in items; `planned` says both.
    """
    jobs = [outcome.status for _, outcome in settlement.ended]
    known = sum(row.items for row in facts.plan if row.reason == "registered")
    planned = sum(row.items for row in facts.plan if row.action in SENT_ACTIONS)
    report = {
        **asdict(facts),
        "verdict": verdict_of(facts.plan, settlement).value,
        "planned": [asdict(row) for row in facts.plan],
        "manifests": len(settlement.ended) + len(settlement.waiting),
        "jobs": {status: jobs.count(status) for status in ("done", "failed", "cancelled")},
        "registered": settlement.registered,
        "already_registered": settlement.already_registered + known,
        "registered_by_type": {kind: asdict(tally) for kind, tally in settlement.by_type.items()},
        "failed": settlement.failed,
        "failed_files": len(settlement.failures),
        "waiting": planned if settlement.unbuilt else settlement.waiting_items,
        "failures_by_cause": failures_by_cause(settlement.failures),
    }
    if stopped := tripped(folder):
        report["stopped"] = str(stopped)
    del report["plan"]
    files = {**FILES, "plan": PLAN_NAME} if facts.given is None else {**FILES, "findings": FINDINGS_NAME}
    report["files"] = {name: str(folder.path(file)) for name, file in files.items()}
    if facts.given is None:
        del report["given"]
    folder.write_json(REPORT_NAME, report)
    return report


def failures_by_cause(failures: Sequence[Failure]) -> list[dict[str, Any]]:
    """Count failures by class and reason, the most frequent first, with a few examples each."""
    if not failures:
        return []
    import pandas as pd

    table = pd.DataFrame([asdict(failure) for failure in failures])
    causes = table.groupby(["failure_class", "reason", "remedy"], as_index=False).agg(
        count=("object_url", "size"), examples=("object_url", lambda urls: list(urls[:EXAMPLES]))
    )
    ordered = causes.sort_values(["count", "failure_class", "reason"], ascending=[False, True, True])
    return [{str(name): value for name, value in row.items()} for row in ordered.to_dict("records")]


def summary(report: Mapping[str, Any]) -> str:
    """Return the report as text that fits a task log: what happened, why, and what to do."""
    outcome = "plan only, nothing was sent" if report["mode"] == PLAN_ONLY else report["verdict"]
    lines = [
        f"Integration {report['integration']}, run {report['run_id']}: {outcome}",
        f"  dataset             {report['dataset']['title']} ({report['dataset']['uuid']})",
        *_source(report),
    ]
    for row in map(PlanRow.from_json, report["planned"]):
        lines.append(
            f"  plan: {row.action:<14}{row.number:>9,} {row.unit}, "
            f"{row.item_type or 'other'}: {REASONS[row.reason]}"
        )
        if report["mode"] == PLAN_ONLY:
            lines += [f"      {key}" for key in row.examples]
    if report["mode"] != PLAN_ONLY:
        lines += [
            f"  manifests           {report['manifests']:>9,}",
            f"  registered          {report['registered']:>9,} items",
            f"  already registered  {report['already_registered']:>9,} items",
            *(
                f"      {kind:<16}{tally['items']:>9,} items, {tally['files']:,} files"
                for kind, tally in report["registered_by_type"].items()
            ),
            f"  failed              {report['failed']:>9,} items",
        ]
    if "stopped" in report:
        lines.append(f"  stopped: {report['stopped']}")
    if report["waiting"]:
        lines.append(f"  never answered for  {report['waiting']:>9,} items: see the failed tasks of this run")
    for cause in report["failures_by_cause"]:
        lines.append(f"  {cause['count']:,} x {cause['failure_class']}: {cause['reason']} {cause['remedy']}")
        lines += [f"      {url}" for url in cause["examples"]]
    if report["failed_files"]:
        lines.append(f"  all failures: {report['files']['failures_csv']}")
    lines.append(f"  all of this: {report['files']['report']}")
    return "\n".join(lines)


def _source(report: Mapping[str, Any]) -> list[str]:
    """Return the line about where the run's items came from: a listing, or a manifest that was given."""
    if (given := report.get("given")) is None:
        listed = report["listed"]
        return [
            f"  listed              {listed['objects']:>9,} objects, {listed['total_bytes']:,} bytes",
        ]
    levels = ", ".join(f"{level}s: {count:,}" for level, count in given["findings"].items())
    return [
        f"  given               {given['items']:>9,} items, {given['files']:,} files: {given['file']}",
        f"  findings            {levels}",
    ]


def check_verdict(report: Mapping[str, Any]) -> None:
    """End a failed run as failed.

    Raises:
        RunFailed: The verdict is `failed`; says why and what to do.
    """
    if report["verdict"] != Verdict.FAILED:
        return
    if "stopped" in report:
        why = report["stopped"]
        remedy = f"See {report['files']['failures_csv']}; remove the cause, then trigger a new run."
    elif report["waiting"] or not report["manifests"]:
        why = f"{report['waiting']:,} items were never answered for."
        remedy = "Look at the failed tasks of this run, then clear them; what is registered is skipped."
    elif report["jobs"]["failed"] or report["jobs"]["cancelled"]:
        why = f"{report['jobs']['failed']} upload jobs were refused, {report['jobs']['cancelled']} cancelled."
        later = "the next run tries again" if "given" not in report else "upload once more"
        remedy = f"See {report['files']['failures_csv']}; {later} what can pass."
    else:
        why = f"all {report['failed']:,} items that were sent failed."
        remedy = f"See {report['files']['failures_csv']} for the reason and the remedy of each."
    raise RunFailed(why, where=f"run {report['run_id']}", remedy=remedy)
