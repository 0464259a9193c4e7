"""The report of a run is read strictly and shown in full."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from cloud_sync.errors import StorageError
from demo.report import RunReport, failure_lists, failure_table, result_table, run_folder_of

URL = "http://127.0.0.1:1/demo-media/incoming/clips/notes.mp4"


def plan_row(
    action: str, item_type: str | None, reason: str, *, objects: int, items: int, example: str = "a"
) -> dict[str, Any]:
    return {
        **{"action": action, "item_type": item_type, "reason": reason},
        **{"objects": objects, "items": items, "total_bytes": 1, "examples": [example]},
    }


def report_data() -> dict[str, Any]:
    return {
        "verdict": "ok_with_quarantine",
        "listed": {"objects": 76, "total_bytes": 16_000_000},
        "planned": [
            plan_row("register", "video", "new", objects=7, items=7),
            plan_row("register", "dicom_series", "new", objects=23, items=6),
            plan_row(
                "hold", "image_group", "incomplete", objects=1, items=1, example="left.png (has 1 of 2 files)"
            ),
            plan_row("report", None, "unknown_type", objects=1, items=0),
        ],
        "manifests": 3,
        "jobs": {"done": 3, "failed": 0, "cancelled": 0},
        "registered": 69,
        "already_registered": 0,
        "failed": 1,
        "retry_rounds": [{"number": 1, "sent": 2, "registered": 1}],
        "failures_by_cause": [
            {
                "failure_class": "wrong_type",
                "reason": "Expected a video, got a file of type text/plain.",
                "remedy": "Rename it.",
                "count": 1,
                "examples": [URL],
            }
        ],
    }


def write_report(folder: Path, data: dict[str, Any]) -> None:
    (folder / "report.json").write_text(json.dumps(data))


def shown(*tables: Any) -> str:
    console = Console(width=160)
    with console.capture() as capture:
        for table in tables:
            console.print(table)
    return capture.get()


def test_what_is_read_is_shown(tmp_path: Path) -> None:
    write_report(tmp_path, report_data())
    report = RunReport.read(tmp_path)
    text = shown(result_table("First", report), failure_table(report))
    for expected in (
        *("76", "objects, 16.0 MB", "planned: register", "items, video: new since the last run"),
        *("6", "items of 23 objects, dicom_series: new since the last run"),
        *("item, image_group: a group that is not complete yet", "such as left.png (has 1 of 2 files)"),
        *(
            "object, its extension stands under no type",
            "manifests (upload jobs: 3 done)",
            "69",
            "ok_with_quarantine",
        ),
        *("registered now", "items by this run", "registered before", "items by earlier runs"),
        *("retry round 1", "items that failed for a passing reason, sent again: 1 registered"),
        *("wrong_type", "Expected a video", "Rename it.", "incoming/clips/notes.mp4"),
    ):
        assert expected in text


def test_the_objects_of_the_plan_are_counted_by_action(tmp_path: Path) -> None:
    write_report(tmp_path, report_data())
    report = RunReport.read(tmp_path)
    assert report.planned_with("register", "retry") == 30
    assert report.planned_with("skip", "report", "hold") == 2


def test_the_failure_csv_is_read_as_spreadsheets_write_it(tmp_path: Path) -> None:
    write_report(tmp_path, report_data())
    report = RunReport.read(tmp_path)
    assert report.failed_urls() == []
    text = f'object_url,reason\r\n{URL},"two\r\nlines, one cell"\r\n'
    report.failure_csv.write_text(text, encoding="utf-8-sig", newline="")
    assert report.failed_urls() == [URL]


def test_only_failure_lists_with_rows_are_named(tmp_path: Path) -> None:
    texts = {"b": "object_url\r\nb.jpg\r\n", "a": "object_url\r\na.jpg\r\n", "empty": "object_url\r\n"}
    for age, (run, text) in enumerate(texts.items()):
        path = tmp_path / "runs" / "demo" / run / "failures.csv"
        path.parent.mkdir(parents=True)
        path.write_text(text)
        os.utime(path, (age, age))
    assert [path.parent.name for path in failure_lists(tmp_path, "demo")] == ["b", "a"]
    assert failure_lists(tmp_path / "nowhere", "demo") == []


@pytest.mark.parametrize(
    "spoil", [lambda data: data.pop("registered"), lambda data: data.update(listed=None)]
)
def test_a_report_of_another_form_is_refused_by_name(tmp_path: Path, spoil: Any) -> None:
    data = report_data()
    spoil(data)
    write_report(tmp_path, data)
    with pytest.raises(StorageError, match=r"report\.json: there is no report that can be read"):
        RunReport.read(tmp_path)


def test_a_missing_report_is_an_error_that_names_the_place(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=str(tmp_path)):
        RunReport.read(tmp_path)


def test_the_run_folder_is_the_one_that_the_operators_use(tmp_path: Path) -> None:
    folder = run_folder_of(tmp_path, "demo", "manual__2026-11-22T10:00:00+00:00")
    assert folder.parent == tmp_path / "runs" / "demo"
    assert ":" not in folder.name
