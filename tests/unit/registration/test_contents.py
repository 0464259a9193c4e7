"""What a dataset holds, read from its folder."""

from __future__ import annotations

import pyarrow.parquet as pq
import pytest

from cloud_sync.manifest.model import SentItem
from cloud_sync.registration.contents import write_contents
from tests.unit.registration.fakes import FakeEncord


@pytest.fixture
def encord() -> FakeEncord:
    """A folder whose items are all in some dataset: one image and one group of it in this one."""
    encord = FakeEncord(is_backing_folder=True)
    for name in ("ours", "theirs"):
        encord.hold(SentItem(0, "image", (f"{name}.jpg",)))
        encord.hold(SentItem(0, "image_group", (f"{name}/1.jpg", f"{name}/2.jpg")))
    encord.linked = {"item-1", "item-2"}
    return encord


def keys(encord: FakeEncord, tmp_path, dataset_uuid: str | None) -> list[str]:
    path = tmp_path / "contents.parquet"
    found = write_contents(encord, "folder-1", str, path, dataset_uuid=dataset_uuid)
    rows = pq.read_table(path)["key"].to_pylist()
    assert found.files == len(rows)
    return rows


def test_of_a_folder_that_datasets_share_only_what_is_in_this_one(encord, tmp_path):
    assert keys(encord, tmp_path, "dataset-1") == ["ours.jpg", "ours/1.jpg", "ours/2.jpg"]
    assert encord.asked == ["item-2"], "groups of others cost no request"


def test_what_is_in_a_folder_of_its_own_is_in_the_dataset(encord, tmp_path):
    assert len(keys(encord, tmp_path, None)) == 6
    assert "rows" not in encord.calls
