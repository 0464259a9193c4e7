"""The state folder at the command line, in a bucket."""

from __future__ import annotations

import pytest
from obstore.store import MemoryStore

from cloud_sync.cli import state
from cloud_sync.errors import StorageError
from cloud_sync.ledger import Ledger, LedgerState, SettledFailure, SettledManifest
from cloud_sync.objects.errors import ObjectStoreError
from cloud_sync.run_folder import RunFolder, stores
from cloud_sync.run_folder.files import Files
from tests.unit.cli.shell import cloud_sync
from tests.unit.tables import LONG_AGO, URL_BASE, write_items

URL = "s3://state/cloud-sync"
INTEGRATION = """
name: cams
storage: {provider: s3, connection_id: aws, bucket: media}
target: {connection_id: encord, dataset: Cameras}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch) -> RunFolder:
    """A state folder with a ledger in which a.jpg is quarantined."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cams.yaml").write_text(INTEGRATION)
    store = MemoryStore()
    monkeypatch.setattr(state, "OPENERS", {"s3": lambda bucket: store})
    folder = state.open_folder(URL)
    Ledger(folder.below("ledgers/cams/dataset-1").files).commit(
        run_id="night 1",
        url_base=URL_BASE,
        items_path=write_items(tmp_path / "items.parquet", [["a.jpg", "b.jpg"]]),
        manifests=[SettledManifest(0, "manifests/0000-a.json", "job", LONG_AGO)],
        failures=[SettledFailure(f"{URL_BASE}a.jpg", "corrupt", LedgerState.QUARANTINED)],
    )
    return folder


def test_what_is_quarantined_is_shown_and_released(folder):
    arguments = ("cams.yaml", "--state-folder", URL)
    listed = cloud_sync("quarantine", "list", *arguments)
    assert listed.exit_code == 0, listed.stderr
    assert listed.stdout.split("\t")[:2] == ["corrupt", "a.jpg"]
    released = cloud_sync("quarantine", "release", *arguments, "--all", "--yes")
    assert released.stderr.startswith("Released 1 object: ")
    assert cloud_sync("quarantine", "list", *arguments).stdout == ""


def test_the_setting_may_be_a_url(folder, monkeypatch):
    monkeypatch.setenv("AIRFLOW__CLOUD_SYNC__STATE_FOLDER", URL)
    assert "a.jpg" in cloud_sync("quarantine", "list", "cams.yaml").stdout


def test_without_a_ledger_the_url_is_told(folder):
    result = cloud_sync("quarantine", "list", "cams.yaml", "--state-folder", "s3://state/other")
    assert "There is no ledger in s3://state/other/ledgers/cams yet." in result.stderr


@pytest.mark.parametrize(
    ("url", "said"),
    [("s3://", "names no bucket"), ("ftp://b", "names no bucket"), ("s3://b/a?x=1", "'a?x=1'")],
)
def test_a_wrong_url(folder, url, said):
    result = cloud_sync("quarantine", "list", "cams.yaml", "--state-folder", url)
    assert result.exit_code == 3
    assert result.stderr.startswith("Error: --state-folder: ")
    assert said in result.stderr


def test_a_store_that_refuses_says_what_to_do_here(folder, monkeypatch):
    def refuse(self: Files) -> None:
        raise ObjectStoreError("the store refused access.", reason="forbidden", where=URL)

    monkeypatch.setattr(type(folder.files), "folders", refuse)
    result = cloud_sync("quarantine", "list", "cams.yaml", "--state-folder", URL)
    assert "Check the credentials of this machine" in result.stderr


def test_a_bucket_is_opened_with_the_credentials_of_the_machine(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://localhost:9")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    opened = {}
    monkeypatch.setattr(stores, "s3_store", lambda bucket, **options: opened.update(options, bucket=bucket))
    assert state.open_folder("s3://b/p").address() == "s3://b/p"
    assert (opened["bucket"], opened["endpoint_url"]) == ("b", "http://localhost:9")
    assert opened["session"].get_credentials().access_key == "key"


def test_without_credentials(monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    with pytest.raises(StorageError, match="no credentials could be obtained"):
        state.open_folder("s3://b/p")
