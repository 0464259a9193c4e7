"""All stages with a state folder in a bucket: the same as on a disk, by URLs."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pyarrow.parquet as pq
import pytest
from airflow.sdk.exceptions import AirflowSkipException
from obstore.store import MemoryStore

from cloud_sync.errors import CloudSyncError, ConfigError
from cloud_sync.failures.alert import run_alert
from cloud_sync.ledger import Ledger
from cloud_sync.registration.errors import EncordRefusedError
from cloud_sync.registration.pacing import SharedPace
from cloud_sync.run_folder import RunFolder
from cloud_sync.run_folder.address import parse_address
from cloud_sync.run_folder.stores import bucket_folder
from cloud_sync_airflow.hooks import state
from cloud_sync_airflow.hooks.encord import pace_file
from cloud_sync_airflow.operators.list import ListOperator
from tests.unit.cloud_sync_airflow.operators.house import Bucket, House
from tests.unit.cloud_sync_airflow.operators.test_retry_failures_stages import Retry
from tests.unit.cloud_sync_airflow.operators.test_upload_stages import Upload, images
from tests.unit.dicom_files import dicom_file

STATE_URL = "s3://state/cloud-sync"


@pytest.fixture
def in_bucket(house, monkeypatch, tmp_path) -> RunFolder:
    """The state folder of the house, in a bucket."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("AIRFLOW__CLOUD_SYNC__STATE_FOLDER", STATE_URL)
    folder = bucket_folder(MemoryStore(), parse_address(STATE_URL, "here"))
    monkeypatch.setattr(state, "open_bucket_folder", lambda *_: folder)
    return folder


def run_of(folder: RunFolder, name: str, of: str = "cameras") -> RunFolder:
    runs = folder.below(f"runs/{of}")
    [found] = [one for one in runs.folders() if one.startswith(name)]
    return runs.below(found)


def states(folder: RunFolder) -> dict[str, str]:
    ledger = Ledger(folder.below("ledgers/cameras/dataset-1").files)
    rows = pq.read_table(ledger.current().path).to_pylist()
    return {row["key"].removeprefix("in/"): row["state"] for row in rows}


def test_two_nights(house, in_bucket, tmp_path):
    first = house.run("night 1")
    assert (first["registered"], first["failed"]) == (5, 1)
    second = house.run("night 2")
    assert second == {**first, "registered": 0, "already_registered": 5, "failed": 0}
    assert len(house.encord.sent) == 1
    assert list(tmp_path.rglob("*.parquet")) == [], "copies end with what they are of"


def test_people_are_told_the_url_of_the_failures(house, in_bucket):
    house.run("night 1")
    folder = run_of(in_bucket, "night_1")
    report = folder.read_json("report.json")
    address = f"{folder.address()}/failures.csv"
    assert address.startswith("s3://state/cloud-sync/runs/cameras/night_1-")
    assert report["files"]["failures_csv"] == address
    assert address in report["remedy"]
    assert run_alert(report, "https://airflow").failures_csv == address
    rows = csv.DictReader(io.StringIO(folder.read("failures.csv").decode("utf-8-sig")))
    assert [row["object_url"].rpartition("/")[2] for row in rows] == ["bad.jpg"]


def test_retry_rounds(house, in_bucket):
    house.encord.refuses = {"1.jpg": 1}
    result = house.run("night 1")
    assert (result["registered"], result["failed"]) == (5, 1)
    assert run_of(in_bucket, "night_1").names("retries/1/*") == [
        "retries/1/index.json",
        "retries/1/items.parquet",
    ]
    assert states(in_bucket) == {f"{n}.jpg": "registered" for n in range(5)} | {"bad.jpg": "quarantined"}


def test_a_run_that_is_cleared_lists_anew_and_sends_nothing_twice(house, in_bucket):
    house.run("night 1")
    house.bucket = Bucket({"in/new.jpg": house.bucket.contents.objects["in/1.jpg"]})
    assert house.run("night 1")["registered"] == 1
    folder = run_of(in_bucket, "night_1")
    assert [row["key"] for row in pq.read_table(folder.local("plan.parquet")).to_pylist()] == ["in/new.jpg"]
    assert len(folder.names("manifests/0*.json")) == 1
    assert len(folder.names("superseded/jobs/*.json")) == 1


def test_listed_failures_are_sent_again_by_the_run_that_had_them(house, in_bucket):
    house.options = {"retry": {"rounds": 0}, "title": "Picture {stem}"}
    house.encord.refuses = {"1.jpg": 1}
    house.run("night 1")
    assert states(in_bucket)["1.jpg"] == "failed"
    assert Retry(house, run_id="night 1").run()["registered"] == 1
    assert states(in_bucket)["1.jpg"] == "registered"
    assert "Picture 1" in house.encord.sent[-1].decode()


class TestGivenFiles:
    """What a person puts into the bucket beside the runs."""

    def test_a_manifest(self, house, in_bucket):
        in_bucket.write("manifests/week 12/cars.json", images("in/1.jpg").encode())
        for number, path in enumerate(("week 12/cars.json", f"{STATE_URL}/manifests/week 12/cars.json")):
            result = Upload(house, f"manual {number}", manifest_path=path).run()
            assert result["registered"] + result["already_registered"] == 1

    @pytest.mark.parametrize(
        ("path", "message"),
        [
            ("none.json", "is no file in the folder of manifests, s3://state/cloud-sync/manifests."),
            ("../ledgers/cameras/dataset-1/current.json", "leads out of the folder of manifests"),
            ("/etc/passwd", "leads out of the folder of manifests"),
            (".", "leads out of the folder of manifests"),
        ],
    )
    def test_no_manifest(self, house, in_bucket, path, message):
        house.run("night 1")
        with pytest.raises(CloudSyncError, match=message):
            Upload(house, manifest_path=path).run()

    def plan(self, house: House) -> None:
        with pytest.raises(AirflowSkipException):
            house.run("manual 1", mode="plan")

    def test_a_table(self, house, in_bucket):
        house.options = {"metadata": {"table": {"path": "t.csv"}}}
        address = f"metadata table {STATE_URL}/tables/t.csv"
        with pytest.raises(ConfigError, match=f"^{address}: is not there"):
            house.run("manual 1", mode="plan")
        in_bucket.write("tables/t.csv", b"name,x\nin/1.jpg,1\n")
        with pytest.raises(ConfigError, match=f"^{address}: has no column key"):
            house.run("manual 1", mode="plan")
        in_bucket.write("tables/t.csv", b"key,x\nin/1.jpg,1\n")
        self.plan(house)
        rows = pq.read_table(run_of(in_bucket, "manual_1").local("metadata.parquet")).to_pylist()
        assert [row["client_metadata"] for row in rows if row["item_key"] == "in/1.jpg"] == ['{"x":1}']

    def test_headers_of_dicom_files_are_read_once(self, house, in_bucket):
        house.options = {
            "groups": [{"type": "dicom_series", "by": "series_uid", "complete": {"quiet_for": "0s"}}]
        }
        house.bucket = Bucket({f"in/{n}.dcm": dicom_file(number=9 - n) for n in range(3)})
        self.plan(house)
        self.plan(house)
        assert len(house.bucket.contents.calls) == 3


def test_all_that_use_a_connection_keep_to_one_pace(in_bucket):
    one, other = SharedPace(pace_file("encord")), SharedPace(pace_file("encord"))
    assert other.wait_s() == 0
    one.refused(120)
    assert 100 < SharedPace(pace_file("encord")).wait_s() <= 120
    assert other.wait_s() == 0, "it has looked a moment ago"
    other.refused(240)
    assert 200 < SharedPace(pace_file("encord")).wait_s() <= 240
    assert json.loads(in_bucket.read("pace/encord.json"))["refusals"] == 2


def test_a_pace_that_cannot_be_kept_is_no_error(in_bucket, monkeypatch):
    def refuse(*_: Any) -> None:
        raise EncordRefusedError("no")

    file = pace_file("encord")
    monkeypatch.setattr(RunFolder, "read_tagged_json", refuse)
    pace = SharedPace(file)
    pace.refused(120)
    pace.answered()
    assert pace.wait_s() > 100


def test_an_unfit_store_is_refused_before_anything_is_listed(house, in_bucket, monkeypatch):
    def unfit(*_: Any) -> None:
        raise ConfigError("cannot be the state folder")

    monkeypatch.setattr(in_bucket.files._bucket, "check", unfit)
    with pytest.raises(ConfigError, match="cannot be the state folder"):
        ListOperator(task_id="list", **house.settings).execute(house.context("night 1"))
    assert in_bucket.names("*/*/*/*") == []
