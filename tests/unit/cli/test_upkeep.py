"""`cloud-sync ledger rebuild | verify | prune`, over a bucket and an Encord in memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cloud_sync.cli import encord
from cloud_sync.ledger import Ledger, SettledManifest
from cloud_sync.manifest.model import SentItem
from cloud_sync.registration.model import DatasetRef
from tests.unit.cli.buckets import put_in_place
from tests.unit.cli.shell import cloud_sync
from tests.unit.registration.fakes import FakeEncord
from tests.unit.registration.keys import ed25519_key
from tests.unit.tables import LONG_AGO, URL_BASE, write_items

BASE = URL_BASE
SIZES = {"raw/a.mp4": 10, "raw/g/1.jpg": 5, "raw/g/2.jpg": 5}
INTEGRATION = """
name: cams
storage: {provider: s3, connection_id: aws, bucket: recordings, prefix: raw/}
target: {connection_id: encord, dataset: Cams}
"""
DATASET = "0b2c9a4e-9b0e-4c55-b2a8-0c4b7ee1f001"


class Encord(FakeEncord):
    """Encord with one dataset; `folder` is what holds its items."""

    folder: str | None = "folder-1"

    def find_dataset(self, title_or_hash: str) -> DatasetRef:
        return DatasetRef(DATASET, title_or_hash, self.folder)

    def find_folder(self, name_or_uuid: str) -> str | None:
        assert name_or_uuid == "cloud-sync cams"
        return None


@pytest.fixture(autouse=True)
def held(tmp_path, monkeypatch) -> Encord:
    """A dataset with a video, a group and an item of another bucket; and a folder to work in."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cams.yaml").write_text(INTEGRATION)
    (tmp_path / "state").mkdir()
    put_in_place(monkeypatch, SIZES)
    held = Encord(is_backing_folder=True)
    held.hold(SentItem(0, "video", (f"{BASE}raw/a.mp4",)))
    held.hold(SentItem(0, "image_group", (f"{BASE}raw/g/1.jpg", f"{BASE}raw/g/2.jpg"), "g"))
    held.hold(SentItem(0, "video", ("https://other.s3.eu-central-1.amazonaws.com/x.mp4",)))
    monkeypatch.setattr(encord, "open_encord", lambda access: held)
    return held


@pytest.fixture
def ledger(tmp_path) -> Ledger:
    return Ledger(tmp_path / "state" / "ledgers" / "cams" / DATASET)


def run(command: str, *options: Any) -> Any:
    return cloud_sync("ledger", command, "cams.yaml", "--state-folder", "state", *options)


def night(ledger: Ledger, number: int, *keys: str) -> str:
    return ledger.commit(
        run_id=f"night {number}",
        url_base=BASE,
        items_path=write_items(Path("items.parquet"), [keys]),
        manifests=[SettledManifest(0, "m", f"job {number}", LONG_AGO.replace(day=number))],
        failures=[],
    ).file


def test_a_lost_ledger_is_written_anew_and_then_agrees(ledger):
    result = run("rebuild")
    assert result.exit_code == 0, result.stderr
    assert result.stderr.splitlines() == [
        "The dataset Cams holds 3 items.",
        "1 file of it have URLs of no object of recordings.",
        result.stderr.splitlines()[2],
        "Version 1 of the ledger is in force. Objects: 3 registered.",
    ]
    assert ledger.current().counts == {"registered": 3}
    result = run("verify", "--listing", "--all")
    assert result.stdout.splitlines()[1:] == ["= raw/a.mp4", "= raw/g/1.jpg", "= raw/g/2.jpg"]
    assert result.stdout.startswith("! https://other.s3.eu-central-1.amazonaws.com/x.mp4\t")
    plan = cloud_sync("plan", "cams.yaml", "--state-folder", "state")
    assert "A sync would send 0 items of 0 objects." in plan.stderr


def test_a_damaged_ledger_is_refused_and_rebuilt(ledger):
    night(ledger, 1, "raw/a.mp4")
    ledger.files.path("current.json").write_text('{"format": 99}')
    refused = run("verify")
    assert refused.exit_code == 4
    assert "of format 99" in refused.stderr
    assert "cloud-sync ledger rebuild" in refused.stderr
    assert run("rebuild").exit_code == 0
    assert ledger.current().number == 2


def test_a_run_that_settles_meanwhile_stops_a_rebuilding(ledger, held, monkeypatch):
    folder_items = held.folder_items

    def settled_meanwhile(*args: Any, **options: Any) -> Any:
        night(ledger, 1, "raw/new.mp4")
        return folder_items(*args, **options)

    monkeypatch.setattr(held, "folder_items", settled_meanwhile)
    result = run("rebuild")
    assert result.exit_code != 0
    assert "while the dataset was read" in result.stderr
    assert ledger.current().counts == {"registered": 1}


def test_what_another_integration_has_put_into_the_dataset_is_none_of_this_ledger(ledger, held):
    del held.items["item-3"]
    held.hold(SentItem(0, "video", (f"{BASE}elsewhere/b.mp4",)))
    run("rebuild")
    assert ledger.current().counts == {"registered": 3}
    assert run("verify").exit_code == 0


def test_what_differs_is_shown_and_ends_with_1(ledger):
    night(ledger, 1, "raw/a.mp4", "raw/lost.mp4")
    result = run("verify", "--output", "json")
    assert result.exit_code == 1
    assert [(one["mark"], one["key"]) for one in json.loads(result.stdout)] == [
        ("!", "https://other.s3.eu-central-1.amazonaws.com/x.mp4"),
        ("+", "raw/g/1.jpg"),
        ("+", "raw/g/2.jpg"),
        ("-", "raw/lost.mp4"),
    ]
    assert result.stderr.endswith(
        "Ledger and dataset of cams: 1 the same, 1 only in the ledger, 2 only in the dataset, "
        "1 not to be compared.\n"
    )


def test_a_ledger_that_agrees_ends_with_0(ledger, held):
    del held.items["item-2"], held.items["item-3"]
    night(ledger, 1, "raw/a.mp4")
    assert run("verify").exit_code == 0


def test_a_dataset_that_nothing_was_sent_to_has_no_ledger_to_rebuild(held):
    held.folder = None
    result = run("rebuild")
    assert result.exit_code == 3
    assert "there is no storage folder for this dataset yet" in result.stderr


class TestPrune:
    def test_the_names_of_what_was_removed(self, ledger):
        files = [night(ledger, number, f"raw/{number}.mp4") for number in range(1, 5)]
        shown = run("prune", "--keep", 2, "--dry-run")
        assert (shown.stdout.splitlines(), shown.stderr) == (files[:2], "Would remove 2 versions.\n")
        assert run("prune", "--keep", 2).stderr == "Removed 2 versions.\n"
        assert ledger.files.names("v*.parquet") == files[2:]
        assert run("prune", "--keep", 2).exit_code == 1

    def test_nothing_is_old_enough(self, ledger):
        for number in range(1, 5):
            night(ledger, number, f"raw/{number}.mp4")
        assert run("prune", "--keep", 0, "--older-than", "30d").exit_code == 1

    def test_an_age_that_is_none_and_a_missing_ledger(self):
        assert run("prune", "--older-than", "old").exit_code == 2
        assert run("prune").exit_code == 3


class TestKey:
    @pytest.fixture(autouse=True)
    def without_names(self, monkeypatch):
        monkeypatch.undo()
        for name in ("ENCORD_SSH_KEY", "ENCORD_SSH_KEY_FILE", "ENCORD_DOMAIN"):
            monkeypatch.delenv(name, raising=False)

    def test_of_the_option_then_of_the_environment(self, tmp_path, monkeypatch):
        (tmp_path / "key").write_text(ed25519_key())
        monkeypatch.setenv("ENCORD_DOMAIN", "https://api.us.encord.com")
        access = encord.EncordAccess(tmp_path / "key")
        assert encord.open_encord(access).domain == "https://api.us.encord.com"
        monkeypatch.setenv("ENCORD_SSH_KEY_FILE", str(tmp_path / "key"))
        assert encord.open_encord(encord.EncordAccess(domain="http://127.0.0.1:1")).domain == (
            "http://127.0.0.1:1"
        )
        monkeypatch.delenv("ENCORD_SSH_KEY_FILE")
        monkeypatch.setenv("ENCORD_SSH_KEY", ed25519_key())
        encord.open_encord(encord.EncordAccess())

    def test_none_at_all_and_one_that_is_not_there(self, tmp_path):
        from cloud_sync.errors import ConfigError

        with pytest.raises(ConfigError, match="ENCORD_SSH_KEY_FILE"):
            encord.open_encord(encord.EncordAccess())
        with pytest.raises(ConfigError, match="No such file"):
            encord.open_encord(encord.EncordAccess(tmp_path / "none"))
