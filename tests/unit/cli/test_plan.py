"""`cloud-sync plan`, over a bucket in memory."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cloud_sync.cli.plan import rest_of
from cloud_sync.cli.run import in_order, plan_cells
from cloud_sync.ledger import Ledger, SettledManifest
from cloud_sync.planning.model import PlanRow
from tests.unit.cli.buckets import put_in_place
from tests.unit.cli.shell import cloud_sync
from tests.unit.objects.fake_store import stored
from tests.unit.tables import LONG_AGO, write_items

BASE = "https://media.s3.eu-central-1.amazonaws.com/"
SIZES = {"raw/a.mp4": 10, "raw/b.mp4": 2000, "raw/readme.txt": 5}
DATASET = "0b2c9a4e-9b0e-4c55-b2a8-0c4b7ee1f001"
INTEGRATION = """
name: cams
storage: {provider: s3, connection_id: aws, bucket: media, prefix: raw/}
target: {connection_id: encord, dataset: Cams}
"""


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch) -> Path:
    """A folder with an integration file, and its bucket."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cams.yaml").write_text(INTEGRATION)
    put_in_place(monkeypatch, SIZES)
    return tmp_path


def add_ledger(state: Path, dataset: str, *, url_base: str = BASE) -> None:
    """Write a ledger in which raw/a.mp4 is registered."""
    one = stored("raw/a.mp4", 10)
    row = {"key": one.key, "size_bytes": 10, "last_modified": one.last_modified, "etag": one.etag}
    items = write_items(state / "items.parquet", [[row]])
    Ledger(state / "ledgers" / "cams" / dataset).commit(
        run_id="r",
        url_base=url_base,
        items_path=items,
        manifests=[SettledManifest(0, "m", "j", LONG_AGO)],
        failures=[],
    )


def test_everything_is_new_without_a_ledger():
    result = cloud_sync("plan", "cams.yaml")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "register\tvideo\tnew since the last run\traw/a.mp4, raw/b.mp4\t2\t2\t2010",
        "skip\tother\tits extension stands under no type\traw/readme.txt\t1\t0\t5",
    ]
    said = result.stderr.splitlines()
    assert said[0] == "Without --state-folder everything counts as new."
    assert said[-1] == "A sync would send 2 items of 2 objects."


def test_the_lines_stand_as_a_person_asks_for_them(here, monkeypatch):
    put_in_place(monkeypatch, {"raw/a.mp4": 10, "raw/b.x": 1, "raw/c.jpg": 1, "raw/d.jpg": 1, "raw/e.tmp": 1})
    (here / "cams.yaml").write_text(INTEGRATION + "select: {maximum_size: 5 B, exclude: ['*.tmp']}\n")
    lines = [line.split("\t") for line in cloud_sync("plan", "cams.yaml").stdout.splitlines()]
    assert [(line[0], line[4]) for line in lines] == [
        ("register", "2"),
        ("skip", "1"),
        ("skip", "1"),
        ("skip", "1"),
    ]
    rows = [
        PlanRow(action, None, "new", objects, 0, ())
        for action in ("hold", "skip", "register", "report")
        for objects in (1, 3)
    ]
    assert [(row.action, row.objects) for row in in_order(rows)] == [
        ("register", 3),
        ("register", 1),
        ("hold", 3),
        ("hold", 1),
        ("report", 3),
        ("report", 1),
        ("skip", 3),
        ("skip", 1),
    ]


def test_many_lines_are_folded_on_a_terminal():
    rows = [plan_cells(PlanRow("skip", None, "new", number, 10, ("key",), 1)) for number in (1, 2, 3)]
    assert rest_of(rows) == ["3 more kinds", "in a pipe or file there are all", 6, 3, 30]


@pytest.mark.parametrize(
    ("prefix", "said"),
    [
        ("", "the bucket media holds no objects. Check its name, and the access to it"),
        ("/raw", "holds no objects whose keys begin with '/raw'. Check the prefix (case counts, and keys"),
    ],
)
def test_nothing_listed_is_said_with_what_to_check(here, monkeypatch, prefix, said):
    put_in_place(monkeypatch, {})
    (here / "cams.yaml").write_text(INTEGRATION.replace("raw/", f"'{prefix}'"))
    result = cloud_sync("plan", "cams.yaml")
    assert result.exit_code == 0
    assert said in result.stderr
    assert "--endpoint-url" in result.stderr


def test_the_ledger_of_a_state_folder_is_read_and_left_alone(here):
    add_ledger(here / "state", DATASET)
    before = {path: path.read_bytes() for path in (here / "state").rglob("*") if path.is_file()}
    result = cloud_sync("plan", "cams.yaml", "--state-folder", "state")
    assert [line.split("\t")[:4] for line in result.stdout.splitlines()][:2] == [
        ["register", "video", "new since the last run", "raw/b.mp4"],
        ["skip", "video", "registered already", "raw/a.mp4"],
    ]
    assert before == {path: path.read_bytes() for path in (here / "state").rglob("*") if path.is_file()}


def test_a_state_folder_without_a_ledger_is_told():
    result = cloud_sync("plan", "cams.yaml", "--state-folder", "state")
    assert result.exit_code == 0
    assert "There is no ledger in state/ledgers/cams yet" in result.stderr


def test_of_several_ledgers_one_has_to_be_chosen(here):
    other = DATASET.replace("f001", "f002")
    for dataset in (DATASET, other):
        add_ledger(here / "state", dataset)
    arguments = ["plan", "cams.yaml", "--state-folder", "state"]
    refused = cloud_sync(*arguments)
    assert refused.exit_code == 3
    assert f"{DATASET}, {other}" in refused.stderr
    assert "registered already" in cloud_sync(*arguments, "--dataset-hash", other).stdout


def test_another_style_of_url_is_refused_as_in_the_dag(here):
    add_ledger(here / "state", DATASET, url_base="s3://media/")
    result = cloud_sync("plan", "cams.yaml", "--state-folder", "state")
    assert result.exit_code == 3
    assert "register all of them a second time" in result.stderr


def test_json():
    document = json.loads(cloud_sync("plan", "cams.yaml", "--output", "json").stdout)
    assert document["integration"] == "cams"
    assert document["ledger"] is None
    assert document["to_register"] == {"objects": 2, "items": 2}
    assert document["rows"][0] == {
        "action": "register",
        "item_type": "video",
        "reason": "new",
        "reason_text": "new since the last run",
        "objects": 2,
        "items": 2,
        "total_bytes": 2010,
        "missing": 0,
        "examples": ["raw/a.mp4", "raw/b.mp4"],
    }


def test_a_metadata_table_is_looked_for_where_it_is_said_to_be(here):
    (here / "cams.yaml").write_text(INTEGRATION + "metadata: {table: {path: t.csv}}\n")
    assert "--tables-folder" in cloud_sync("plan", "cams.yaml").stderr
    (here / "tables").mkdir()
    missing = cloud_sync("plan", "cams.yaml", "--tables-folder", "tables")
    assert missing.exit_code == 3
    assert "tables/t.csv" in missing.stderr
    (here / "tables" / "t.csv").write_text("key,place\nraw/a.mp4,Basel\n")
    assert cloud_sync("plan", "cams.yaml", "--tables-folder", "tables").exit_code == 0


def test_a_wrong_integration_file_is_bad_input(here):
    (here / "cams.yaml").write_text("name: cams\n")
    assert cloud_sync("plan", "cams.yaml").exit_code == 3
