"""A manifest that a person gives: from the REST API, as the form sends it, to what the dataset holds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from demo.airflow_api import AirflowApiError, DagRun, TaskState
from demo.content import BUCKET
from tests.e2e.conftest import Bench, tiny_png
from tests.e2e.test_sync import csv_rows

KEYS = [f"uploads/{number}.png" for number in range(6)]


@pytest.fixture(scope="module")
def manifests(bench: Bench) -> Path:
    """The folder of manifests; the objects that they name are in the bucket."""
    for key in KEYS:
        bench.stack.s3().put_object(Bucket=BUCKET, Key=key, Body=tiny_png())
    return bench.stack.places.manifests


def dataset(bench: Bench) -> list[str]:
    """Return the object URL of each item of the dataset, sorted; of a group, which has none, its title."""
    (found,) = bench.stack.encord().get_datasets(title_eq="Uploads")
    rows = bench.stack.encord().get_dataset(found["dataset"].dataset_hash).list_data_rows()
    return sorted(row.file_link or row.title for row in rows)


def states(bench: Bench, run: DagRun) -> dict[str, set[TaskState]]:
    """Return the states of each task."""
    return {name: {task.state for task in tasks} for name, tasks in bench.tasks(run).items()}


def images(bench: Bench, *keys: str) -> str:
    """Return a manifest of images as JSON."""
    return json.dumps({"images": [{"objectUrl": bench.url(key)} for key in keys]})


def test_a_dry_run_sends_nothing(bench: Bench, manifests: Path) -> None:
    run = bench.upload(manifest_text=images(bench, *KEYS[:2]), dry_run=True)
    assert run.state == "success"
    assert states(bench, run) == {
        "check": {"success"},
        "build": {"skipped"},
        "register": {"skipped"},
        "settle": {"skipped"},
    }
    assert "2 items, 2 files; to be sent as 1 manifest" in bench.log(run, "check")
    assert not list(bench.run_folder(run).glob("manifests/*"))
    assert bench.stack.api.asset_event_extras(run) == []
    assert dataset(bench) == []


def test_an_error_ends_it_at_once_and_nothing_is_sent(bench: Bench, manifests: Path) -> None:
    run = bench.upload(manifest_text=images(bench, KEYS[0]).replace("0.png", "0 1.png"))
    assert run.state == "failed"
    [check] = bench.tasks(run)["check"]
    assert (check.state, check.try_number) == ("failed", 1)
    assert states(bench, run)["settle"] == states(bench, run)["build"] == {"upstream_failed"}
    lines = bench.log(run, "check").splitlines()
    last = next(line for line in reversed(lines) if "Task failed with exception" in line)
    for part in ("images[0]", "[url-whitespace]", "Nothing was sent", "0%201.png"):
        assert part in last
    folder = bench.run_folder(run)
    assert json.loads((folder / "findings.json").read_bytes())["counts"]["error"] == 1
    assert json.loads((folder / "report.json").read_bytes())["verdict"] == "failed"
    assert not list(folder.glob("jobs/*"))
    assert dataset(bench) == []


def test_pasted_json_becomes_items_of_the_dataset(bench: Bench, manifests: Path) -> None:
    text = images(bench, *KEYS[:2])
    run = bench.upload(manifest_text=text)
    assert run.state == "success"
    assert dataset(bench) == [bench.url(key) for key in KEYS[:2]]
    report = bench.report(run)
    assert (report.verdict, report.registered, report.manifests) == ("ok", 2, 1)
    [extra] = bench.stack.api.asset_event_extras(run)
    assert (extra["verdict"], extra["registered"]) == ("ok", 2)
    again = bench.upload(manifest_text=text)
    assert (bench.report(again).registered, bench.report(again).already_registered) == (0, 2)
    assert dataset(bench) == [bench.url(key) for key in KEYS[:2]]


def test_a_csv_by_its_path_and_what_failed(bench: Bench, manifests: Path) -> None:
    rows = [f"{bench.url(key)},{key}" for key in [*KEYS[2:4], "uploads/absent.png"]]
    (manifests / "week").mkdir()
    (manifests / "week" / "rows.csv").write_text("\n".join(["ObjectURL,Image title", *rows]))
    run = bench.upload(manifest_path="week/rows.csv")
    assert run.state == "success"
    assert dataset(bench) == [bench.url(key) for key in KEYS[:4]]
    assert (bench.report(run).verdict, bench.report(run).registered) == ("ok_with_quarantine", 2)
    [row] = csv_rows(bench.run_folder(run))
    assert (row["object_url"], row["failure_class"]) == (bench.url("uploads/absent.png"), "missing")
    assert row["remedy"] == "Correct its URL, or upload the object."


def test_a_group_is_one_item(bench: Bench, manifests: Path) -> None:
    files = {f"objectUrl_{number}": bench.url(key) for number, key in enumerate(KEYS[4:])}
    group = {"title": "Two frames", "createVideo": False, **files}
    (manifests / "group.json").write_text(json.dumps({"image_groups": [group]}))
    run = bench.upload(manifest_path="group.json")
    assert run.state == "success"
    assert dataset(bench) == ["Two frames", *(bench.url(key) for key in KEYS[:4])]


def test_what_leads_out_of_the_folder_or_is_no_integration_is_refused(bench: Bench, manifests: Path) -> None:
    run = bench.upload(manifest_path="../../secrets/airflow-passwords.json")
    assert run.state == "failed"
    assert f"leads out of the folder of manifests, {manifests}." in bench.log(run, "check")
    with pytest.raises(AirflowApiError, match="status 400"):
        bench.upload(integration="absent", manifest_text="{}")


def test_the_next_sync_registers_nothing_twice(bench: Bench, manifests: Path) -> None:
    run = bench.run("uploads")
    assert run.state == "success"
    assert (bench.report(run).registered, bench.report(run).already_registered) == (2, 4)
    assert dataset(bench) == ["Two frames", *(bench.url(key) for key in KEYS)]
