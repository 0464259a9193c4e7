"""`cloud-sync quarantine`, over a ledger on disk."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer

from cloud_sync.cli import quarantine
from cloud_sync.cli.quarantine import list_
from cloud_sync.ledger import Ledger, LedgerState, SettledFailure, SettledManifest
from tests.unit.cli.shell import cloud_sync, terminal_of
from tests.unit.tables import LONG_AGO, URL_BASE, write_items

ACCOUNT_URL = "https://acct.blob.core.windows.net"
AZURITE_URL = "http://127.0.0.1:10000/acct"
OBS = "obs.eu-de.otc.t-systems.com"
MRAP_ARN = "arn:aws:s3::123456789012:accesspoint/abc.mrap"
INTEGRATION = """
name: cams
storage: {provider: s3, connection_id: aws, bucket: recordings, prefix: raw/}
target: {connection_id: encord, dataset: Cams}
"""
WHY = {"corrupt": ("It is empty.", "Upload it again."), "missing": ("", "")}
FAILED = {"raw/a.jpg": "corrupt", "raw/b.jpg": "missing", "raw/c.jpg": "corrupt"}


def url(key: str) -> str:
    return URL_BASE + key


@pytest.fixture(autouse=True)
def ledger(tmp_path, monkeypatch) -> Ledger:
    """A folder with an integration file, and a ledger with three quarantined objects."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("AIRFLOW__CLOUD_SYNC__STATE_FOLDER", raising=False)
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path / "airflow"))
    (tmp_path / "cams.yaml").write_text(INTEGRATION)
    return fill(tmp_path / "state", "dataset-1")


def fill(state: Path, dataset: str, url_base: str = URL_BASE) -> Ledger:
    ledger = Ledger(state / "ledgers" / "cams" / dataset)
    ledger.commit(
        run_id="night 1",
        url_base=url_base,
        items_path=write_items(state / "items.parquet", [[*FAILED, "raw/ok.jpg"]]),
        manifests=[SettledManifest(0, "m", "j", LONG_AGO)],
        failures=[
            SettledFailure(url(key), kind, LedgerState.QUARANTINED, *WHY[kind])
            for key, kind in FAILED.items()
        ],
    )
    return ledger


def left(ledger: Ledger) -> list[str]:
    return [one.key for one in ledger.quarantined()]


WHEN = "2026-01-01T00:00:00+00:00"


class TestList:
    def test_each_object_with_its_history(self):
        result = cloud_sync("quarantine", "list", "cams.yaml", "--state-folder", "state")
        assert result.exit_code == 0
        assert result.stdout.splitlines() == [
            "\t".join([kind, key, "1", WHEN, WHEN, *WHY[kind]]) for key, kind in FAILED.items()
        ]
        assert result.stderr == "3 objects of cams quarantined.\n"

    def test_on_a_narrow_terminal_the_ends_of_the_keys_stay(self, tmp_path, monkeypatch):
        terminal = terminal_of(monkeypatch)
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv("COLUMNS", "50")
        list_(file=tmp_path / "cams.yaml", state_folder=str(tmp_path / "state"))
        keys = [word for word in terminal.getvalue().split() if word.endswith(".jpg")]
        assert keys == ["…/a.jpg", "…/b.jpg", "…/c.jpg"]
        assert "00:00Z" in terminal.getvalue()

    def test_on_a_terminal_each_cause_stands_once(self, tmp_path, monkeypatch, capsys):
        terminal_of(monkeypatch)
        list_(file=tmp_path / "cams.yaml", state_folder=str(tmp_path / "state"))
        assert capsys.readouterr().err.splitlines() == [
            "2 x corrupt: It is empty. Upload it again.",
            "1 x missing: The ledger has not kept the reason: docs/failures.md says what the class means.",
            "3 objects of cams quarantined.",
        ]

    def test_on_a_terminal_the_most_frequent_causes_are_enough(self, tmp_path, monkeypatch, capsys):
        monkeypatch.setattr(quarantine, "CAUSES_SHOWN", 1)
        terminal_of(monkeypatch)
        list_(file=tmp_path / "cams.yaml", state_folder=str(tmp_path / "state"))
        assert "and 1 more cause: --output json shows" in capsys.readouterr().err

    def test_of_some_classes_as_json(self):
        options = ("--class", "missing", "--class", "rejected", "--output", "json")
        result = cloud_sync("quarantine", "list", "cams.yaml", "--state-folder", "state", *options)
        assert json.loads(result.stdout) == [
            {
                "key": "raw/b.jpg",
                "url": url("raw/b.jpg"),
                "item_type": "image",
                "failure_class": "missing",
                "attempts": 1,
                "first_failed_at": WHEN,
                "last_failed_at": WHEN,
                "reason": "",
                "remedy": "",
            }
        ]

    @pytest.mark.parametrize(
        ("classes", "said"),
        [
            (["transient"], "0 of this class"),
            (["missing"], "1 of this class"),
            (["corrupt", "rejected"], "2 of these classes"),
        ],
    )
    def test_beside_a_class_all_are_counted(self, classes, said):
        options = [word for one in classes for word in ("--class", one)]
        result = cloud_sync("quarantine", "list", "cams.yaml", "--state-folder", "state", *options)
        assert result.stderr == f"3 objects of cams quarantined, {said}.\n"

    def test_a_class_that_is_none(self):
        result = cloud_sync("quarantine", "list", "cams.yaml", "--class", "broken")
        assert result.exit_code == 2
        assert "'broken' is no failure class. Classes: transient, missing," in result.stderr

    @pytest.mark.parametrize("by", ["setting", "home"])
    def test_the_state_folder_is_that_of_airflow(self, tmp_path, monkeypatch, by):
        if by == "setting":
            monkeypatch.setenv("AIRFLOW__CLOUD_SYNC__STATE_FOLDER", str(tmp_path / "state"))
        else:
            (tmp_path / "airflow").mkdir()
            (tmp_path / "state").rename(tmp_path / "airflow" / "cloud_sync")
        assert len(cloud_sync("quarantine", "list", "cams.yaml").stdout.splitlines()) == 3

    @pytest.mark.parametrize("options", [(), ("--state-folder", "nowhere")])
    def test_a_state_folder_that_is_not_there(self, options):
        result = cloud_sync("quarantine", "list", "cams.yaml", *options)
        assert result.exit_code == 3
        assert "--state-folder" in result.stderr

    @pytest.mark.parametrize(
        ("others", "known"),
        [((), "nor of any other"), (("docks", "streets"), "only of docks, streets")],
    )
    @pytest.mark.parametrize("command", [("list",), ("release", "--all", "--yes")])
    def test_a_state_folder_without_a_ledger_of_the_integration(self, tmp_path, command, others, known):
        (tmp_path / "wrong").mkdir()
        for name in others:
            (tmp_path / "wrong" / "ledgers" / name).mkdir(parents=True)
        result = cloud_sync("quarantine", command[0], "cams.yaml", "--state-folder", "wrong", *command[1:])
        assert (result.exit_code, result.stdout) == (3, "")
        assert result.stderr == (
            f"Error: wrong: there is no ledger of the integration cams, {known}. Correct --state-folder: it "
            "is what AIRFLOW__CLOUD_SYNC__STATE_FOLDER says where Airflow runs. A new integration has a "
            "ledger after the first run that sends something.\n"
        )

    def test_a_dataset_without_a_ledger(self):
        options = ("--state-folder", "state", "--dataset-hash", "dataset-9")
        result = cloud_sync("quarantine", "list", "cams.yaml", *options)
        assert result.exit_code == 3
        assert (
            "there is no ledger of this dataset, only of dataset-1. Correct --dataset-hash" in result.stderr
        )

    def test_several_ledgers_want_a_choice(self, tmp_path):
        fill(tmp_path / "state", "dataset-2")
        command = ("quarantine", "list", "cams.yaml", "--state-folder", "state")
        result = cloud_sync(*command)
        assert result.exit_code == 3
        assert "dataset-1, dataset-2. Say which with --dataset-hash." in result.stderr
        assert cloud_sync(*command, "--dataset-hash", "dataset-2").exit_code == 0


class TestRelease:
    COMMAND = ("quarantine", "release", "cams.yaml", "--state-folder", "state")

    @pytest.mark.parametrize(
        ("options", "kept"),
        [
            (("--class", "corrupt"), ["raw/b.jpg"]),
            (("--url", url("raw/a.jpg"), "--url", url("raw/b.jpg")), ["raw/c.jpg"]),
            (("--all",), []),
        ],
    )
    def test_what_is_named_is_tried_again(self, ledger, options, kept):
        result = cloud_sync(*self.COMMAND, *options, "--yes")
        assert result.exit_code == 0
        assert left(ledger) == kept
        released = "1 object" if len(kept) == 2 else f"{3 - len(kept)} objects"
        assert result.stderr == (
            f"Released {released}: the next run of sync__cams sends what is still there.\n"
        )

    def test_it_asks_first(self, ledger):
        result = cloud_sync(*self.COMMAND, "--all", answers="y\n")
        assert result.exit_code == 0
        assert "Release 3 objects (2 corrupt, 1 missing)? [y/N]" in result.stderr
        assert left(ledger) == []

    @pytest.mark.parametrize("answer", ["n\n", "\n"])
    def test_whoever_says_no_releases_nothing(self, ledger, answer):
        result = cloud_sync(*self.COMMAND, "--all", answers=answer)
        assert result.exit_code == 1
        assert result.stderr.endswith("Nothing was released.\n")
        assert "Error" not in result.stderr
        assert len(left(ledger)) == 3

    def test_where_nobody_can_answer_yes_has_to_be_an_option(self, ledger):
        result = cloud_sync(*self.COMMAND, "--all", answers="")
        assert result.exit_code == 2
        assert result.stderr.splitlines()[-1] == (
            "Error: nobody is there to answer, so nothing was released. Add --yes."
        )
        assert len(left(ledger)) == 3

    def test_ctrl_c_instead_of_an_answer_is_an_interruption(self, ledger, monkeypatch):
        def interrupted(*_, **__):
            try:
                raise KeyboardInterrupt
            except KeyboardInterrupt:
                raise typer.Abort from None

        monkeypatch.setattr("typer.confirm", interrupted)
        result = cloud_sync(*self.COMMAND, "--all")
        assert (result.exit_code, result.stderr) == (130, "Error: interrupted.\n")
        assert len(left(ledger)) == 3

    @pytest.mark.parametrize(
        "named",
        [
            "raw/a.jpg",
            "s3://recordings/raw/a.jpg",
            "S3://recordings/raw/%61.jpg",
            "https://s3.eu-central-1.amazonaws.com/recordings/raw/a.jpg",
            "https://recordings.s3.amazonaws.com/raw/a.jpg",
        ],
    )
    def test_an_object_is_named_by_its_key_or_any_form_of_its_url(self, ledger, named):
        result = cloud_sync(*self.COMMAND, "--url", named, "--yes")
        assert (result.exit_code, left(ledger)) == (0, ["raw/b.jpg", "raw/c.jpg"])

    @pytest.mark.parametrize("named", [f"{MRAP_ARN}/raw/a.jpg", "s3://recordings/raw/a.jpg"])
    def test_an_access_point_names_the_bucket_too(self, tmp_path, named):
        access_point = f'bucket: recordings, url_style: mrap, mrap_arn: "{MRAP_ARN}"'
        (tmp_path / "cams.yaml").write_text(INTEGRATION.replace("bucket: recordings", access_point))
        own = fill(tmp_path / "own", "dataset-1", f"{MRAP_ARN}/")
        command = ("quarantine", "release", "cams.yaml", "--state-folder", "own", "--yes")
        result = cloud_sync(*command, "--url", named)
        assert (result.exit_code, left(own)) == (0, ["raw/b.jpg", "raw/c.jpg"])

    @pytest.mark.parametrize(
        ("provider", "url_base", "named"),
        [
            ("gcs", "gs://recordings/", "https://storage.googleapis.com/recordings/raw/a.jpg"),
            ("azure", f"{ACCOUNT_URL}/recordings/", f"{ACCOUNT_URL}/recordings/raw/%61.jpg"),
            ("azure", f"{AZURITE_URL}/recordings/", f"{AZURITE_URL}/recordings/raw/%61.jpg"),
            ("otc", f"https://recordings.{OBS}/", f"https://{OBS}/recordings/raw/a.jpg"),
            ("otc", "http://127.0.0.1:8333/recordings/", "http://127.0.0.1:8333/recordings/raw/%61.jpg"),
        ],
    )
    def test_every_providers_urls_are_known(self, tmp_path, provider, url_base, named):
        (tmp_path / "cams.yaml").write_text(INTEGRATION.replace("provider: s3", f"provider: {provider}"))
        own = fill(tmp_path / "own", "dataset-1", url_base)
        command = ("quarantine", "release", "cams.yaml", "--state-folder", "own", "--yes")
        assert cloud_sync(*command, "--url", "s3://other/a.jpg").exit_code == 3
        result = cloud_sync(*command, "--url", named)
        assert (result.exit_code, left(own)) == (0, ["raw/b.jpg", "raw/c.jpg"])

    @pytest.mark.parametrize(
        "url_base",
        [
            "http://127.0.0.1:9000/recordings/",
            "https://recordings.minio:9000/",
            "http://minio/s3/recordings/",
        ],
    )
    @pytest.mark.parametrize("form", ["s3", "path", "virtual-hosted"])
    def test_the_urls_of_a_store_of_ones_own_are_known_from_the_ledger(self, tmp_path, url_base, form):
        endpoint = url_base.replace("recordings.", "").removesuffix("recordings/")
        begin = {
            "s3": "s3://recordings/",
            "path": f"{endpoint}recordings/",
            "virtual-hosted": endpoint.replace("://", "://recordings."),
        }
        own = fill(tmp_path / "own", "dataset-1", url_base)
        command = ("quarantine", "release", "cams.yaml", "--state-folder", "own", "--yes")
        result = cloud_sync(*command, "--url", f"{begin[form]}raw/a.jpg")
        assert (result.exit_code, left(own)) == (0, ["raw/b.jpg", "raw/c.jpg"])

    @pytest.mark.parametrize(
        "named",
        ["s3://other/raw/a.jpg", "https://example.com/recordings/raw/a.jpg", f"{url('raw/a.jpg')}?a=secret"],
    )
    def test_a_url_of_another_bucket_is_refused_before_anything_is_released(self, ledger, named):
        result = cloud_sync(*self.COMMAND, "--url", named, "--url", "raw/b.jpg", "--yes")
        assert result.exit_code == 3
        assert result.stderr.startswith("Error: --url: object URL")
        assert "Give the object's key" in result.stderr
        assert "secret" not in result.stderr
        assert len(left(ledger)) == 3

    def test_a_url_that_is_not_quarantined_is_named(self, ledger):
        result = cloud_sync(*self.COMMAND, "--url", url("raw/ok.jpg"), "--yes")
        assert result.exit_code == 1
        assert result.stderr.splitlines() == [
            f"Not quarantined: {url('raw/ok.jpg')}",
            "There is nothing to release.",
        ]
        assert len(left(ledger)) == 3

    @pytest.mark.parametrize("options", [(), ("--all", "--class", "corrupt"), ("--all", "--url", "x")])
    def test_what_to_release_is_said_in_one_way(self, ledger, options):
        result = cloud_sync(*self.COMMAND, *options, "--yes")
        assert result.exit_code == 2
        assert "Say what to release: --class, --url or --all, and only one of them." in result.stderr
        assert len(left(ledger)) == 3
