"""Recall: items of an earlier run are sent again as they were sent then."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pyarrow.parquet as pq
import pytest

from cloud_sync.errors import StorageError
from cloud_sync.manifest.items import Item, VideoMetadata
from cloud_sync.manifest.model import read_index
from cloud_sync.manifest.recall import (
    RecalledFile,
    RecalledItem,
    recall,
    with_present_state,
    write_recalled,
)
from cloud_sync.objects.errors import ObjectStoreError
from cloud_sync.objects.model import StoredObject
from cloud_sync.planning.model import read_plan_rows
from cloud_sync.run_folder import RunFolder
from tests.unit.manifest.test_rebuild import build, entries_of, folder
from tests.unit.tables import LONG_AGO, URL_BASE

__all__ = ["folder"]

NOW = datetime(2026, 11, 24, tzinfo=UTC)


def key_of(url: str) -> str:
    return url.removeprefix(URL_BASE)


def recalled(folder: RunFolder, *keys: str) -> list[RecalledItem]:
    return recall(folder, [URL_BASE + key for key in keys], key_of)


def test_titles_metadata_and_whole_groups_come_back(folder):
    items = {one.item.item_type: one for one in recalled(folder, "c.mp4", "g/1.jpg", "b.jpg")}
    video, group, image = items["video"], items["image_group"], items["image"]
    assert image.item == Item("image", (URL_BASE + "b.jpg",), "Bee", {"z": 1, "a": [True, None, "ü"]})
    assert video.item.video_metadata == VideoMetadata(25, 2, 4, 2, 9, "video/mp4")
    assert (group.item.title, group.item_key, group.keys) == ("Crossing", "g/", ["g/2.jpg", "g/1.jpg"])
    assert group.files[0] == RecalledFile("g/2.jpg", 10, LONG_AGO, "etag of g/2.jpg")
    assert (image.item_key, image.keys) == ("b.jpg", ["b.jpg"])


def test_what_was_sent_once_is_sent_again_byte_for_byte(folder, tmp_path):
    keys = ("a.jpg", "b.jpg", "c.mp4", "g/1.jpg", "s/2.dcm")
    again = RunFolder(tmp_path / "again")
    ref = write_recalled(again, recalled(folder, *keys))
    assert dict(ref.counts) == {"objects": 8, "to_register": 8, "items": 5}
    original = entries_of(folder, read_index(folder))
    assert entries_of(again, build(again)) == {
        url: entry for url, entry in original.items() if url != URL_BASE + "t.jpg"
    }
    assert {row.reason for row in read_plan_rows(again)} == {"asked_for"}


def test_nothing_is_recalled_of_other_urls_or_other_folders(folder, tmp_path):
    assert recalled(folder, "unknown.jpg") == []
    assert recalled(RunFolder(tmp_path / "gone"), "a.jpg") == []


def test_nothing_is_recalled_of_a_run_that_was_planned_anew_meanwhile(folder):
    folder.write("register.parquet", b"of a later plan")
    assert recalled(folder, "a.jpg") == []


def test_a_manifest_that_is_gone_is_an_error(folder):
    folder.path(read_index(folder).manifests[0].name).unlink()
    with pytest.raises(StorageError, match="is missing from the run folder"):
        recalled(folder, "a.jpg")


def test_nothing_to_send_is_written_as_an_empty_plan(tmp_path):
    again = RunFolder(tmp_path / "again")
    assert write_recalled(again, []).counts["items"] == 0
    assert build(again).manifests == ()


def test_a_group_and_a_file_of_one_key_stay_two_items(tmp_path):
    again = RunFolder(tmp_path / "again")
    group = RecalledItem(
        Item("image_group", ("u/1", "u/2"), "T"), "x", (RecalledFile("1"), RecalledFile("2"))
    )
    single = RecalledItem(Item("image", ("u/x",)), "x", (RecalledFile("x"),))
    write_recalled(again, [group, single])
    assert build(again, size=1).items == 2


class TestPresentState:
    def test_sizes_and_etags_are_those_that_the_store_has_now(self, folder):
        def head(key: str) -> StoredObject:
            if key == "g/1.jpg":
                raise StorageError("forbidden.")
            return StoredObject(key, 77, NOW, "new")

        [before] = recalled(folder, "g/1.jpg")
        [(after, missing)] = with_present_state([before], head)
        assert missing == []
        assert after.files == (RecalledFile("g/2.jpg", 77, NOW, "new"), before.files[1])
        assert replace(after, files=before.files) == before

    def test_files_that_do_not_exist_are_named(self, folder):
        def head(key: str) -> StoredObject:
            raise ObjectStoreError("no.", reason="missing" if key == "g/1.jpg" else "forbidden")

        items = recalled(folder, "g/1.jpg")
        assert list(with_present_state(items, head)) == [(items[0], ["g/1.jpg"])]

    def test_what_is_not_known_stays_empty(self, tmp_path):
        again = RunFolder(tmp_path / "again")
        write_recalled(again, [RecalledItem(Item("image", ("u/x",)), "x", (RecalledFile("x"),))])
        [row] = pq.read_table(again.path("register.parquet")).to_pylist()
        assert (row["key"], row["size_bytes"], row["etag"], row["position"]) == ("x", None, None, 0)
