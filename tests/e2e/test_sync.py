"""The main job: a bucket becomes a dataset, once, whatever happens to the ledger."""

from __future__ import annotations

import contextlib
import csv
import json
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import psutil
import pytest

from cloud_sync.manifest.items import Item as ManifestItem
from cloud_sync.manifest.reader import read_manifest
from demo.airflow_api import DagRun
from demo.content import BUCKET, Item
from demo.dataset import DatasetItem, read_items
from tests.e2e.conftest import Bench, tiny_png

T = TypeVar("T")


@pytest.fixture(scope="module")
def first(bench: Bench) -> DagRun:
    """The first run of sync__demo."""
    return bench.run("demo")


@pytest.fixture(scope="module")
def second(bench: Bench, first: DagRun) -> DagRun:
    """The second run, over the same bucket."""
    return bench.run("demo")


Known = tuple[str, tuple[str, ...]]
"""What an item is known by: its type, and the object URLs of its files in order."""


def dataset_items(bench: Bench) -> dict[Known, DatasetItem]:
    """Return the items in the dataset, each of which must be there once."""
    items = bench.stack.dataset_items()
    by_files = {(item.item_type, item.urls): item for item in items}
    assert len(by_files) == len(items), "an item is in the dataset twice"
    return by_files


def known_by(bench: Bench, items: Iterable[Item]) -> dict[Known, Item]:
    """Return items of the bucket's content as the dataset must know them."""
    return {(item.item_type, tuple(map(bench.url, item.keys))): item for item in items}


def csv_rows(folder: Path) -> list[dict[str, str]]:
    """Read the failure CSV as a spreadsheet would."""
    with (folder / "failures.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, strict=True))


def test_the_first_run_registers_exactly_the_good_items(bench: Bench, first: DagRun) -> None:
    content = bench.stack.content
    assert first.state == "success"
    assert set(dataset_items(bench)) == set(known_by(bench, content.good))
    report = bench.report(first)
    assert (report.verdict, report.registered) == ("ok_with_quarantine", len(content.good))
    assert (report.failed, report.already_registered) == (len(content.bad), 0)
    assert report.listed_objects == len(content.listed)


def test_each_item_has_its_title_and_metadata(bench: Bench, first: DagRun) -> None:
    found = dataset_items(bench)
    for known, item in known_by(bench, bench.stack.content.good).items():
        assert (found[known].title, found[known].client_metadata) == (item.title, item.client_metadata)


def test_a_group_with_missing_files_is_held(bench: Bench, first: DagRun) -> None:
    plan = json.loads((bench.run_folder(first) / "plan.json").read_text())["rows"]
    held = {row["item_type"]: row for row in plan if row["action"] == "hold"}
    assert {kind: row["examples"][0].rpartition(" (")[2] for kind, row in held.items()} == {
        "image_group": "has 1 of 2 files)",
        "image_sequence": "has 5 of 12 files)",
    }
    keys = {key for item in bench.stack.content.held for key in item.keys}
    assert sum(row["objects"] for row in held.values()) == len(keys)


def test_the_failure_csv_holds_exactly_the_bad_objects(bench: Bench, first: DagRun) -> None:
    rows = {row["object_url"]: row for row in csv_rows(bench.run_folder(first))}
    bad = {bench.url(key): item for key, item in bench.stack.content.bad.items()}
    assert set(rows) == set(bad)
    classes = {url.rpartition("/")[2]: row["failure_class"] for url, row in rows.items()}
    assert classes == {
        **{"empty.jpg": "corrupt", "cut-off.jpg": "corrupt"},
        **{"notes.mp4": "wrong_type", "right.jpg": "wrong_type"},
    }
    for url, row in rows.items():
        assert row["item_type"] == bad[url].item_type
        assert row["reason"]
        assert row["remedy"]
        assert row["attempts"] == "1"
        assert UUID(row["upload_job_id"])
        assert UUID(row["unit_id"])
        assert row["run_id"] == first.run_id
        assert url.endswith(row["key"])
        assert row["next_step"] == "Quarantined: no sync sends it until it changes or is released."
    twin = (bench.run_folder(first) / "failures.jsonl").read_text().splitlines()
    assert [json.loads(line)["object_url"] for line in twin] == sorted(rows)


def test_the_second_run_submits_nothing(bench: Bench, first: DagRun, second: DagRun) -> None:
    assert second.state == "success"
    report = bench.report(second)
    assert (report.manifests, report.registered, report.failed) == (0, 0, 0)
    assert report.already_registered == len(bench.stack.content.good)
    assert not list((bench.run_folder(second) / "jobs").glob("*"))
    assert {task.state for task in bench.tasks(second)["register"]} == {"skipped"}


def test_who_follows_the_dataset_hears_of_each_run(bench: Bench, first: DagRun, second: DagRun) -> None:
    for run in (first, second):
        (extra,) = bench.stack.api.asset_event_extras(run)
        report = bench.report(run)
        assert extra == {
            "verdict": report.verdict,
            "registered": report.registered,
            "already_registered": report.already_registered,
            "failed": report.failed,
            "waiting": 0,
        }


def test_without_its_ledger_a_run_submits_everything_and_changes_nothing(
    bench: Bench, second: DagRun
) -> None:
    before = dataset_items(bench)
    shutil.rmtree(bench.stack.places.state / "ledgers")
    run = bench.run("demo")
    assert run.state == "success"
    report = bench.report(run)
    content = bench.stack.content
    sent = [item for path in (bench.run_folder(run) / "manifests").glob("0*.json") for item in read(path)]
    wanted = known_by(bench, (*content.good, *content.bad.values()))
    assert sorted((item.item_type, item.object_urls) for item in sent) == sorted(wanted)
    assert (report.registered, report.already_registered) == (0, len(content.good))
    assert dataset_items(bench) == before
    assert {row["object_url"] for row in csv_rows(bench.run_folder(run))} == {
        bench.url(key) for key in content.bad
    }


def read(path: Path) -> Sequence[ManifestItem]:
    """Return the items of a manifest, which must state that duplicates are skipped."""
    manifest = read_manifest(path, file=path.name)
    assert manifest.skip_duplicate_urls is True
    assert manifest.findings == ()
    return manifest.items


def test_plan_only_sends_nothing(bench: Bench, second: DagRun) -> None:
    before = dataset_items(bench)
    run = bench.run("demo", {"mode": "plan", "full_pass": True, "prefix": "incoming/camera-3/"})
    assert run.state == "success"
    states = {name: {task.state for task in tasks} for name, tasks in bench.tasks(run).items()}
    assert states["plan"] == {"success"}
    assert states["build"] == states["register"] == states["settle"] == {"skipped"}
    plan = json.loads((bench.run_folder(run) / "plan.json").read_text())["rows"]
    assert [(row["action"], row["reason"], row["objects"]) for row in plan] == [("register", "full_pass", 2)]
    assert dataset_items(bench) == before
    assert bench.stack.api.asset_event_extras(run) == []


def test_a_dataset_without_a_folder_gets_its_items_linked(bench: Bench) -> None:
    run = bench.run("linked")
    assert run.state == "success"
    client = bench.stack.encord()
    (dataset,) = client.get_datasets(title_eq="Without a folder")
    linked = read_items(client, dataset["dataset"].dataset_hash)
    assert sorted((item.item_type, item.urls) for item in linked) == sorted(
        known_by(bench, bench.stack.content.good)
    )


def test_a_long_upload_job_is_waited_for_without_a_worker(bench: Bench, bulk_keys: list[str]) -> None:
    run = bench.run("bulk")
    assert run.state == "success"
    assert bench.report(run).registered == len(bulk_keys)
    assert "Pausing task as DEFERRED" in all_logs(bench, run, "register")
    assert urls_in(bench.slow_service.client(), "Bulk") == sorted(bench.url(key) for key in bulk_keys)


def test_a_cleared_run_takes_what_has_come_since(bench: Bench) -> None:
    keys = [f"cleared/{number}.png" for number in range(4)]
    for key in keys[:3]:
        bench.stack.s3().put_object(Bucket=BUCKET, Key=key, Body=tiny_png())
    run = bench.run("cleared")
    assert run.state == "success"
    assert urls_in(bench.stack.encord(), "Cleared") == [bench.url(key) for key in keys[:3]]
    bench.stack.s3().put_object(Bucket=BUCKET, Key=keys[3], Body=tiny_png())
    bench.stack.api.clear(run, ["list"])
    assert bench.end(run).state == "success"
    assert urls_in(bench.stack.encord(), "Cleared") == [bench.url(key) for key in keys]
    assert bench.report(run).listed_objects == len(keys)


def test_a_bucket_is_listed_in_shards_and_anew_when_the_run_is_cleared(bench: Bench) -> None:
    keys = [f"sharded/scene-{number:02d}/1.png" for number in range(30)]
    for key in keys:
        bench.stack.s3().put_object(Bucket=BUCKET, Key=key, Body=tiny_png())
    run = bench.run("sharded")
    assert run.state == "success"
    assert [task.state for task in bench.tasks(run)["list"]] == ["success"] * 3
    counts = [bench.stack.api.xcom(run, "list", map_index=shard)["counts"]["objects"] for shard in range(3)]
    assert counts == [10, 10, 10]
    assert urls_in(bench.stack.encord(), "Sharded") == [bench.url(key) for key in keys]
    new = ["sharded/!first/1.png", "sharded/scene-14-b/1.png"]
    for key in new:
        bench.stack.s3().put_object(Bucket=BUCKET, Key=key, Body=tiny_png())
    bench.stack.api.clear(run, ["survey"])
    assert bench.end(run).state == "success"
    assert urls_in(bench.stack.encord(), "Sharded") == sorted(bench.url(key) for key in keys + new)
    assert bench.report(run).listed_objects == len(keys) + len(new)


def test_a_killed_task_is_tried_again_and_registers_nothing_twice(bench: Bench, bulk_keys: list[str]) -> None:
    run = bench.start("killed")
    job_id = wait_for(lambda: submitted_job(bench.run_folder(run)))
    wait_for(lambda: task_process(bench, run, "register")).kill()
    assert bench.end(run).state == "success"
    (task,) = bench.tasks(run)["register"]
    assert (task.state, task.try_number) == ("success", 2)
    assert submitted_job(bench.run_folder(run)) == job_id, "the manifest was sent again"
    handed_on = bench.stack.api.xcom(run, "register", map_index=0)
    assert handed_on == {"manifests": 1, "done": 1, "failed": 0, "cancelled": 0}
    assert urls_in(bench.slow_service.client(), "Killed") == sorted(bench.url(key) for key in bulk_keys)


def test_a_held_group_is_registered_when_its_last_file_is_there(bench: Bench, second: DagRun) -> None:
    before = dataset_items(bench)
    (pair,) = (item for item in bench.stack.content.held if item.item_type == "image_group")
    right = pair.keys[0].replace("left", "right")
    bench.stack.s3().put_object(Bucket=BUCKET, Key=right, Body=pair.media[0].body)
    assert bench.report(bench.run("demo")).registered == 1
    new = dataset_items(bench).keys() - before.keys()
    assert new == {("image_group", (bench.url(pair.keys[0]), bench.url(right)))}


def submitted_job(folder: Path) -> str | None:
    """Return the id of the upload job of a run's only manifest, None before Encord has given one."""
    for path in folder.glob("jobs/0*.json"):
        job_id: str | None = json.loads(path.read_bytes())["job_id"]
        return job_id
    return None


def task_process(bench: Bench, run: DagRun, task_id: str) -> psutil.Process | None:
    """Return the process that executes a task, not the one above it that watches over it."""
    (task,) = bench.tasks(run)[task_id]
    (scheduler,) = [one for one in bench.stack.supervisor.table.records() if one.name == "scheduler"]
    for process in scheduler.members():
        with contextlib.suppress(psutil.NoSuchProcess):
            if " ".join(process.cmdline()).strip() == f"airflow worker -- {task.uid}":
                return process
    return None


def wait_for(look: Callable[[], T | None], timeout_s: float = 120) -> T:
    """Look until there is something, and return it."""
    deadline = time.monotonic() + timeout_s
    while (found := look()) is None:
        assert time.monotonic() < deadline, "did not come about"
        time.sleep(0.1)
    return found


def urls_in(client: Any, title: str) -> list[str]:
    """Return the object URL of each item of a dataset, sorted; twice what is there twice."""
    (dataset,) = client.get_datasets(title_eq=title)
    rows = client.get_dataset(dataset["dataset"].dataset_hash).list_data_rows()
    return sorted(row.file_link for row in rows)


def all_logs(bench: Bench, run: DagRun, task_id: str) -> str:
    """Return the logs of every try of a task, as they lie on disk."""
    folder = bench.stack.places.airflow_home / "logs" / f"dag_id={run.dag_id}" / f"run_id={run.run_id}"
    return "\n".join(path.read_text() for path in sorted((folder / f"task_id={task_id}").rglob("*.log")))
