"""Items leave datasets and are read back, with the real SDK against the running dataset service."""

from __future__ import annotations

from functools import partial

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cloud_sync.errors import EncordError
from cloud_sync.registration.contents import Contents, write_contents
from cloud_sync.registration.model import UNLINKED_NAME
from cloud_sync.registration.unlink import removed_folder_name
from cloud_sync.registration.unlink import unlink as unlink_with

HOLD_S = 20
LIST = "unlink.parquet"
unlink = partial(unlink_with, find_present=lambda keys: set())


def write_list(desk, *items: tuple[str, tuple[str, ...]]) -> None:
    rows = [
        {"item_type": item_type, "item_key": keys[0], "position": position, "key": key}
        | {"url": desk.url(key), "reason": "removed"}
        for item_type, keys in items
        for position, key in enumerate(keys)
    ]
    with desk.folder.writing(LIST) as path:
        pq.write_table(pa.Table.from_pylist(rows), path)


@pytest.mark.parametrize("backing_folder", [True, False])
def test_items_leave_the_dataset_and_are_kept(open_desk, backing_folder):
    desk = open_desk(backing_folder=backing_folder)
    desk.registrar().advance(desk.manifest("0.jpg", "1.jpg", ("2.jpg", "3.jpg")), hold_s=HOLD_S)
    write_list(desk, ("image", ("0.jpg",)), ("image_group", ("2.jpg", "3.jpg")))
    for absent in (0, 2):
        done = unlink(desk.folder, LIST, desk.client, desk.target(), integration_name=desk.name)
        assert (done.items, done.absent) == (2, absent)
        assert desk.rows() == ["1.jpg"]
        desk.folder.remove(UNLINKED_NAME)  # as if the task had died before it wrote this
    kept = desk.client.find_folder(removed_folder_name(desk.name)) if backing_folder else None
    assert len(list(desk.client.folder_items(kept or desk.target().folder_uuid))) == (2 if kept else 3)


@pytest.mark.parametrize("backing_folder", [True, False])
def test_an_item_whose_object_came_back_in_time_stays(open_desk, backing_folder):
    desk = open_desk(backing_folder=backing_folder)
    desk.registrar().advance(desk.manifest("0.jpg", "1.jpg"), hold_s=HOLD_S)
    write_list(desk, ("image", ("0.jpg",)), ("image", ("1.jpg",)))
    done = unlink(
        desk.folder,
        LIST,
        desk.client,
        desk.target(),
        integration_name=desk.name,
        find_present=lambda keys: {"1.jpg"} & set(keys),
    )
    assert (done.items, done.absent, done.came_back) == (1, 0, 1)
    assert desk.rows() == ["1.jpg"]


def test_what_comes_back_is_linked_again(open_desk):
    desk = open_desk(backing_folder=False)
    desk.registrar().advance(desk.manifest("0.jpg"), hold_s=HOLD_S)
    write_list(desk, ("image", ("0.jpg",)))
    unlink(desk.folder, LIST, desk.client, desk.target(), integration_name=desk.name)
    assert desk.rows() == []
    desk.registrar().advance(desk.manifest("0.jpg", number=1), hold_s=HOLD_S)
    assert desk.rows() == ["0.jpg"]


def test_a_row_that_was_renamed_is_found_too(open_desk):
    desk = open_desk(backing_folder=False)
    desk.registrar().advance(desk.manifest("0.jpg", "1.jpg"), hold_s=HOLD_S)
    dataset = desk.user.get_dataset(desk.target().dataset_uuid)
    real = type(dataset).list_data_rows
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            type(dataset),
            "list_data_rows",
            lambda self, title_eq=None: [] if title_eq else real(self),
        )
        [uuid] = [
            one.uuid for one in desk.client.folder_items(desk.target().folder_uuid) if one.name == "0.jpg"
        ]
        assert desk.client.unlink_items(desk.target().dataset_uuid, [uuid]) == 1
    assert desk.rows() == ["1.jpg"]


def test_rows_of_a_dataset_with_a_folder_of_its_own_are_not_deleted(open_desk):
    desk = open_desk(backing_folder=True)
    desk.registrar().advance(desk.manifest("0.jpg"), hold_s=HOLD_S)
    [item] = desk.client.folder_items(desk.target().folder_uuid)
    with pytest.raises(EncordError):
        desk.client.unlink_items(desk.target().dataset_uuid, [item.uuid])
    assert desk.rows() == ["0.jpg"]


def test_what_a_dataset_holds_is_read_as_a_table(open_desk, tmp_path):
    desk = open_desk(backing_folder=False)
    desk.registrar().advance(desk.manifest("0.jpg", ("2.jpg", "3.jpg")), hold_s=HOLD_S)
    prefix = desk.url("")
    path = tmp_path / "contents.parquet"
    target = desk.target()

    def read() -> Contents:
        return write_contents(
            desk.client,
            target.folder_uuid,
            lambda url: url.removeprefix(prefix),
            path,
            dataset_uuid=target.dataset_uuid,
        )

    found = read()
    assert (found.items, found.files, found.foreign) == (2, 3, 0)
    rows = pq.read_table(path).to_pylist()
    assert sorted((row["key"], row["item_type"]) for row in rows) == [
        ("0.jpg", "image"),
        ("2.jpg", "image_group"),
        ("3.jpg", "image_group"),
    ]
    write_list(desk, ("image", ("0.jpg",)))
    unlink(desk.folder, LIST, desk.client, desk.target(), integration_name=desk.name)
    assert read().items == 1


def test_what_another_dataset_has_of_the_folder_is_not_read(open_desk, tmp_path):
    desk = open_desk(backing_folder=False)
    desk.registrar().advance(desk.manifest("0.jpg", "1.jpg"), hold_s=HOLD_S)
    target = desk.target()
    elsewhere = desk.user.create_dataset("Another", 4, create_backing_folder=False).dataset_hash
    write_list(desk, ("image", ("0.jpg",)))
    desk.client.link_items(elsewhere, [one.uuid for one in desk.client.folder_items(target.folder_uuid)])
    done = unlink(desk.folder, LIST, desk.client, target, integration_name=desk.name)
    assert (done.items, done.absent) == (1, 0)
    path = tmp_path / "contents.parquet"
    found = write_contents(desk.client, target.folder_uuid, str, path, dataset_uuid=target.dataset_uuid)
    assert (found.items, pq.read_table(path)["title"].to_pylist()) == (1, ["1.jpg"])
    assert len(desk.client.dataset_items(elsewhere)) == 2
