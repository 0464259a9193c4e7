"""Items whose objects are gone leave the dataset, and only they."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cloud_sync.errors import EncordError, StorageError
from cloud_sync.manifest.model import SentItem
from cloud_sync.registration.model import LEFT_NAME, UNLINKED_NAME, Target, read_unlinked
from cloud_sync.registration.unlink import unlink as unlink_with
from cloud_sync.run_folder import RunFolder
from tests.unit.registration.fakes import FakeEncord

LIST = "unlink.parquet"
LINKED = Target("dataset-1", "Dataset", "folder-1", False, "credential-1", "Credential")
BACKING = replace(LINKED, is_backing_folder=True)
REMOVED = "cloud-sync cams removed"
unlink = partial(unlink_with, find_present=lambda keys: set())
GROUP = ("s3://b/g/1.jpg", "s3://b/g/2.jpg")


@pytest.fixture
def folder(tmp_path) -> RunFolder:
    return RunFolder(tmp_path)


@pytest.fixture
def encord() -> FakeEncord:
    """A folder with two images and two groups, all of them in the dataset."""
    encord = FakeEncord()
    for item_type, urls in (
        ("image", ("s3://b/a.jpg",)),
        ("image", ("s3://b/b.jpg",)),
        ("image_group", GROUP[::-1]),
        ("image_group", ("s3://b/h/1.jpg", "s3://b/h/2.jpg", "s3://b/h/3.jpg")),
    ):
        encord.linked.add(encord.hold(SentItem(0, item_type, urls)))
    return encord


def write_list(folder: RunFolder, *items: tuple[str, ...], changed: tuple[tuple[str, ...], ...] = ()) -> None:
    rows = [
        {"item_type": "image" if len(urls) == 1 else "image_group", "item_key": urls[0]}
        | {"position": position, "key": url.removeprefix("s3://b/"), "url": url, "reason": reason}
        for reason, of_reason in (("removed", items), ("changed", changed))
        for urls in of_reason
        for position, url in enumerate(urls)
    ]
    folder.root.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), folder.path(LIST))


def left(encord: FakeEncord) -> set[str]:
    return {"".join(encord.files[uuid]) for uuid in encord.linked}


def test_single_files_and_groups_leave_and_stay_in_their_folder(folder, encord):
    write_list(folder, ("s3://b/a.jpg",), GROUP)
    done = unlink(folder, LIST, encord, LINKED, integration_name="cams")
    assert (done.items, done.absent, done.folder) == (2, 0, "")
    assert left(encord) == {"s3://b/b.jpg", "s3://b/h/1.jpgs3://b/h/2.jpgs3://b/h/3.jpg"}
    assert len(encord.items) == 4
    assert encord.asked == ["item-3"]  # the other group has another number of files
    assert read_unlinked(folder, LIST) == done


def test_what_is_in_a_backing_folder_moves_to_a_folder_of_its_own(folder, encord):
    write_list(folder, ("s3://b/a.jpg",))
    done = unlink(folder, LIST, encord, BACKING, integration_name="cams")
    assert done.folder == "cloud-sync cams removed"
    assert {uuid: where for uuid, (where, _) in encord.moved.items()} == {
        "item-1": "folder 'cloud-sync cams removed'"
    }
    assert "unlink" not in encord.calls


def test_what_is_there_no_more_is_counted_and_nothing_is_asked_for(folder, encord):
    write_list(folder, ("s3://b/gone.jpg",))
    done = unlink(folder, LIST, encord, LINKED, integration_name="cams")
    assert (done.items, done.absent) == (1, 1)
    assert encord.calls == ["items"]
    folder.remove(UNLINKED_NAME)
    done = unlink(folder, LIST, encord, replace(LINKED, folder_uuid=None), integration_name="cams")
    assert (done.items, done.absent) == (1, 1)


@pytest.mark.parametrize(("target", "call"), [(LINKED, "unlink"), (BACKING, "move")])
def test_a_try_after_a_crash_does_the_same(folder, encord, target, call):
    write_list(folder, ("s3://b/a.jpg",), ("s3://b/b.jpg",))
    encord.raises = {call: [EncordError("is down.", transient=True)]}
    with pytest.raises(EncordError):
        unlink(folder, LIST, encord, target, integration_name="cams")
    assert read_unlinked(folder, LIST) is None
    for absent in (0, 2):  # and once more when the answer was lost
        done = unlink(folder, LIST, encord, target, integration_name="cams")
        assert (done.items, done.absent) == (2, absent)
        folder.remove(UNLINKED_NAME)
    assert len(encord.linked) == 2


@pytest.mark.parametrize("target", [LINKED, BACKING])
def test_what_is_registered_again_leaves_the_folder_too(folder, encord, target):
    encord.is_backing_folder = target.is_backing_folder
    write_list(folder, ("s3://b/a.jpg",), changed=(("s3://b/b.jpg",), GROUP))
    done = unlink(folder, LIST, encord, target, integration_name="cams")
    assert (done.items, done.absent) == (1, 0)
    assert (done.changed, done.changed_absent, done.changed_folder) == (2, 0, REMOVED)
    assert done.folder == (REMOVED if target.is_backing_folder else "")
    gone = {"item-1"} if target.is_backing_folder else set()
    assert encord.moved.keys() == gone | {"item-2", "item-3"}
    assert left(encord) == {"s3://b/h/1.jpgs3://b/h/2.jpgs3://b/h/3.jpg"}


def test_one_without_a_data_row_leaves_the_folder_too(folder, encord):
    encord.linked.remove("item-2")
    write_list(folder, changed=(("s3://b/b.jpg",),))
    done = unlink(folder, LIST, encord, LINKED, integration_name="cams")
    assert (done.changed, done.changed_absent) == (1, 0)
    assert list(encord.moved) == ["item-2"]


def test_killed_between_data_row_and_folder_the_next_try_moves_it(folder, encord):
    write_list(folder, changed=(("s3://b/b.jpg",),))
    encord.raises = {"move": [EncordError("is down.", transient=True)]}
    with pytest.raises(EncordError):
        unlink(folder, LIST, encord, LINKED, integration_name="cams")
    assert "item-2" not in encord.linked
    done = unlink(folder, LIST, encord, LINKED, integration_name="cams")
    assert (done.changed, done.changed_absent, list(encord.moved)) == (1, 0, ["item-2"])


@pytest.mark.parametrize("target", [LINKED, BACKING])
def test_once_it_is_done_the_new_item_of_the_same_url_stays(folder, encord, target):
    write_list(folder, changed=(("s3://b/b.jpg",),))
    done = unlink(folder, LIST, encord, target, integration_name="cams")
    new = encord.hold(SentItem(0, "image", ("s3://b/b.jpg",)))
    encord.linked.add(new)
    assert unlink(folder, LIST, encord, target, integration_name="cams") == done
    assert new in encord.items
    assert new in encord.linked


def test_the_answer_for_another_list_is_none_for_this_one(folder, encord):
    write_list(folder, ("s3://b/a.jpg",))
    unlink(folder, LIST, encord, LINKED, integration_name="cams")
    write_list(folder, ("s3://b/b.jpg",))
    assert read_unlinked(folder, LIST) is None
    folder.remove(LIST)
    assert read_unlinked(folder, LIST) is None


class Bucket:
    """Has some keys, and remembers which it was asked about."""

    def __init__(self, *keys: str) -> None:
        self.keys = set(keys)
        self.asked: list[str] = []

    def find_present(self, keys: Iterable[str]) -> set[str]:
        self.asked += (asked := sorted(keys))
        return self.keys & set(asked)


@pytest.mark.parametrize("target", [LINKED, BACKING])
def test_an_item_of_which_any_file_came_back_stays(folder, encord, target):
    encord.is_backing_folder = target.is_backing_folder
    write_list(folder, ("s3://b/a.jpg",), ("s3://b/not-there.jpg",), GROUP, changed=(("s3://b/b.jpg",),))
    bucket = Bucket("g/2.jpg", "b.jpg")
    done = unlink(folder, LIST, encord, target, integration_name="cams", find_present=bucket.find_present)
    assert (done.items, done.absent, done.came_back, done.changed) == (2, 1, 1, 1)
    # Neither what is out of the dataset nor what is there anew is asked about.
    assert sorted(bucket.asked) == ["a.jpg", "g/1.jpg", "g/2.jpg"]
    assert {"item-3", "item-4"} <= encord.linked
    left = pq.read_table(folder.path(done.left_name(LIST)))["key"].to_pylist()
    assert sorted(left) == ["a.jpg", "b.jpg", "not-there.jpg"]


@pytest.mark.parametrize("changed", [(), (("s3://b/b.jpg",),)])
def test_what_came_back_after_it_had_left_is_taken_for_gone(folder, encord, changed):
    write_list(folder, ("s3://b/a.jpg",), changed=changed)
    unlink(folder, LIST, encord, LINKED, integration_name="cams")
    folder.remove(UNLINKED_NAME)  # the process was killed right before
    bucket = Bucket("a.jpg")
    done = unlink(folder, LIST, encord, LINKED, integration_name="cams", find_present=bucket.find_present)
    assert (done.items, done.absent, done.came_back) == (1, 1, 0)
    assert done.left_name(LIST) == LIST
    assert not folder.exists(LEFT_NAME)


def test_nothing_leaves_if_the_store_cannot_be_asked(folder, encord):
    def refuses(keys: Iterable[str]) -> set[str]:
        raise StorageError("is down.", transient=True)

    write_list(folder, ("s3://b/a.jpg",), changed=(("s3://b/b.jpg",),))
    with pytest.raises(StorageError):
        unlink(folder, LIST, encord, BACKING, integration_name="cams", find_present=refuses)
    assert (encord.moved, encord.calls, read_unlinked(folder, LIST)) == ({}, ["items"], None)
