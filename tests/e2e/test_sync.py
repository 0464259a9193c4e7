"""The main job: a bucket becomes a dataset, once, whatever happens to the ledger."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from demo.airflow_api import DagRun
from tests.e2e.conftest import Bench


@pytest.fixture(scope="module")
def first(bench: Bench) -> DagRun:
    """The first run of sync__demo."""
    return bench.run("demo")


@pytest.fixture(scope="module")
def second(bench: Bench, first: DagRun) -> DagRun:
    """The second run, over the same bucket."""
    return bench.run("demo")


def dataset_items(bench: Bench) -> dict[str, UUID]:
    """Return the item of each object URL in the dataset."""
    rows = bench.stack.encord().get_dataset(bench.stack.dataset_uuid).list_data_rows()
    assert len(rows) == len({row.file_link for row in rows}), "a URL is in the dataset twice"
    return {row.file_link: row.backing_item_uuid for row in rows}


def csv_rows(folder: Path) -> list[dict[str, str]]:
    """Read the failure CSV as a spreadsheet would."""
    with (folder / "failures.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, strict=True))


def test_the_first_run_registers_exactly_the_good_objects(bench: Bench, first: DagRun) -> None:
    expected = bench.stack.content.expectation()
    assert first.state == "success"
    assert set(dataset_items(bench)) == {bench.url(key) for key in expected.good}
    report = bench.report(first)
    assert (report.verdict, report.registered) == ("ok_with_quarantine", len(expected.good))
    assert report.listed_objects == len(expected.listed)


def test_the_failure_csv_holds_exactly_the_bad_objects(bench: Bench, first: DagRun) -> None:
    rows = {row["object_url"]: row for row in csv_rows(bench.run_folder(first))}
    bad = {bench.url(key): key for key in bench.stack.content.expectation().bad}
    assert set(rows) == set(bad)
    classes = {bad[url].rsplit("/", 1)[-1]: row["failure_class"] for url, row in rows.items()}
    assert classes == {"empty.jpg": "corrupt", "cut-off.jpg": "corrupt", "notes.mp4": "wrong_type"}
    for row in rows.values():
        assert row["reason"]
        assert row["remedy"]
        assert row["attempts"] == "1"
        assert UUID(row["upload_job_id"])
        assert UUID(row["unit_id"])
        assert row["run_id"] == first.run_id
    twin = (bench.run_folder(first) / "failures.jsonl").read_text().splitlines()
    assert [json.loads(line)["object_url"] for line in twin] == sorted(rows)


def test_the_second_run_submits_nothing(bench: Bench, first: DagRun, second: DagRun) -> None:
    assert second.state == "success"
    report = bench.report(second)
    assert (report.manifests, report.registered, report.failed) == (0, 0, 0)
    assert not list((bench.run_folder(second) / "jobs").glob("*"))
    assert {task.state for task in bench.tasks(second)["register"]} == {"skipped"}


def test_without_its_ledger_a_run_submits_everything_and_changes_nothing(
    bench: Bench, second: DagRun
) -> None:
    before = dataset_items(bench)
    shutil.rmtree(bench.stack.places.state / "ledgers")
    run = bench.run("demo")
    assert run.state == "success"
    report = bench.report(run)
    expected = bench.stack.content.expectation()
    sent = sum(len(manifest_urls(path)) for path in (bench.run_folder(run) / "manifests").glob("0*.json"))
    assert sent == len(expected.good) + len(expected.bad)
    assert (report.registered, report.already_registered) == (0, len(expected.good))
    assert dataset_items(bench) == before
    assert {row["object_url"] for row in csv_rows(bench.run_folder(run))} == {
        bench.url(key) for key in expected.bad
    }


def manifest_urls(path: Path) -> list[str]:
    """Return the object URLs of a manifest, which must state that duplicates are skipped."""
    manifest: dict[str, Any] = json.loads(path.read_bytes())
    assert manifest.pop("skip_duplicate_urls") is True
    return [item["objectUrl"] for items in manifest.values() for item in items]


def test_plan_only_sends_nothing(bench: Bench, second: DagRun) -> None:
    before = dataset_items(bench)
    run = bench.run("demo", {"mode": "plan", "full_pass": True, "prefix": "incoming/camera-3/"})
    assert run.state == "success"
    states = {name: {task.state for task in tasks} for name, tasks in bench.tasks(run).items()}
    assert states["plan"] == {"success"}
    assert states["build"] == states["register"] == states["settle"] == {"skipped"}
    plan = json.loads((bench.run_folder(run) / "plan.json").read_text())
    assert [(row["action"], row["reason"], row["objects"]) for row in plan] == [("register", "full_pass", 2)]
    assert dataset_items(bench) == before


def test_a_dataset_without_a_folder_gets_its_items_linked(bench: Bench) -> None:
    run = bench.run("linked")
    assert run.state == "success"
    (dataset,) = bench.stack.encord().get_datasets(title_eq="Without a folder")
    rows = bench.stack.encord().get_dataset(dataset["dataset"].dataset_hash).list_data_rows()
    good = bench.stack.content.expectation().good
    assert {row.file_link for row in rows} == {bench.url(key) for key in good}
    assert len(rows) == len(good)


def test_a_long_upload_job_is_waited_for_without_a_worker(bench: Bench, bulk_keys: list[str]) -> None:
    run = bench.run("bulk")
    assert run.state == "success"
    assert bench.report(run).registered == len(bulk_keys)
    assert "Pausing task as DEFERRED" in all_logs(bench, run, "register")
    (dataset,) = bench.slow_service.client().get_datasets(title_eq="Bulk")
    rows = bench.slow_service.client().get_dataset(dataset["dataset"].dataset_hash).list_data_rows()
    assert {row.file_link for row in rows} == {bench.url(key) for key in bulk_keys}


def all_logs(bench: Bench, run: DagRun, task_id: str) -> str:
    """Return the logs of every try of a task, as they lie on disk."""
    folder = bench.stack.places.airflow_home / "logs" / f"dag_id={run.dag_id}" / f"run_id={run.run_id}"
    return "\n".join(path.read_text() for path in sorted((folder / f"task_id={task_id}").rglob("*.log")))
