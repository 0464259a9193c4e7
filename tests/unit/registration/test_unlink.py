"""Items whose objects are gone leave the dataset, and only they."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cloud_sync.errors import EncordError
from cloud_sync.manifest.model import SentItem
from cloud_sync.registration.model import Target, read_unlinked
from cloud_sync.registration.unlink import unlink
from cloud_sync.run_folder import RunFolder
from tests.unit.registration.fakes import FakeEncord

LIST = "unlink.parquet"
LINKED = Target("dataset-1", "Dataset", "folder-1", False, "credential-1", "Credential")
BACKING = replace(LINKED, is_backing_folder=True)
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


def write_list(folder: RunFolder, *items: tuple[str, ...]) -> None:
    rows = [
        {"item_type": "image" if len(urls) == 1 else "image_group", "item_key": urls[0]}
        | {"position": position, "url": url}
        for urls in items
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
    done = unlink(folder, LIST, encord, replace(LINKED, folder_uuid=None), integration_name="cams")
    assert (done.items, done.absent) == (1, 1)


@pytest.mark.parametrize(("target", "call"), [(LINKED, "unlink"), (BACKING, "move")])
def test_a_try_after_a_crash_does_the_same(folder, encord, target, call):
    write_list(folder, ("s3://b/a.jpg",), ("s3://b/b.jpg",))
    encord.raises = {call: [EncordError("is down.", transient=True)]}
    with pytest.raises(EncordError):
        unlink(folder, LIST, encord, target, integration_name="cams")
    assert read_unlinked(folder, LIST) is None
    for absent in (0, 2):  # and once more after it had ended
        done = unlink(folder, LIST, encord, target, integration_name="cams")
        assert (done.items, done.absent) == (2, absent)
    assert len(encord.linked) == 2


def test_the_answer_for_another_list_is_none_for_this_one(folder, encord):
    write_list(folder, ("s3://b/a.jpg",))
    unlink(folder, LIST, encord, LINKED, integration_name="cams")
    write_list(folder, ("s3://b/b.jpg",))
    assert read_unlinked(folder, LIST) is None
    folder.remove(LIST)
    assert read_unlinked(folder, LIST) is None
