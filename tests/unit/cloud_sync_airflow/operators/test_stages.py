"""The stages as tasks: one whole run after another in this process, and what must never leak from it."""

from __future__ import annotations

import csv
import json
import logging
import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import pyarrow.parquet as pq
import pytest
from airflow.sdk.exceptions import AirflowSkipException

from cloud_sync.errors import CloudSyncError, ConfigError, EncordError, FormError, StorageError
from cloud_sync.failures.alert import run_alert
from cloud_sync.failures.sendings import account
from cloud_sync.failures.verdict import RunFailed
from cloud_sync.ledger import Ledger
from cloud_sync.objects.errors import ObjectStoreError, from_botocore, from_obstore
from cloud_sync.objects.listing import list_objects
from cloud_sync.objects.model import read_listing
from cloud_sync.objects.shards import list_shard
from cloud_sync.run_folder import FileRef, RunFolder, safe_name
from cloud_sync_airflow.hooks.encord import EncordHook
from cloud_sync_airflow.operators.build import BuildOperator
from cloud_sync_airflow.operators.list import ListOperator, narrowed
from cloud_sync_airflow.operators.list_shard import ListShardOperator
from cloud_sync_airflow.operators.plan import PlanOperator
from cloud_sync_airflow.operators.register import RegisterOperator
from cloud_sync_airflow.operators.settle import SettleOperator
from tests.unit.cloud_sync_airflow.operators.house import (
    CANARIES,
    S3_SECRET,
    S3_TOKEN,
    SIGNATURE,
    SSH_KEY,
    Bucket,
    House,
    state_folder,
)
from tests.unit.dicom_files import dicom_file
from tests.unit.failures.fakes import JPEG


def files_of(house: House) -> Iterator[tuple[Path, bytes]]:
    for path in sorted(state_folder().rglob("*")):
        if path.is_file():
            yield path, path.read_bytes()


def test_two_nights(house):
    first = house.run("night 1")
    assert first == {
        "verdict": "ok_with_quarantine",
        "registered": 5,
        "already_registered": 0,
        "failed": 1,
        "waiting": 0,
    }
    assert len(house.encord.sent) == 1
    second = house.run("night 2")
    assert second == {**first, "registered": 0, "already_registered": 5, "failed": 0}
    assert len(house.encord.sent) == 1


def test_a_quiet_night_in_which_only_an_old_failure_fails_again_is_good(house):
    del house.bucket.contents.objects["in/bad.jpg"]
    house.options = {"retry": {"rounds": 0}}
    house.encord.refuses = {"1.jpg": 2}
    house.run("night 1")
    result = house.run("night 2")
    assert (result["verdict"], result["failed"]) == ("ok_with_quarantine", 1)
    [path] = (state_folder() / "runs" / "cameras").glob("night_2*/report.json")
    report = json.loads(path.read_bytes())
    assert report["why"].startswith("1 item failed, as in earlier runs, and 1 is quarantined")
    assert run_alert(report, "https://airflow") is None


def test_a_lost_ledger_sends_everything_and_registers_nothing_twice(house):
    import shutil

    house.run("night 1")
    items = dict(house.encord.items)
    shutil.rmtree(state_folder() / "ledgers")
    assert house.run("night 2") == {
        "verdict": "ok_with_quarantine",
        "registered": 0,
        "already_registered": 5,
        "failed": 1,
        "waiting": 0,
    }
    assert house.encord.items == items


def test_plan_only_sends_nothing(house):
    with pytest.raises(AirflowSkipException, match="the dataset is as it was"):
        house.run("manual 1", mode="plan")
    assert house.encord.calls == []
    [folder] = (state_folder() / "runs" / "cameras").iterdir()
    assert not (folder / "manifests").exists()
    report = json.loads((folder / "report.json").read_text())
    assert (report["verdict"], report["mode"], report["waiting"]) == ("ok", "plan", 0)


def test_a_run_whose_build_never_finished_is_failed(house, monkeypatch):
    def broken(self, context):
        raise AirflowSkipException

    monkeypatch.setattr(BuildOperator, "execute", broken)
    with pytest.raises(RunFailed, match="6 items were never answered for"):
        house.run("night 1")


def test_a_group_is_registered_once_and_never_again_when_it_grows(house):
    house.options = {"groups": [{"type": "image_group", "by": "folder", "complete": {"quiet_for": "0s"}}]}
    house.bucket = Bucket({f"in/{folder}/{n}.jpg": JPEG for folder in "ab" for n in (9, 10)})
    first = house.run("night 1")
    assert (first["verdict"], first["registered"], first["failed"]) == ("ok", 2, 0)
    [manifest] = house.encord.sent
    groups = json.loads(manifest)["image_groups"]
    assert [(group["title"], group["objectUrl_0"].rpartition("/")[2]) for group in groups] == [
        ("in/a", "9.jpg"),
        ("in/b", "9.jpg"),
    ]
    house.bucket = Bucket(
        {f"in/{folder}/{n}.jpg": JPEG for folder in "ab" for n in (9, 10)} | {"in/b/11.jpg": JPEG}
    )
    house.run("night 2")
    house.run("night 3", full_pass=True)
    assert [len(json.loads(each)["image_groups"]) for each in house.encord.sent] == [2, 1]
    [folder] = (state_folder() / "runs" / "cameras").glob("night_2*")
    reasons = {row["key"]: row["reason"] for row in pq.read_table(folder / "plan.parquet").to_pylist()}
    assert {key: reason for key, reason in reasons.items() if key.startswith("in/b/")} == dict.fromkeys(
        ("in/b/10.jpg", "in/b/11.jpg", "in/b/9.jpg"), "grown"
    )


def test_a_group_that_was_renamed_in_encord_is_no_failure_and_counts_once(house):
    import shutil

    house.options = {"groups": [{"type": "image_group", "by": "folder", "complete": {"quiet_for": "0s"}}]}
    house.bucket = Bucket({f"in/{folder}/{n}.jpg": JPEG for folder in "ab" for n in (9, 10)})
    house.run("night 1")
    for uuid, item in house.encord.items.items():
        house.encord.items[uuid] = replace(item, name=f"renamed by {item.name}")
    shutil.rmtree(state_folder() / "ledgers")
    for run_id in ("night 2", "night 3"):  # sent again, then known by the ledger
        result = house.run(run_id)
        assert (result["already_registered"], result["failed"]) == (2, 0)
    assert len(house.encord.sent) == 2


class TestPlanningSources:
    """What planning reads beside the listing, as the operator finds it."""

    SERIES: ClassVar = {
        "groups": [{"type": "dicom_series", "by": "series_uid", "complete": {"quiet_for": "0s"}}]
    }

    def plan(self, house: House, run_id: str = "manual 1", **params: Any) -> list[dict[str, Any]]:
        with pytest.raises(AirflowSkipException, match="the dataset is as it was"):
            house.run(run_id, mode="plan", **params)
        folder = state_folder() / "runs" / "cameras" / safe_name(run_id)
        return pq.read_table(folder / "plan.parquet").to_pylist()

    def test_headers_are_read_once_and_kept_beside_the_ledger(self, house):
        house.options = self.SERIES
        house.bucket = Bucket({f"in/{n}.dcm": dicom_file(number=9 - n) for n in range(3)})
        rows = self.plan(house)
        assert {row["key"]: row["position"] for row in rows} == {"in/0.dcm": 2, "in/1.dcm": 1, "in/2.dcm": 0}
        assert (state_folder() / "ledgers" / "cameras" / "dataset-1" / "dicom_headers.parquet").is_file()
        assert len(house.bucket.contents.calls) == 3
        assert self.plan(house, "manual 2") == rows
        assert len(house.bucket.contents.calls) == 3

    def test_a_narrower_prefix_holds_groups_that_it_may_cut(self, house):
        house.options = {"groups": [{"type": "image_group", "by": "folder", "complete": {"quiet_for": "0s"}}]}
        assert {row["reason"] for row in self.plan(house, prefix="in/1")} == {"incomplete"}
        rows = self.plan(house, "manual 2", prefix="in/")
        assert {row["reason"] for row in rows if row["item_key"]} == {"new"}

    @pytest.mark.parametrize("configured", [False, True])
    def test_tables_stand_in_the_state_folder_unless_configured(
        self, house, tmp_path, monkeypatch, configured
    ):
        folder = tmp_path / "elsewhere" if configured else state_folder() / "tables"
        if configured:
            monkeypatch.setenv("AIRFLOW__CLOUD_SYNC__TABLES_FOLDER", str(folder))
        house.options = {"metadata": {"table": {"path": "t.csv"}}}
        with pytest.raises(ConfigError, match="cannot be read"):
            house.run("manual 1", mode="plan")
        folder.mkdir(parents=True)
        (folder / "t.csv").write_text("key,x\nin/1.jpg,1\n")
        assert len(self.plan(house, "manual 2")) == 7

    def test_a_sidecar_goes_with_its_object(self, house):
        house.bucket = Bucket({"in/1.jpg": JPEG, "in/1.jpg.metadata.json": b'{"a": 1}'})
        house.options = {"metadata": {"sidecar": True}}
        assert house.run("night 1")["registered"] == 1
        [folder] = (state_folder() / "runs" / "cameras").iterdir()
        [row] = pq.read_table(folder / "metadata.parquet").to_pylist()
        assert row["client_metadata"] == '{"a":1}'


def test_a_full_pass_sends_what_is_known(house):
    house.run("night 1")
    assert house.run("manual 1", full_pass=True)["already_registered"] == 5
    assert len(house.encord.sent) == 2


def test_a_narrower_prefix_lists_less(house):
    assert house.run("manual 1", prefix="in/1")["registered"] == 1


@pytest.mark.parametrize(("narrower", "prefix"), [(None, "in/"), ("in/camz/", "in/camz/")])
def test_a_listing_of_nothing_is_said_with_what_to_check(house, caplog, monkeypatch, narrower, prefix):
    caplog.set_level(logging.INFO)
    for operator in (PlanOperator, SettleOperator):  # Airflow's own loggers are not those of pytest
        monkeypatch.setattr(operator, "log", logging.getLogger("task"))
    house.bucket = Bucket({"out/a.jpg": JPEG})
    assert house.run("night 1", prefix=narrower)["verdict"] == "ok"
    said = f"othing was listed: the bucket media holds no objects whose keys begin with {prefix!r}. Check"
    [warning] = [record.getMessage() for record in caplog.records if record.module == "plan"][-1:]
    assert warning.startswith(f"N{said}")
    assert warning.endswith("and where the connection aws_cameras leads (account, endpoint, region).")
    assert f"ok: n{said}" in caplog.text


def test_the_run_keeps_the_settings_it_began_with(house):
    context = house.context("night 1")
    listing = ListOperator(task_id="list", **house.settings).execute(context)
    house.options = {"select": {"exclude": ["*"]}, "name": "cameras"}
    plan = PlanOperator(task_id="plan", listing=listing, **house.settings).execute(context)
    assert plan["counts"]["to_register"] == 6


def test_a_listing_that_changed_meanwhile_is_refused(house):
    context = house.context("night 1")
    listing = ListOperator(task_id="list", **house.settings).execute(context)
    listing = {**listing, "sha256": "0" * 64}
    with pytest.raises(StorageError, match="has changed since the task before wrote it"):
        PlanOperator(task_id="plan", listing=listing, **house.settings).execute(context)


class TestShards:
    """The listing as several tasks."""

    CONTENTS: ClassVar = {f"in/camera-{camera}/{n}.jpg": JPEG for camera in range(9) for n in range(3)}

    def sharded(self, house: House) -> House:
        house.listing_shards = 3
        house.bucket = Bucket(self.CONTENTS)
        house.bucket.page_size = 1  # so small that the survey does not read the whole bucket
        return house

    def test_a_run_is_as_with_one_task(self, house):
        assert self.sharded(house).run("night 1")["registered"] == 27
        assert house.run("night 2")["already_registered"] == 27
        [folder] = (state_folder() / "runs" / "cameras").glob("night_1*")
        assert len(list(folder.glob("listing/*/index.json"))) == 3

    def test_a_shard_of_which_nothing_is_known_ends_the_run(self, house):
        context = self.sharded(house).context("night 1")
        listing = house.list(context)
        with pytest.raises(StorageError, match="the listing is not whole"):
            PlanOperator(task_id="plan", listing=listing[:-1], **house.settings).execute(context)

    def test_the_label_says_which_folders_a_task_has_listed(self, house):
        context = self.sharded(house).context("night 1")
        house.list(context)
        task = ListShardOperator(task_id="list", shard=0, **house.settings)
        assert task.label == "shard 0"
        task.execute(context)
        assert task.label == "0: in/camera-0/ to in/camera-2/"

    def test_xcoms_stay_under_a_kilobyte(self, house):
        house.bucket = Bucket({f"in/{n:04}-{'x' * 200}/1.jpg": JPEG for n in range(1600)})
        house.listing_shards = 200
        house.list(house.context("night 1"))
        assert house.xcoms[0] == list(range(200))
        assert max(len(json.dumps(value)) for value in house.xcoms) < 1024


@pytest.mark.parametrize("shards", [1, 3])
class TestTries:
    """What the next try of a list task takes over from the one before."""

    @pytest.fixture
    def died(self, house, monkeypatch, shards):
        """A run of which a task died that had listed a part, and what came into the bucket since."""
        monkeypatch.setattr("cloud_sync.objects.spans.LOOSE_PAGES", 1)
        for function in (list_objects, list_shard):
            monkeypatch.setitem(function.__kwdefaults__, "part_rows", 4)
        house.listing_shards = shards
        contents = {f"in/camera-{camera}/{n}.jpg": JPEG for camera in range(3) for n in range(9)}
        house.bucket = Bucket(contents)
        house.bucket.page_size = 3
        house.bucket.failures, house.bucket.down_after = [ObjectStoreError("no.", reason="forbidden")], 2
        with pytest.raises(ObjectStoreError):
            house.list(house.context("night 1"))
        house.bucket = Bucket({"in/camera-0/!new.jpg": JPEG} | contents)
        return house

    def keys(self, house: House, **dag_run: Any) -> list[str]:
        context = house.context("night 1")
        vars(context["dag_run"]).update(dag_run)
        if house.listing_shards == 1 or dag_run:
            listing = house.list(context)
        else:  # the survey is done
            listing = [house.list_shard(context, shard) for shard in range(3)]
        indexes = [listing] if house.listing_shards == 1 else listing
        [folder] = (state_folder() / "runs" / "cameras").iterdir()
        refs = map(FileRef.from_json, indexes)
        parts = read_listing(RunFolder(folder), *refs).parts
        return [key for part in parts for key in pq.read_table(part)["key"].to_pylist()]

    def test_a_try_goes_on_with_what_is_listed(self, died):
        keys = self.keys(died)
        assert keys == sorted(keys)
        assert len(keys) == 27
        assert "in/camera-0/!new.jpg" not in keys

    def test_a_run_that_a_person_cleared_sees_what_has_come_since(self, died):
        keys = self.keys(died, clear_number=1)
        assert keys == sorted(keys)
        assert keys[0] == "in/camera-0/!new.jpg"
        assert len(keys) == 28

    def test_a_run_that_was_made_again_under_its_name_lists_anew(self, died):
        assert len(self.keys(died, start_date=datetime(2026, 11, 23, 2, tzinfo=UTC))) == 28


@pytest.mark.parametrize("change", [{"bucket": "another"}, {"connection_id": "aws_other"}])
def test_a_try_with_another_bucket_in_the_settings_lists_anew(house, monkeypatch, change):
    monkeypatch.setenv("AIRFLOW_CONN_AWS_OTHER", os.environ["AIRFLOW_CONN_AWS_CAMERAS"])
    monkeypatch.setattr("cloud_sync.objects.spans.LOOSE_PAGES", 1)
    monkeypatch.setitem(list_objects.__kwdefaults__, "part_rows", 4)
    house.bucket = Bucket({f"in/{n}.jpg": JPEG for n in range(9)})
    house.bucket.page_size = 3
    house.bucket.failures, house.bucket.down_after = [ObjectStoreError("no.", reason="forbidden")], 2
    context = house.context("night 1")
    with pytest.raises(ObjectStoreError):
        house.list(context)
    house.bucket = Bucket({f"in/{n}.jpg": JPEG for n in range(8, 12)})
    house.storage = change
    assert house.list(context)["counts"]["objects"] == 4


def test_when_everything_fails_the_run_fails_after_its_report_is_written(house):
    house.bucket = Bucket({"in/bad.jpg": b""})
    with pytest.raises(RunFailed, match="the only item that was sent failed"):
        house.run("night 1")
    [folder] = (state_folder() / "runs" / "cameras").iterdir()
    assert json.loads((folder / "report.json").read_bytes())["verdict"] == "failed"


def failures_of(house: House) -> list[dict[str, str]]:
    [path] = (state_folder() / "runs" / "cameras").glob("*/failures.csv")
    return list(csv.DictReader(path.read_text().splitlines()))


def test_when_a_register_task_dies_what_is_known_by_then_is_written(house, monkeypatch):
    house.options = {"upload": {"items_per_manifest": 3, "jobs_in_flight": 2}}
    execute, done = RegisterOperator.execute, []

    def dies_on_the_second(self, context):
        done.append(self)
        return None if len(done) > 1 else execute(self, context)

    monkeypatch.setattr(RegisterOperator, "execute", dies_on_the_second)
    house.bucket = Bucket({"in/0-bad.jpg": b""} | {f"in/{n}.jpg": JPEG for n in range(1, 6)})
    with pytest.raises(RunFailed, match="3 items were never answered for") as caught:
        house.run("night 1")
    assert "Look at the failed tasks of this run" in str(caught.value)
    [row] = failures_of(house)
    assert (row["title"], row["failure_class"]) == ("0-bad.jpg", "corrupt")
    [report] = (state_folder() / "runs" / "cameras").glob("*/report.json")
    assert json.loads(report.read_bytes())["waiting"] == 3


def test_when_settle_cannot_ask_encord_the_failures_that_it_named_are_written(house, monkeypatch):
    house.bucket = Bucket({"in/0-bad.jpg": b"", "in/1.jpg": JPEG})

    calls = []

    def unreachable_at_first(*args, **kwargs):
        calls.append(args)
        if len(calls) == 1:
            raise EncordError("does not answer.", transient=True)
        return account(*args, **kwargs)

    monkeypatch.setattr("cloud_sync.failures.settle.account", unreachable_at_first)
    with pytest.raises(EncordError, match="does not answer"):
        house.run("night 1")
    [row] = failures_of(house)
    assert (row["title"], row["failure_class"], row["attempts"]) == ("0-bad.jpg", "corrupt", "1")


@pytest.mark.parametrize("killed_in", ["write_failures", "make_report"])
def test_a_settle_that_is_killed_and_tried_again_writes_the_same(house, monkeypatch, killed_in):
    from cloud_sync.failures import failure_csv, report

    module = failure_csv if killed_in == "write_failures" else report
    whole = getattr(module, killed_in)
    monkeypatch.setattr(module, killed_in, lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        house.run("night 1")
    [ledger] = (state_folder() / "ledgers" / "cameras").iterdir()
    first = Ledger(ledger).current()
    monkeypatch.setattr(module, killed_in, whole)
    result = house.run("night 1")
    assert (result["registered"], result["failed"]) == (5, 1)
    [row] = failures_of(house)
    assert (row["title"], row["failure_class"], row["attempts"]) == ("bad.jpg", "corrupt", "1")
    assert Ledger(ledger).current() == first


def test_what_is_quarantined_is_not_sent_until_it_is_released(house):
    house.run("night 1")
    house.run("night 2")
    assert len(house.encord.sent) == 1
    [path] = (state_folder() / "ledgers" / "cameras").iterdir()
    ledger = Ledger(path)
    assert [one.key for one in ledger.quarantined()] == ["in/bad.jpg"]
    assert ledger.release(classes=["corrupt"]) == 1
    assert house.run("night 3")["failed"] == 1
    assert len(house.encord.sent) == 2
    [one] = ledger.quarantined()
    assert one.attempts == 2


class TestPrefix:
    @pytest.mark.parametrize(
        ("prefix", "narrower", "listed"),
        [("in/", None, "in/"), ("in/", "in/a", "in/a"), ("", "x", "x"), ("in/", "in/", "in/")],
    )
    def test_inside(self, prefix, narrower, listed):
        assert narrowed(prefix, narrower) == listed

    @pytest.mark.parametrize(
        ("name", "remedy"),
        [
            ("fullpass", "Did you mean full_pass?"),
            ("verbose", "Its fields are mode, prefix and full_pass."),
        ],
    )
    def test_a_name_that_is_no_field_does_nothing(self, house, name, remedy):
        with pytest.raises(FormError) as caught:
            house.run("manual 1", **{name: True})
        assert str(caught.value) == (
            f"what was given with the run: the form has no field {name!r}. Nothing was done. {remedy} "
            "Trigger a new run."
        )
        assert not house.encord.sent

    @pytest.mark.parametrize("narrower", ["out/", "i", "IN/a", "/in/"])
    def test_outside(self, house, narrower):
        with pytest.raises(FormError) as caught:
            house.run("manual 1", prefix=narrower)
        assert str(caught.value) == (
            f"the form's field Narrower prefix: the prefix {narrower!r} lies outside the integration's "
            "prefix 'in/'. Begin it with 'in/', or leave it empty."
        )


def test_xcoms_stay_under_a_kilobyte(house):
    house.bucket = Bucket({f"in/{n:03}-{'x' * 200}.jpg": JPEG for n in range(70)})
    house.options = {"name": "n" * 100, "upload": {"items_per_manifest": 1, "jobs_in_flight": 64}}
    house.run("scheduled__2026-11-22T02:00:00+00:00" + "x" * 200)
    assert max(len(value) for value in house.xcoms if isinstance(value, list)) == 64
    assert max(len(json.dumps(value)) for value in house.xcoms) < 1024


class TestSecrets:
    def test_none_is_in_files_xcoms_logs_or_rendered_fields(self, house, caplog, capfd):
        caplog.set_level(logging.DEBUG)
        house.run("night 1")
        house.run("night 2", full_pass=True)
        found = [path for path, data in files_of(house) for canary in CANARIES if canary.encode() in data]
        assert found == []
        rendered = [
            str(getattr(operator, name))
            for operator in (
                PlanOperator(task_id="plan", listing=house.xcoms[0], **house.settings),
                BuildOperator(task_id="build", plan=house.xcoms[1], **house.settings),
            )
            for name in operator.template_fields
        ]
        told = [caplog.text, *capfd.readouterr(), json.dumps(house.xcoms), *rendered]
        assert [canary for canary in CANARIES if any(canary in text for text in told)] == []
        assert sum(1 for _ in files_of(house)) > 20

    @pytest.mark.parametrize(
        "refusal",
        [
            from_obstore(
                RuntimeError(
                    f"GET https://media.s3/in/?X-Amz-Signature={SIGNATURE}&X-Amz-Security-Token={S3_TOKEN}"
                ),
                "bucket b",
            ),
            from_botocore(ValueError(f"bad secret {S3_SECRET}"), "bucket b"),
        ],
    )
    def test_none_is_in_a_refusal_of_the_store(self, house, caplog, refusal):
        caplog.set_level(logging.DEBUG)
        house.bucket.refusal = refusal
        with pytest.raises(CloudSyncError) as caught:
            house.run("night 1")
        told = f"{caught.value!s} {caught.value!r} {caught.value.__cause__!r} {caplog.text}"
        assert [canary for canary in CANARIES if canary in told] == []

    @pytest.mark.parametrize(
        "password", [SSH_KEY.replace("OPENSSH", "RSA"), SSH_KEY[:200], f"ssh-rsa {S3_SECRET}", ""]
    )
    def test_none_is_in_the_refusal_of_a_wrong_key(self, house, monkeypatch, caplog, password):
        caplog.set_level(logging.DEBUG)
        monkeypatch.undo()
        monkeypatch.setenv("AIRFLOW__CLOUD_SYNC__STATE_FOLDER", str(state_folder()))
        wrong = json.dumps({"conn_type": "encord", "password": password})
        monkeypatch.setenv("AIRFLOW_CONN_ENCORD_CAMERAS", wrong)
        with pytest.raises(ConfigError) as caught:
            EncordHook("encord_cameras").get_conn()
        told = f"{caught.value!s} {caught.value!r} {caught.value.__context__!r} {caplog.text}"
        assert not caught.value.transient
        assert [canary for canary in CANARIES if canary in told] == []
