"""The bucket's content says exactly what has to become of each key, and the integration file makes it so."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from cloud_sync.integration import Integration, load_integration
from cloud_sync.media.dicom import read_place
from cloud_sync.media.sniff import sniff
from cloud_sync.planning.model import METADATA_NAME, PLAN_NAME, Sources
from cloud_sync.planning.plan import make_plan
from cloud_sync.run_folder import RunFolder
from demo.airflow import Sources as AirflowSources
from demo.content import BUCKET, PREFIX, BucketContent, Item
from demo.media import ODD_KEY, SERIES, bucket_content
from tests.unit.failures.fakes import FakeStore
from tests.unit.tables import LONG_AGO, an_object, write_listing

FAMILIES = {
    "video": "video/",
    "image": "image/",
    "image_group": "image/",
    "image_sequence": "image/",
    "dicom_series": "application/dicom",
    "audio": "audio/",
    "text": "text/",
    "pdf": "application/pdf",
    "nifti": "application/nifti",
}


@pytest.fixture(scope="module")
def content() -> BucketContent:
    return bucket_content()


@pytest.fixture(scope="module")
def integration() -> Integration:
    return load_integration(AirflowSources().integrations / "demo.yaml")


@pytest.fixture(scope="module")
def run(
    content: BucketContent, integration: Integration, tmp_path_factory: pytest.TempPathFactory
) -> RunFolder:
    """The plan of a first run over the whole bucket."""
    root = tmp_path_factory.mktemp("plan")
    objects = {one.key: one.body for one in content.everything() if one.key.startswith(PREFIX)}
    store = FakeStore(dict(objects))
    listing = write_listing(
        root / "part.parquet", [an_object(key, size_bytes=len(body)) for key, body in objects.items()]
    )
    folder = RunFolder(root / "run")
    make_plan(
        folder,
        listing_parts=[listing],
        integration=integration,
        ledger=None,
        now=LONG_AGO,  # as soon as the last file is there
        sources=Sources(lambda: store, root / "ledger", root / "tables"),
    )
    return folder


def test_each_key_has_one_fate(content: BucketContent) -> None:
    keys = [medium.key for medium in content.everything()]
    assert len(set(keys)) == len(keys) == 129
    assert content.listed == {key for key in keys if key.startswith(PREFIX)}


def test_there_are_enough_of_each_kind(content: BucketContent) -> None:
    counts = Counter(item.item_type for item in content.good)
    assert counts == {
        **dict.fromkeys(FAMILIES, 1),
        **{"video": 6, "image": 64, "dicom_series": 6},
    }
    assert (len(content.bad), len(content.held), len(content.skipped)) == (4, 2, 7)
    keys = [key for item in content.good for key in item.keys]
    assert len({Path(key).parent for key in keys}) >= 6
    assert {Path(key).suffix for key in keys} >= {".mp4", ".png", ".jpg", ".JPG", ".jpeg", ".tif"}


def test_the_good_ones_are_what_their_names_say(content: BucketContent) -> None:
    for item in content.good:
        for medium in item.media:
            assert sniff(medium.body[:4096]).startswith(FAMILIES[item.item_type]), medium.key


def test_the_bad_ones_are_bad(content: BucketContent) -> None:
    bodies = {
        Path(key).name: medium.body
        for key, item in content.bad.items()
        for medium in item.media
        if medium.key == key
    }
    assert bodies["empty.jpg"] == b""
    assert sniff(bodies["notes.mp4"]) == sniff(bodies["right.jpg"]) == "text/plain"
    assert sniff(bodies["cut-off.jpg"]) == "image/jpeg"
    assert not bodies["cut-off.jpg"].endswith(b"\xff\xd9")


def test_a_good_key_is_hard_to_write_in_a_url(content: BucketContent) -> None:
    assert ODD_KEY in {key for item in content.good for key in item.keys}
    assert set(" +#%") < set(ODD_KEY)
    assert not ODD_KEY.isascii()


def test_the_order_of_the_sequence_is_not_that_of_its_names(content: BucketContent) -> None:
    (sequence,) = (item for item in content.good if item.item_type == "image_sequence")
    assert list(sequence.keys) != sorted(sequence.keys)
    numbers = [int(Path(key).name.partition("-")[0]) for key in sequence.keys]
    assert numbers == list(range(1, 13))


def test_the_scans_are_of_the_series_that_the_table_says(content: BucketContent) -> None:
    series = [item for item in content.good if item.item_type == "dicom_series"]
    for item in series:
        for medium in item.media:
            assert read_place(lambda most, body=medium.body: body[:most]).series_uid == item.title
    assert sum(list(item.keys) != sorted(item.keys) for item in series) >= 4
    folders = Counter(folder for folder, _ in SERIES.values())
    assert max(folders.values()) == 3, "no folder holds several series"


def test_the_integration_file_names_this_bucket(integration: Integration) -> None:
    assert (integration.storage.bucket, integration.storage.prefix) == (BUCKET, PREFIX)
    assert integration.dag_id == "sync__demo"


def planned(run: RunFolder, *actions: str) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Return type and files, in their order, of each item that the plan gives one of these actions."""
    rows = [row for row in pq.read_table(run.path(PLAN_NAME)).to_pylist() if row["action"] in actions]
    rows.sort(key=lambda row: (row["item_key"] or row["key"], row["position"]))
    items: dict[str, tuple[str, tuple[str, ...]]] = {}
    for row in rows:
        item_key = row["item_key"] or row["key"]
        _, before = items.get(item_key, ("", ()))
        items[item_key] = (row["item_type"], (*before, row["key"]))
    return items


def known_by(items: tuple[Item, ...]) -> list[tuple[str, tuple[str, ...]]]:
    return sorted((item.item_type, item.keys) for item in items)


def test_the_rules_register_the_good_and_the_bad(content: BucketContent, run: RunFolder) -> None:
    items = planned(run, "register", "retry")
    assert sorted(items.values()) == known_by((*content.good, *content.bad.values()))


def test_the_rules_hold_the_groups_with_missing_files(content: BucketContent, run: RunFolder) -> None:
    assert sorted(planned(run, "hold").values()) == known_by(content.held)


def test_the_rules_leave_the_rest_alone(content: BucketContent, run: RunFolder) -> None:
    left = {row["key"] for row in pq.read_table(run.path(PLAN_NAME)).to_pylist() if row["action"] == "skip"}
    assert left == {one.key for one in content.skipped} & content.listed


def test_the_rules_give_titles_and_metadata(content: BucketContent, run: RunFolder) -> None:
    items = planned(run, "register", "retry")
    described = {
        items[row["item_key"]]: (row["title"], json.loads(row["client_metadata"]))
        for row in pq.read_table(run.path(METADATA_NAME)).to_pylist()
    }
    for item in content.good:
        title, client_metadata = described[item.item_type, item.keys]
        assert client_metadata == item.client_metadata
        # Without a title Encord takes the file name.
        assert (title or Path(item.keys[0]).name) == item.title
