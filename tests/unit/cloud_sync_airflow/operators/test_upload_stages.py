"""An upload from the form to the report: one whole run after another in this process."""

from __future__ import annotations

import csv
import errno
import json
import logging
import os
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import AssetAlias
from airflow.sdk.exceptions import AirflowSkipException

from cloud_sync.errors import CloudSyncError, ConfigError, EncordError, FormError
from cloud_sync.failures.verdict import RunFailed
from cloud_sync_airflow.assets import dataset_asset
from cloud_sync_airflow.hooks.object_store import ObjectStoreHook
from cloud_sync_airflow.operators.build_given import BuildGivenOperator
from cloud_sync_airflow.operators.check import SHOWN_FINDINGS, CheckOperator
from cloud_sync_airflow.operators.register import RegisterOperator
from cloud_sync_airflow.operators.settle_given import REMEDIES_OF_UPLOADS, SettleGivenOperator
from cloud_sync_airflow.upload_params import upload_params
from tests.unit.cloud_sync_airflow.operators.house import CANARIES, House, state_folder
from tests.unit.failures.fakes import JPEG

B = "https://media.s3.eu-central-1.amazonaws.com/"
FORM = {name: param.value for name, param in upload_params({}, "").items()}
ALIAS = AssetAlias("datasets")


class Told(list[Any]):
    """The events of an asset alias."""

    def add(self, asset: Any, extra: dict[str, Any]) -> None:
        self.append((asset, extra))


class Upload:
    """One run of `upload_manifest` in the house."""

    def __init__(self, house: House, run_id: str = "manual 1", **form: Any) -> None:
        self.house = house
        self.events: Any = defaultdict(Told)
        self.context = {
            **house.context(run_id),
            "dag": SimpleNamespace(params=FORM),
            "params": FORM | {"integration": "cameras"} | form,
            "outlet_events": self.events,
        }
        self.context["dag_run"].conf = {"integration": "cameras"} | form

    @property
    def folder(self) -> Path:
        [folder] = (state_folder() / "runs" / "_uploads").glob(f"*{self.context['dag_run'].run_id[-1]}-*")
        return folder

    def check(self) -> dict[str, Any]:
        integrations = {"cameras": self.house.settings["integration"]}
        task = CheckOperator(task_id="check", integrations=integrations)
        return self.house.keep(task.execute(self.context))

    def run(self) -> dict[str, Any]:
        """Run all stages; returns what settle returned."""
        plan = self.check()
        try:
            shards = BuildGivenOperator(task_id="build", plan=plan).execute(self.context)
        except AirflowSkipException:
            shards = []
        for shard in shards:
            RegisterOperator(task_id="register", shard=shard, hold_s=0).execute(self.context)
        return self.house.keep(SettleGivenOperator(task_id="settle", outlets=[ALIAS]).execute(self.context))

    def json(self, name: str) -> Any:
        return json.loads((self.folder / name).read_text())

    def failures(self) -> list[dict[str, str]]:
        with (self.folder / "failures.csv").open(newline="") as file:
            return list(csv.DictReader(file))


def images(*keys: str, **top: Any) -> str:
    return json.dumps({"images": [{"objectUrl": key if ":" in key else B + key} for key in keys], **top})


def upload(house: House, *keys: str, run_id: str = "manual 1", **form: Any) -> Upload:
    return Upload(house, run_id, manifest_text=images(*keys), **form)


@pytest.fixture
def manifests(house) -> Path:
    folder = state_folder() / "manifests"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def lines(caplog, monkeypatch) -> Callable[[], list[tuple[str, str]]]:
    """What the check logs, as levels and messages; Airflow's own loggers are not those of pytest."""
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(CheckOperator, "log", logging.getLogger("check"))
    return lambda: [
        (record.levelname, record.getMessage()) for record in caplog.records if record.module == "check"
    ]


class TestGood:
    def test_pasted_json(self, house):
        run = upload(house, "in/1.jpg", "in/2.jpg")
        assert run.run() == {
            "verdict": "ok",
            "registered": 2,
            "already_registered": 0,
            "failed": 0,
            "waiting": 0,
        }
        assert sorted(item.url for item in house.encord.items.values()) == [f"{B}in/1.jpg", f"{B}in/2.jpg"]
        report = run.json("report.json")
        assert (report["mode"], report["integration"], report["dag_id"]) == (
            "upload",
            "cameras",
            "sync__cameras",
        )
        assert report["listed"] == {"objects": 0, "total_bytes": 0}
        assert report["given"] == {
            "file": "the pasted text",
            "format": "json",
            "items": 2,
            "files": 2,
            "skip_duplicate_urls": True,
            "upsert_metadata": False,
            "findings": {"error": 0, "warning": 0, "note": 0},
        }
        assert run.failures() == []

    def test_a_csv_by_its_path(self, house, manifests):
        (manifests / "week 12").mkdir()
        (manifests / "week 12" / "cars.csv").write_text(
            f"ObjectURL,Image group title,Create video\n{B}in/1.jpg,G,false\n{B}in/2.jpg,G,false\n"
        )
        run = Upload(house, manifest_path="week 12/cars.csv")
        assert run.run()["registered"] == 1
        [sent] = house.encord.sent
        assert json.loads(sent) == {
            "image_groups": [
                {
                    "title": "G",
                    "createVideo": False,
                    "objectUrl_0": f"{B}in/1.jpg",
                    "objectUrl_1": f"{B}in/2.jpg",
                }
            ],
            "skip_duplicate_urls": True,
        }

    def test_the_folder_can_be_another(self, house, tmp_path, monkeypatch):
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "elsewhere" / "a.json").write_text(images("in/1.jpg"))
        monkeypatch.setenv("AIRFLOW__CLOUD_SYNC__MANIFESTS_FOLDER", str(tmp_path / "elsewhere"))
        assert Upload(house, manifest_path="a.json").run()["registered"] == 1

    def test_it_is_split_at_the_integrations_size_and_dealt_out(self, house):
        house.options = {"upload": {"items_per_manifest": 2, "jobs_in_flight": 2}}
        run = upload(house, *[f"in/{n}.jpg" for n in range(5)])
        run.check()
        plan = run.check()
        assert BuildGivenOperator(task_id="build", plan=plan).execute(run.context) == [0, 1]
        assert [entry["items"] for entry in run.json("manifests/index.json")["manifests"]] == [2, 2, 1]

    def test_a_file_that_changes_after_the_check_changes_nothing(self, house, manifests):
        (manifests / "a.json").write_text(images("in/1.jpg"))
        run = Upload(house, manifest_path="a.json")
        plan = run.check()
        (manifests / "a.json").write_text(images("in/2.jpg"))
        BuildGivenOperator(task_id="build", plan=plan).execute(run.context)
        [manifest] = run.folder.glob("manifests/0*.json")
        assert json.loads(manifest.read_text())["images"] == [{"objectUrl": f"{B}in/1.jpg"}]

    def test_a_second_time_registers_nothing(self, house):
        upload(house, "in/1.jpg").run()
        assert upload(house, "in/1.jpg", run_id="manual 2").run()["already_registered"] == 1
        assert len(house.encord.items) == 1

    def test_who_follows_the_dataset_is_told(self, house):
        run = upload(house, "in/1.jpg")
        result = run.run()
        assert run.events[ALIAS] == [(dataset_asset(house_integration(house)), result)]

    def test_no_ledger_is_read_or_written_and_the_next_sync_is_harmless(self, house):
        upload(house, "in/1.jpg", "in/2.jpg").run()
        assert not (state_folder() / "ledgers").exists()
        night = house.run("night 1")
        assert (night["registered"], night["already_registered"]) == (3, 2)

    @pytest.mark.parametrize("ignore_errors", ["yes", "no"])
    def test_the_forms_choice_reaches_encord(self, house, ignore_errors, monkeypatch):
        asked = []
        start = house.encord.start_upload_job

        def started(*args: Any, **kwargs: Any) -> str:
            asked.append(kwargs["ignore_errors"])
            return start(*args, **kwargs)

        monkeypatch.setattr(house.encord, "start_upload_job", started)
        upload(house, "in/1.jpg", ignore_errors=ignore_errors).run()
        assert asked == [ignore_errors == "yes"]

    @pytest.mark.parametrize(("form", "stated", "sent"), [("integration", None, False), ("yes", None, True)])
    def test_skipping_can_be_off_only_by_the_integration(self, house, form, stated, sent):
        house.options = {"upload": {"skip_duplicate_urls": False}}
        run = upload(house, "in/1.jpg", skip_duplicate_urls=form)
        run.run()
        assert json.loads(house.encord.sent[0])["skip_duplicate_urls"] is sent
        assert run.json("integration.json")["upload"]["skip_duplicate_urls"] is sent

    def test_metadata_is_upserted_if_the_manifest_says_so(self, house):
        Upload(house, manifest_text=images("in/1.jpg", upsert_metadata=True)).run()
        assert json.loads(house.encord.sent[0])["upsert_metadata"] is True


class TestErrors:
    def failed(self, run: Upload) -> CloudSyncError:
        """Return the error of the check, which is not tried again, after seeing that nothing was sent."""
        with pytest.raises(CloudSyncError) as caught:
            run.check()
        assert not caught.value.transient
        assert run.house.encord.calls == []
        assert not list(state_folder().rglob("plan.json"))
        return caught.value

    def test_an_error_finding_ends_it_and_says_what_to_do(self, house, lines):
        text = json.dumps(
            {
                "images": [
                    {"objectUrl": f"{B}in/1.jpg"},
                    {"objectUrl": f"{B}in/a b.jpg"},
                    {"objectUrl": f"{B}in/c d.jpg"},
                    {"objectUrl": f"{B}in/e.mp4"},
                ]
            },
            indent=0,
        )
        run = Upload(house, manifest_text=text)
        error = self.failed(run)
        assert isinstance(error, FormError)
        assert str(error) == (
            "the pasted text, line 6, column 1, images[1]: contains whitespace in its object URL. "
            "[url-whitespace] 1 more error. Nothing was sent; all findings are above and in "
            f"{run.folder}/findings.json. Correct the manifest and trigger it again. "
            f"Write it as {B}in/a%20b.jpg"
        )
        levels, said = zip(*lines(), strict=True)
        assert levels == ("ERROR", "ERROR", "ERROR", "WARNING", "WARNING", "INFO")
        assert said[1].startswith("  error [url-whitespace] line 6, column 1, images[1]: ")
        assert [said[0], said[3], said[5]] == ["errors: 2", "warnings: 1", "notes: 0"]
        counts = {"error": 2, "warning": 1, "note": 0}
        assert run.json("findings.json")["counts"] == counts
        report = run.json("report.json")
        assert (report["verdict"], report["dataset"]["title"]) == ("failed", "Cameras")
        assert report["given"] == {"file": "the pasted text", "findings": counts, "error": str(error)}

    def test_what_cannot_be_read_at_all_is_in_the_report_too(self, house):
        run = Upload(house, manifest_text='{"images": [')
        assert "is not a JSON manifest: it is cut off" in str(self.failed(run))
        assert "it is cut off" in run.json("report.json")["given"]["error"]

    def test_a_path_that_leads_out(self, house, manifests):
        run = Upload(house, manifest_path="../../secret.json")
        assert f"leads out of the folder of manifests, {manifests}." in str(self.failed(run))

    def test_many_findings_are_cut_short_in_the_log_only(self, house, lines):
        run = upload(house, *[f"in/{n} .jpg" for n in range(SHOWN_FINDINGS + 7)])
        self.failed(run)
        assert ("ERROR", "  and 7 more, in findings.json") in lines()
        assert len(run.json("findings.json")["findings"]) == SHOWN_FINDINGS + 7

    @pytest.mark.parametrize(
        ("form", "said"),
        [
            ({"integration": "x"}, " Integration: there is no integration 'x'. Choose one of cameras."),
            ({"integration": None}, " Integration: no integration is chosen. Choose one of cameras."),
            (
                {"manifest_path": "a.json"},
                "s Manifest file and Manifest text: both are filled in. Fill in one of them.",
            ),
        ],
    )
    def test_a_wrong_form(self, house, form, said):
        error = self.failed(upload(house, "in/1.jpg", **form))
        assert isinstance(error, FormError)
        assert str(error) == f"the form's field{said}"

    @pytest.mark.parametrize(("number", "is_transient"), [(errno.ESTALE, True), (errno.EACCES, False)])
    def test_a_share_that_fails_for_a_moment_is_no_mistake_in_the_form(
        self, house, manifests, monkeypatch, number, is_transient
    ):
        (manifests / "a.json").write_text("{}")
        opened = Path.open

        def fail(path: Path, *how: Any, **more: Any) -> Any:
            if path.name == "a.json":
                raise OSError(number, os.strerror(number))
            return opened(path, *how, **more)

        monkeypatch.setattr(Path, "open", fail)
        with pytest.raises(CloudSyncError, match=f"a.json: cannot be read: {os.strerror(number)}") as caught:
            Upload(house, manifest_path="a.json").check()
        error = caught.value
        assert (error.transient, isinstance(error, FormError)) == (is_transient, not is_transient)

    def test_without_integrations(self, house):
        run = Upload(house, integration=None, manifest_text="{}")
        with pytest.raises(FormError, match=r"is chosen\. Write an integration file first\."):
            CheckOperator(task_id="check", integrations={}).execute(run.context)

    def test_encord_that_does_not_answer_is_asked_again(self, house, monkeypatch):
        def find_dataset(title: str) -> Any:
            raise EncordError("did not answer.", transient=True)

        monkeypatch.setattr(house.encord, "find_dataset", find_dataset)
        with pytest.raises(EncordError) as caught:
            upload(house, "in/1.jpg").check()
        assert caught.value.transient


class TestDryRun:
    def test_it_says_what_would_be_sent_and_sends_nothing(self, house, lines):
        house.options = {"upload": {"items_per_manifest": 2}}
        run = upload(house, *[f"in/{n}.jpg" for n in range(5)], dry_run=True)
        with pytest.raises(AirflowSkipException, match="the dataset is as it was"):
            run.run()
        assert house.encord.calls == []
        assert not (run.folder / "manifests").exists()
        said = "the pasted text (json): 5 items, 5 files; to be sent as 3 manifests"
        assert lines()[-1] == ("INFO", said)
        report = run.json("report.json")
        assert (report["verdict"], report["mode"], report["waiting"]) == ("ok", "plan", 0)
        assert run.events == {}

    def test_errors_are_errors(self, house):
        with pytest.raises(FormError, match="url-whitespace"):
            upload(house, "in/a b.jpg", dry_run=True).run()


MANY_MAY_FAIL = {"failures": {"fail_at_share": "100%"}}


class TestFailures:
    def test_files_of_the_bucket_are_looked_at_in_whatever_form_their_urls_are(self, house):
        house.options = MANY_MAY_FAIL
        house.bucket.contents.objects |= {"in/bad-healthy.jpg": JPEG}
        keys = ["in/1.jpg", "in/bad.jpg", "in/bad-gone.jpg", "in/bad-healthy.jpg"]
        run = upload(house, *keys, "s3://media/in/bad.jpg")
        assert run.run() == {
            "verdict": "ok_with_quarantine",
            "registered": 1,
            "already_registered": 0,
            "failed": 4,
            "waiting": 0,
        }
        classes = {row["object_url"].removeprefix(B): row["failure_class"] for row in run.failures()}
        assert classes == {
            "in/bad.jpg": "corrupt",
            "s3://media/in/bad.jpg": "corrupt",
            "in/bad-gone.jpg": "missing",
            "in/bad-healthy.jpg": "transient",
        }
        for row in run.failures():
            assert row["remedy"] == REMEDIES_OF_UPLOADS[row["failure_class"]]
            assert row["attempts"] == "1"
        assert run.json("report.json")["given"]["findings"]["warning"] == 1

    def test_of_files_elsewhere_encords_words_decide(self, house, monkeypatch):
        monkeypatch.setattr(ObjectStoreHook, "get_conn", lambda hook: SimpleNamespace())
        house.options = MANY_MAY_FAIL
        run = upload(house, "in/1.jpg", "s3://other/bad.jpg")
        run.run()
        [row] = run.failures()
        assert (row["failure_class"], row["remedy"]) == ("transient", REMEDIES_OF_UPLOADS["transient"])
        assert row["reason"] == "The object could not be looked at. Encord said: not an image"

    def test_the_thresholds_of_the_integration_hold(self, house):
        with pytest.raises(RunFailed, match="1 of 2 items that were sent failed"):
            upload(house, "in/1.jpg", "in/bad.jpg").run()

    def test_a_store_that_cannot_be_opened_hides_no_failure(self, house, monkeypatch):
        def refuse(hook):
            raise ConfigError("the connection does not exist.")

        run = upload(house, "in/1.jpg", "in/2.jpg", "in/bad.jpg")
        monkeypatch.setattr(ObjectStoreHook, "get_conn", refuse)
        assert run.run()["registered"] == 2
        [row] = run.failures()
        assert row["failure_class"] == "transient"
        assert "the store could not be opened: the connection does not exist. Encord said" in row["reason"]

    def test_when_everything_fails_the_run_fails(self, house):
        run = upload(house, "in/bad.jpg")
        with pytest.raises(RunFailed, match="the only item that was sent failed"):
            run.run()
        assert run.json("report.json")["verdict"] == "failed"


def house_integration(house: House) -> Any:
    from cloud_sync.integration import Integration

    return Integration.model_validate(house.settings["integration"])


def test_nothing_secret_is_told_or_kept(house, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    upload(house, "in/1.jpg", "in/2.jpg", "in/bad.jpg").run()
    paths = [path for path in state_folder().rglob("*") if path.is_file()]
    files = [path.read_bytes().decode(errors="replace") for path in paths]
    told = [caplog.text, *capfd.readouterr(), json.dumps(house.xcoms), *files]
    assert len(files) > 10
    assert [canary for canary in CANARIES if any(canary in text for text in told)] == []
    assert max(len(json.dumps(value)) for value in house.xcoms) < 1024
