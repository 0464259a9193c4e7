"""The demo's sync with its state folder in a bucket: nothing of it is on the disk of this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from cloud_sync.run_folder import RunFolder, safe_name
from cloud_sync.run_folder.address import parse_address
from cloud_sync.run_folder.stores import bucket_folder, s3_store
from demo.airflow_api import DagRun
from demo.places import load_secrets
from demo.servers import s3_url
from demo.settings import Settings
from demo.stack import Stack, running_stack
from tests.e2e.conftest import RUN_TIMEOUT_S

STATE_URL = "s3://state/e2e"


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where Airflow's processes have their temporary files."""
    return tmp_path_factory.mktemp("copies")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, copies: Path) -> Iterator[Stack]:
    """A stack of its own, with its state folder in its own store."""
    environment = {
        "AIRFLOW__CLOUD_SYNC__STATE_FOLDER": STATE_URL,
        "AIRFLOW__CLOUD_SYNC__STATE_CONNECTION_ID": "demo_s3",
        "TMPDIR": str(copies),
    }
    root = tmp_path_factory.mktemp("bucket")
    with running_stack(root, Settings.on_free_ports(), extra_environment=environment) as stack:
        stack.s3().create_bucket(Bucket="state")
        yield stack


@pytest.fixture(scope="module")
def runs(stack: Stack) -> list[DagRun]:
    """Two runs of the demo, one after the other."""
    return [run(stack), run(stack)]


def run(stack: Stack) -> DagRun:
    started = stack.api.trigger("sync__demo")
    stack.api.unpause("sync__demo")
    return stack.api.wait_for_run(started, RUN_TIMEOUT_S, each_poll=lambda _: stack.check())


def state_folder(stack: Stack) -> RunFolder:
    secrets = load_secrets(stack.places.secrets)
    session = boto3.Session(secrets.s3_access_key_id, secrets.s3_secret_access_key)
    address = parse_address(STATE_URL, "the test")
    return bucket_folder(
        s3_store(address.bucket, session=session, endpoint_url=s3_url(stack.settings)), address
    )


def report(stack: Stack, of: DagRun) -> dict[str, Any]:
    folder = state_folder(stack).below(f"runs/demo/{safe_name(of.run_id)}")
    report: dict[str, Any] = folder.read_json("report.json")
    return report


def test_the_report_is_that_of_a_run_on_a_disk(stack: Stack, runs: list[DagRun]) -> None:
    content, found = stack.content, report(stack, runs[0])
    assert runs[0].state == "success"
    assert (found["verdict"], found["registered"]) == ("ok_with_quarantine", len(content.good))
    assert (found["failed"], found["already_registered"]) == (len(content.bad), 0)
    assert found["listed"]["objects"] == len(content.listed)
    assert len(stack.dataset_items()) == len(content.good)


def test_a_second_run_registers_nothing(stack: Stack, runs: list[DagRun]) -> None:
    found = report(stack, runs[1])
    assert runs[1].state == "success"
    assert (found["registered"], found["manifests"]) == (0, 0)
    assert found["already_registered"] == len(stack.content.good)
    assert len(stack.dataset_items()) == len(stack.content.good)


def test_the_log_names_the_url_of_the_failures(stack: Stack, runs: list[DagRun]) -> None:
    [settle] = [task for task in stack.api.task_instances(runs[0]) if task.task_id == "settle"]
    address = f"{STATE_URL}/runs/demo/{safe_name(runs[0].run_id)}/failures.csv"
    assert address in "\n".join(stack.api.log(runs[0], settle))
    assert report(stack, runs[0])["files"]["failures_csv"] == address


def test_nothing_stays_on_this_machine(stack: Stack, runs: list[DagRun], copies: Path) -> None:
    assert [path for path in stack.places.state.rglob("*") if path.is_file()] == []
    assert list(copies.glob("cloud-sync-state-*")) == []
