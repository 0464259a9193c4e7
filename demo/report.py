"""The report of a run, as the settle stage wrote it, and the tables in which the demo shows it."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import unquote, urlsplit

from rich.table import Table

from cloud_sync.errors import StorageError
from cloud_sync.failures.alert import Cause
from cloud_sync.failures.settle import RoundTally
from cloud_sync.numbers import agreeing
from cloud_sync.planning.model import REASONS, PlanRow
from cloud_sync.run_folder import safe_name
from demo.content import BUCKET

REPORT, FAILURES = "report.json", "failures.csv"


@dataclass(frozen=True, slots=True)
class RunReport:
    """What one run did.

    Attributes:
        verdict: `ok`, `ok_with_quarantine` or `failed`.
        registered: Items that this run registered.
        already_registered: Items that were registered before, known by the plan or found out by Encord.
        failed: Items sent that were not registered.
        retry_rounds: What each retry round sent again, and what of that is registered.
        folder: The run folder.
    """

    verdict: str
    listed_objects: int
    listed_bytes: int
    planned: tuple[PlanRow, ...]
    manifests: int
    jobs: dict[str, int]
    registered: int
    already_registered: int
    failed: int
    retry_rounds: tuple[RoundTally, ...]
    causes: tuple[Cause, ...]
    folder: Path

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the report from a run folder.

        Raises:
            StorageError: It is not there, or is not what this version writes.
        """
        try:
            data = json.loads((folder / REPORT).read_text())
            return cls(
                verdict=data["verdict"],
                listed_objects=data["listed"]["objects"],
                listed_bytes=data["listed"]["total_bytes"],
                planned=tuple(PlanRow.from_json(row) for row in data["planned"]),
                manifests=data["manifests"],
                jobs=data["jobs"],
                registered=data["registered"],
                already_registered=data["already_registered"],
                failed=data["failed"],
                retry_rounds=tuple(RoundTally(**one) for one in data["retry_rounds"]),
                causes=tuple(_cause(cause) for cause in data["failures_by_cause"]),
                folder=folder,
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StorageError(
                f"there is no report that can be read ({type(error).__name__}: {error}).",
                where=str(folder / REPORT),
                remedy="Look at the log of the task `settle`.",
            ) from error

    @property
    def failure_csv(self) -> Path:
        """The file with one row for each file that was not registered."""
        return self.folder / FAILURES

    def planned_with(self, *actions: str) -> int:
        """Return how many objects the plan gave one of these actions."""
        return sum(row.objects for row in self.planned if row.action in actions)

    def failed_urls(self) -> list[str]:
        """Return the object URLs in the failure CSV."""
        if not self.failure_csv.is_file():
            return []
        with self.failure_csv.open(newline="", encoding="utf-8-sig") as file:
            return [row["object_url"] for row in csv.DictReader(file)]


def key_of(url: str, bucket: str = BUCKET) -> str:
    """Return the key that a path-style object URL names, read with nothing but the standard library."""
    return unquote(urlsplit(url).path).removeprefix(f"/{bucket}/")


def run_folder_of(state: Path, integration: str, run_id: str) -> Path:
    """Return the run folder of a DAG run."""
    return state / "runs" / integration / safe_name(run_id)


def failure_lists(state: Path, integration: str) -> list[Path]:
    """Return the failure CSVs of an integration's runs that have rows, the newest last."""
    found = (state / "runs" / integration).glob(f"*/{FAILURES}")
    return sorted((path for path in found if _has_rows(path)), key=lambda path: path.stat().st_mtime)


def _has_rows(path: Path) -> bool:
    with path.open(newline="", encoding="utf-8-sig") as file:
        return next(csv.DictReader(file), None) is not None


def result_table(title: str, report: RunReport) -> Table:
    """Return the table with the numbers of a run."""
    table = Table(title=title, title_justify="left", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    table.add_column()
    objects = agreeing(report.listed_objects, "object")
    table.add_row("listed", str(report.listed_objects), f"{objects}, {report.listed_bytes / 1e6:.1f} MB")
    for row in report.planned:
        table.add_row(f"planned: {row.action}", str(row.number), f"{row.unit}, {_explanation(row)}")
        if row.action == "hold":
            table.add_row("", "", f"  such as {row.examples[0]}")
    jobs = ", ".join(f"{count} {state}" for state, count in report.jobs.items() if count)
    table.add_row(
        "submitted",
        str(report.manifests),
        f"{agreeing(report.manifests, 'manifest')}{f' (upload jobs: {jobs})' if jobs else ''}",
    )
    table.add_row(
        "registered now", str(report.registered), f"{agreeing(report.registered, 'item')} by this run"
    )
    table.add_row(
        "registered before",
        str(report.already_registered),
        f"{agreeing(report.already_registered, 'item')} by earlier runs",
    )
    for one in report.retry_rounds:
        items = f"{agreeing(one.sent, 'item')} that failed for a passing reason"
        row = f"{items}, sent again: {one.registered} registered"
        table.add_row(f"retry round {one.number}", str(one.sent), row)
    table.add_row("failed", str(report.failed), agreeing(report.failed, "item"))
    table.add_row("verdict", "", report.verdict)
    return table


def failure_table(report: RunReport) -> Table:
    """Return the table with the causes of failure and what to do about each."""
    table = Table(title="Not registered, and why", title_justify="left", show_lines=True)
    for column in ("class", "files", "reason", "what to do", "for example"):
        table.add_column(column, overflow="fold", justify="right" if column == "files" else "left")
    for cause in report.causes:
        examples = "\n".join(key_of(url) for url in cause.examples)
        table.add_row(cause.failure_class, str(cause.count), cause.reason, cause.remedy, examples)
    return table


def _explanation(row: PlanRow) -> str:
    text = REASONS.get(row.reason, row.reason)
    return f"{row.item_type}: {text}" if row.item_type else text


def _cause(cause: dict[str, Any]) -> Cause:
    return Cause(
        failure_class=cause["failure_class"],
        reason=cause["reason"],
        remedy=cause["remedy"],
        count=cause["count"],
        examples=tuple(cause["examples"]),
    )
