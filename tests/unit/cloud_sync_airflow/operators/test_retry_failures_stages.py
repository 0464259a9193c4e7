"""A retry of listed failures from the form to the report: one whole run after another in this process."""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest
from airflow.sdk import AssetAlias
from airflow.sdk.exceptions import AirflowSkipException

from cloud_sync.errors import ConfigError, FormError
from cloud_sync.failures.verdict import RunFailed
from cloud_sync.ledger import Ledger
from cloud_sync.objects.errors import ObjectStoreError
from cloud_sync.objects.urls import ObjectUrls, UrlStyle
from cloud_sync_airflow.hooks.object_store import ObjectStoreHook
from cloud_sync_airflow.operators.build import BuildOperator
from cloud_sync_airflow.operators.choose import ChooseOperator
from cloud_sync_airflow.operators.register import RegisterOperator
from cloud_sync_airflow.operators.settle import SettleOperator
from cloud_sync_airflow.operators.settle_retried import SettleRetriedOperator
from cloud_sync_airflow.retry_params import retry_params
from tests.unit.cloud_sync_airflow.operators.house import Bucket, House, state_folder
from tests.unit.cloud_sync_airflow.operators.test_upload_stages import Told, Upload
from tests.unit.failures.fakes import JPEG

FORM = {name: param.value for name, param in retry_params({}, "").items()}
ALIAS = AssetAlias("datasets")
RUNS = "_retries"
B = "https://media.s3.eu-central-1.amazonaws.com/"


class Retry:
    """One run of `retry_failures` in the house."""

    def __init__(self, house: House, named: str = "manual 1", **form: Any) -> None:
        self.house = house
        self.events: Any = defaultdict(Told)
        self.context = {
            **house.context(named),
            "dag": SimpleNamespace(params=FORM),
            "params": FORM | {"integration": "cameras"} | form,
            "outlet_events": self.events,
        }
        self.context["dag_run"].conf = {"integration": "cameras"} | form
        self.context["dag_run"].dag_id = "retry_failures"

    @property
    def folder(self) -> Path:
        [folder] = (state_folder() / "runs" / RUNS).glob(f"*{self.context['dag_run'].run_id[-1]}-*")
        return folder

    def run(self) -> dict[str, Any]:
        """Run all stages; returns what settle returned."""
        integrations = {"cameras": self.house.settings["integration"]}
        choose = ChooseOperator(task_id="choose", integrations=integrations)
        plan = self.house.keep(choose.execute(self.context))
        try:
            shards = BuildOperator(task_id="build", plan=plan, runs=RUNS).execute(self.context)
        except AirflowSkipException:
            shards = []
        for shard in shards:
            RegisterOperator(task_id="register", shard=shard, hold_s=0, runs=RUNS).execute(self.context)
        settle = SettleRetriedOperator(task_id="settle", outlets=[ALIAS], runs=RUNS)
        return self.house.keep(settle.execute(self.context))

    def json(self, name: str) -> Any:
        return json.loads((self.folder / name).read_text())


@pytest.fixture
def listed(monkeypatch, tmp_path):
    """Write a file into the folder of manifests and return its name."""
    monkeypatch.setenv("AIRFLOW__CLOUD_SYNC__MANIFESTS_FOLDER", str(tmp_path / "lists"))
    (tmp_path / "lists").mkdir()

    def listed(text: str) -> str:
        (tmp_path / "lists" / "list.csv").write_text(text)
        return "list.csv"

    return listed


@pytest.fixture
def said(monkeypatch) -> list[str]:
    """What the log of choose says."""
    lines: list[str] = []
    log = SimpleNamespace(info=lambda text, *of: lines.append(text % of), warning=lambda *_: None)
    monkeypatch.setattr(ChooseOperator, "log", log)
    return lines


@pytest.fixture
def night(house) -> House:
    """A night after which 1.jpg has failed for a passing reason, and bad.jpg is quarantined."""
    house.options = {"retry": {"rounds": 0}, "title": "Picture {stem}"}
    house.encord.refuses = {"1.jpg": 1}
    house.run("night 1")
    return house


def states() -> dict[str, tuple[str, int]]:
    folder = state_folder() / "ledgers" / "cameras" / "dataset-1"
    file = json.loads((folder / "current.json").read_text())["file"]
    rows = pq.read_table(folder / file).to_pylist()
    return {row["key"].removeprefix("in/"): (row["state"], row["attempts"]) for row in rows}


def sent_last(house: House) -> Any:
    return json.loads(house.encord.sent[-1])["images"]


def test_the_failures_of_a_run_are_registered_and_the_next_night_knows(night, said):
    retry = Retry(night, "manual 1", run_id="night 1")
    result = retry.run()
    assert "failures.csv of run night 1: 2 rows; 1 item is sent again" in said
    assert (result["verdict"], result["registered"], result["failed"]) == ("ok", 1, 0)
    assert sent_last(night) == [{"objectUrl": f"{B}in/1.jpg", "title": "Picture 1"}]
    assert states()["1.jpg"] == ("registered", 2)
    assert states()["bad.jpg"] == ("quarantined", 1)
    assert retry.json("report.json")["retried"] == {
        "list": "failures.csv of run night 1",
        "rows": 2,
        "items": 1,
        "files": 1,
        "left_out": {"class_not_chosen": {"files": 1, "examples": ["in/bad.jpg"]}},
    }
    sent = len(night.encord.sent)
    assert night.run("night 2")["registered"] == 0
    assert len(night.encord.sent) == sent


def test_who_follows_the_dataset_is_told(night):
    retry = Retry(night, run_id="night 1")
    retry.run()
    [(asset, extra)] = retry.events[ALIAS]
    assert (asset.name, extra["registered"]) == ("encord dataset encord_cameras/Cameras", 1)


def test_quarantined_files_are_left_out_unless_they_are_released(night):
    form = {"run_id": "night 1", "failure_classes": ["corrupt"]}
    first = Retry(night, **form)
    assert first.run()["verdict"] == "ok_with_quarantine"
    assert first.json("report.json")["why"].startswith("nothing was sent: 1 file is quarantined")
    assert first.json("retried.json")["left_out"] == {
        "quarantined": {"files": 1, "examples": ["in/bad.jpg"]},
        "class_not_chosen": {"files": 1, "examples": ["in/1.jpg"]},
    }
    assert len(night.encord.sent) == 1
    night.bucket = Bucket({**night.bucket.contents.objects, "in/bad.jpg": JPEG})
    second = Retry(night, "manual 2", **form, release_quarantine=True)
    with pytest.raises(RunFailed, match="the only item that was sent failed"):
        second.run()  # this Encord refuses whatever is called bad
    [row] = [json.loads(line) for line in (second.folder / "failures.jsonl").read_text().splitlines()]
    assert (row["failure_class"], row["run_id"]) == ("transient", "manual 2")
    assert states()["bad.jpg"] == ("failed", 1), "its content has changed, so that it begins anew"


def test_what_was_registered_since_is_left_out(night):
    night.run("night 2")
    retry = Retry(night, run_id="night 1")
    assert retry.run()["registered"] == 0
    assert retry.json("retried.json")["left_out"]["registered"] == {"files": 1, "examples": ["in/1.jpg"]}
    assert retry.json("report.json")["verdict"] == "ok"


def test_a_list_of_urls_in_any_form_finds_what_was_sent(night, listed):
    path = listed("s3://media/in/1.jpg\n")
    assert Retry(night, failures_path=path).run()["registered"] == 1
    assert sent_last(night) == [{"objectUrl": f"{B}in/1.jpg", "title": "Picture 1"}]


def test_without_the_runs_folder_single_files_are_made_up_from_the_list(night, listed):
    [folder] = (state_folder() / "runs" / "cameras").iterdir()
    text = (folder / "failures.csv").read_text()
    shutil.rmtree(folder)
    assert Retry(night, failures_path=listed(text)).run()["registered"] == 1
    assert sent_last(night) == [{"objectUrl": f"{B}in/1.jpg", "title": "Picture 1"}]
    assert states()["1.jpg"] == ("registered", 2)


class TestRunFoldersThatAreGoneOrDamaged:
    """They are left out: what another folder or the list tells is sent."""

    @pytest.mark.parametrize("name", ["integration.json", "items.parquet"])
    def test_a_torn_file(self, night, listed, name):
        [run] = (state_folder() / "runs" / "cameras").iterdir()
        (run / name).write_bytes(b"{")
        text = f"object_url,failure_class,run_id\n{B}in/1.jpg,transient,night 1\n"
        Retry(night, failures_path=listed(text)).run()
        assert [one["objectUrl"] for one in sent_last(night)] == [f"{B}in/1.jpg"]

    def test_a_folder_that_vanishes_while_it_is_looked_at(self, night, listed, monkeypatch):
        stat = Path.stat

        def vanish(path, **options):
            found = stat(path, **options)
            if path.parent.name == "cameras" and path.parent.parent.name == "runs":
                shutil.rmtree(path)
            return found

        monkeypatch.setattr(Path, "stat", vanish)
        Retry(night, failures_path=listed(f"{B}in/1.jpg\n")).run()
        assert [one["objectUrl"] for one in sent_last(night)] == [f"{B}in/1.jpg"]


def test_what_nothing_is_known_of_has_the_type_of_its_extension_and_no_title(night, listed):
    retry = Retry(night, failures_path=listed(f"url\n{B}in/new.JPG\n{B}in/x.txt\n{B}in/1.dcm\n"))
    night.bucket.contents.objects["in/new.JPG"] = JPEG
    assert retry.run()["registered"] == 1
    assert sent_last(night) == [{"objectUrl": f"{B}in/new.JPG"}]
    assert retry.json("retried.json")["left_out"] == {
        "unknown_group": {"files": 1, "examples": ["in/1.dcm"]},
        "unknown_type": {"files": 1, "examples": ["in/x.txt"]},
    }


class TestWhatNoSyncCanRegister:
    def test_keys_that_are_not_in_the_bucket_are_left_out_and_not_quarantined(self, night, listed):
        retry = Retry(night, failures_path=listed(f"{B}in/1.jpg\n{B}in/nope.jpg\n"))
        assert retry.run()["registered"] == 1
        assert [one["objectUrl"] for one in sent_last(night)] == [f"{B}in/1.jpg"]
        left_out = retry.json("retried.json")["left_out"]
        assert left_out == {"not_in_bucket": {"files": 1, "examples": ["in/nope.jpg"]}}
        assert "nope.jpg" not in states()

    def test_keys_outside_of_the_prefix_are_left_out(self, night, listed):
        night.bucket.contents.objects["out/1.jpg"] = JPEG
        retry = Retry(night, failures_path=listed(f"{B}out/1.jpg\n"))
        assert retry.run()["registered"] == 0
        left_out = retry.json("retried.json")["left_out"]
        assert left_out == {"outside_prefix": {"files": 1, "examples": ["out/1.jpg"]}}

    def test_a_bucket_that_is_gone_is_an_error(self, night, listed):
        night.bucket.refusal = ObjectStoreError("the bucket does not exist.", reason="no_bucket")
        with pytest.raises(ObjectStoreError, match="the bucket does not exist"):
            Retry(night, failures_path=listed(f"{B}in/nope.jpg\n")).run()


def test_a_row_of_a_group_stands_for_the_whole_group(house, listed):
    house.options = {
        "groups": [{"type": "image_group", "by": "folder", "complete": {"quiet_for": "0s"}}],
        "retry": {"rounds": 0},
        "failures": {"fail_at_share": "100%"},
    }
    house.bucket = Bucket({f"in/{folder}/{n}.jpg": JPEG for folder in "ab" for n in (9, 10)})
    house.encord.refuses = {"a/9.jpg": 1}
    house.run("night 1")
    assert Retry(house, failures_path=listed(f"{B}in/a/10.jpg\n")).run()["registered"] == 1
    [group] = json.loads(house.encord.sent[-1])["image_groups"]
    assert (group["title"], group["objectUrl_0"], group["objectUrl_1"]) == (
        "in/a",
        f"{B}in/a/9.jpg",
        f"{B}in/a/10.jpg",
    )
    assert {state for state, _ in states().values()} == {"registered"}
    sent = len(house.encord.sent)
    house.run("night 2")
    assert len(house.encord.sent) == sent


def test_failures_of_an_upload_are_registered_as_the_sync_writes_them(night):
    night.options = {**night.options, "failures": {"fail_at_share": "100%"}}
    night.encord.refuses = {"out/a.jpg": 1}
    manifest = {
        "images": [{"objectUrl": "s3://media/out/a.jpg", "title": "A"}, {"objectUrl": f"{B}in/2.jpg"}]
    }
    Upload(night, run_id="upload 7", manifest_text=json.dumps(manifest)).run()
    assert Retry(night, run_id="upload 7").run()["registered"] == 1
    assert sent_last(night) == [{"objectUrl": f"{B}out/a.jpg", "title": "A"}]


def test_what_fails_again_stays_in_the_failure_csv_with_one_attempt_more(night):
    night.encord.refuses = {"1.jpg": 1}
    retry = Retry(night, run_id="night 1")
    with pytest.raises(RunFailed):
        retry.run()
    [row] = [json.loads(line) for line in (retry.folder / "failures.jsonl").read_text().splitlines()]
    assert (row["attempts"], row["failure_class"]) == (2, "transient")
    assert states()["1.jpg"] == ("failed", 2)
    again = Retry(night, "manual 2", run_id="manual 1")
    assert again.run()["registered"] == 1


def test_a_sync_that_settles_again_afterwards_takes_nothing_back(night):
    Retry(night, "night 1", run_id="night 1").run()
    SettleOperator(task_id="settle", **night.settings).execute(night.context("night 1"))
    assert states()["1.jpg"] == ("registered", 2)


class TestClearedRetries:
    @pytest.fixture
    def cleared(self, house) -> Retry:
        """A retry that registered 0.jpg and 1.jpg, and 2.jpg when it was cleared."""
        house.options = {"retry": {"rounds": 0}, "failures": {"fail_at_share": "100%"}}
        house.encord.refuses = {"0.jpg": 1, "1.jpg": 1, "2.jpg": 2}
        house.run("night 1")
        Retry(house, run_id="night 1").run()
        assert states()["2.jpg"] == ("failed", 2)
        retry = Retry(house, run_id="night 1")
        assert retry.run()["registered"] == 1
        return retry

    def test_what_the_first_try_registered_stays_registered(self, cleared):
        assert [item["objectUrl"] for item in sent_last(cleared.house)] == [f"{B}in/2.jpg"]
        assert {key: states()[key] for key in ("0.jpg", "1.jpg", "2.jpg")} == {
            "0.jpg": ("registered", 2),
            "1.jpg": ("registered", 2),
            "2.jpg": ("registered", 3),
        }

    def test_settling_once_more_changes_nothing(self, cleared):
        before = states()
        SettleRetriedOperator(task_id="settle", outlets=[ALIAS], runs=RUNS).execute(cleared.context)
        assert states() == before

    def test_a_release_in_between_stays_in_force(self, night):
        Retry(night, run_id="night 1").run()
        folder = state_folder() / "ledgers" / "cameras" / "dataset-1"
        assert Ledger(folder).release(everything=True) == 1
        Retry(night, run_id="night 1").run()
        assert states()["bad.jpg"] == ("failed", 1)
        assert states()["1.jpg"] == ("registered", 2)


def test_a_dry_run_sends_nothing_and_says_what_would_be_sent(night, said):
    retry = Retry(night, run_id="night 1", dry_run=True)
    with pytest.raises(AirflowSkipException):
        retry.run()
    assert len(night.encord.sent) == 1
    report = retry.json("report.json")
    assert (report["mode"], report["retried"]["items"]) == ("plan", 1)
    assert said[:2] == ["failures.csv of run night 1: 2 rows; 1 item would be sent again", "      in/1.jpg"]


def test_nothing_chosen_is_a_good_run(night):
    result = Retry(night, run_id="night 1", failure_classes=["missing"]).run()
    assert (result["verdict"], result["registered"]) == ("ok", 0)


class TestRefused:
    def test_urls_of_another_bucket(self, night, listed):
        path = listed(f"url\n{B}in/1.jpg\nhttps://other.s3.eu-central-1.amazonaws.com/x.jpg\n")
        with pytest.raises(FormError, match=r"list\.csv: holds object URLs that are none of .* \(line 3\)"):
            Retry(night, failures_path=path).run()
        assert len(night.encord.sent) == 1

    def test_a_run_that_is_not_there(self, night):
        with pytest.raises(FormError, match=r"there is no run 'night 9' of the integration cameras"):
            Retry(night, run_id="night 9").run()

    def test_a_path_outside_of_the_folder(self, night, listed):
        listed("")
        with pytest.raises(FormError, match=r"^failure list '\.\./secret\.csv': leads out of the folder of"):
            Retry(night, failures_path="../secret.csv").run()

    @pytest.mark.parametrize(
        ("form", "message"),
        [
            ({}, "neither a run nor a file is given"),
            ({"run_id": "x", "failures_path": "y"}, "both a run and a file are given"),
            ({"run_id": "x", "failure_classes": []}, "no failure class is chosen"),
            ({"run_id": "x", "integration": "gone"}, "there is no integration 'gone'"),
        ],
    )
    def test_a_form_that_does_not_say_what_to_do(self, night, form, message):
        with pytest.raises(FormError, match=message):
            Retry(night, **form).run()

    def test_an_integration_whose_file_was_spoilt_meanwhile_is_told_by_what_is_wrong_with_it(self, night):
        broken = {"streets": "streets.yaml, line 3: is not valid YAML."}
        choose = ChooseOperator(task_id="choose", integrations={}, broken=broken)
        retry = Retry(night, run_id="night 1", integration="streets")
        with pytest.raises(FormError) as caught:
            choose.execute(retry.context)
        assert str(caught.value) == (
            "the form's field Integration: the file of the integration 'streets' is wrong: streets.yaml, "
            "line 3: is not valid YAML. Nothing was sent. Correct the file, then trigger a new run."
        )

    def test_a_list_without_rows_says_that_it_has_none(self, night, listed):
        retry = Retry(night, failures_path=listed("object_url\n"))
        assert retry.run()["verdict"] == "ok"
        assert retry.json("report.json")["why"] == "nothing was sent: the failure list has no rows."

    def test_urls_that_begin_otherwise_than_the_registered_ones(self, night, monkeypatch):
        monkeypatch.setattr(ObjectStoreHook, "urls", lambda _: ObjectUrls("s3", "media", UrlStyle.S3))
        with pytest.raises(ConfigError, match="Encord would register all of them a second time"):
            Retry(night, run_id="night 1").run()
