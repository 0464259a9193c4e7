"""Image groups, sequences and series as jobs: their order, their child items, their duplicates and errors."""

from __future__ import annotations

import sqlite3
import threading

import pytest
from sqlalchemy import func, select

from cloud_sync.dataset_service import worker as worker_module
from cloud_sync.dataset_service.checking import READ_ONLY
from cloud_sync.dataset_service.datasets import create_dataset, data_rows, link_items
from cloud_sync.dataset_service.folders import child_items, get_items
from cloud_sync.dataset_service.refusals import InvalidRequest, NotAllowed, NotFound
from cloud_sync.dataset_service.tables import Item
from cloud_sync.dataset_service.wire import CreateDataset, DataRowFilter, LinkItems

from .house import USER, House, group, images
from .memory import DICOM, NIFTI, WAV

# Not in the order of their names, and with one file twice.
FRAMES = ("s3://b/7.jpg", "s3://b/3.jpg", "s3://b/10.jpg", "s3://b/3.jpg")


@pytest.fixture
def house(tmp_path):
    house = House(tmp_path)
    house.store.objects |= {f"s3://b/{n}.dcm": DICOM for n in range(3)}
    house.work()
    yield house
    house.store.gate.set()
    house.worker.stop()
    house.database.close()


def groups(*entries: dict, **flags) -> dict:
    return {"image_groups": list(entries), **flags}


def rows(house, **asked) -> list[dict]:
    with house.database.reading() as session:
        return data_rows(session, USER, house.dataset, DataRowFilter(**asked))


def count_items(house) -> int:
    with house.database.reading() as session:
        return session.scalar(select(func.count()).select_from(Item))


@pytest.mark.parametrize("ignore_errors", [True, False])
def test_a_group_keeps_the_order_of_its_files(house, ignore_errors):
    state = house.run(groups(group("g", *FRAMES, clientMetadata={"a": 1})), ignore_errors=ignore_errors)
    (item,) = house.items()
    assert [(named.item_uuid, named.name) for named in state.items_with_names] == [(item.uuid, "g")]
    assert (item.item_type, item.frame_count, item.url) == ("imageGroup", 4, None)
    assert item.client_metadata == '{"a": 1}'
    children = house.children(item)
    assert [child.url for child in children] == list(FRAMES)
    assert [child.name for child in children] == ["7.jpg", "3.jpg", "10.jpg", "3.jpg"]
    assert {(child.item_type, child.mime_type, child.client_metadata) for child in children} == {
        ("image", "image/jpeg", "{}")
    }
    assert len({child.uuid for child in children}) == 4


def test_sequences_and_series_have_words_and_children_of_their_own(house):
    series = {"dicom_series": [{"title": "s", "objectUrl_0": "s3://b/2.dcm", "objectUrl_1": "s3://b/0.dcm"}]}
    house.run(groups(group("q", *FRAMES[:2], createVideo=True)) | series)
    sequence, found = house.items()
    assert (sequence.item_type, sequence.frame_count) == ("imageSequence", 2)
    assert (found.item_type, found.frame_count) == ("dicomSeries", 2)
    assert {child.item_type for child in house.children(sequence)} == {"image"}
    assert [(child.item_type, child.url, child.mime_type) for child in house.children(found)] == [
        ("dicomFile", "s3://b/2.dcm", "application/dicom"),
        ("dicomFile", "s3://b/0.dcm", "application/dicom"),
    ]


def test_data_rows_tell_the_types_apart(house):
    house.store.objects |= {"s3://b/t": b"hello", "s3://b/w": WAV, "s3://b/p": b"%PDF-1.7", "s3://b/n": NIFTI}
    content = groups(group("g", *FRAMES), group("q", *FRAMES, createVideo=True))
    content |= {"dicom_series": [{"title": "s", "objectUrl_0": "s3://b/0.dcm"}]} | images("s3://b/0.jpg")
    content |= {
        key: [{"objectUrl": f"s3://b/{key[0]}" if key != "audio" else "s3://b/w"}]
        for key in ("text", "audio", "pdf", "nifti")
    }
    state = house.run(content)
    assert (state.status, state.units_done_count) == ("DONE", 8)
    told = {
        row["data_title"]: (row["data_type"], row["is_optimised_image_group"], row["file_link"])
        for row in rows(house)
    }
    assert told == {
        "g": ("IMG_GROUP", False, None),
        "q": ("IMG_GROUP", True, None),
        "s": ("DICOM", None, None),
        "0.jpg": ("IMAGE", None, "s3://b/0.jpg"),
        "t": ("PLAIN_TEXT", None, "s3://b/t"),
        "w": ("AUDIO", None, "s3://b/w"),
        "p": ("PDF", None, "s3://b/p"),
        "n": ("NIFTI", None, "s3://b/n"),
    }
    of_type = rows(house, data_types=["IMG_GROUP", "DICOM"])
    assert [row["data_title"] for row in of_type] == ["g", "q", "s"]


def test_duplicates_are_judged_by_the_whole_list_and_the_type(house):
    first, second, third = FRAMES[:3]
    house.run(groups(group("g", first, second)))
    content = groups(
        group("same list, other title", first, second),
        group("other order", second, first),
        group("one more", first, second, third),
        group("one less", first),
        group("sequence", first, second, createVideo=True),
        group("one more", first, second, third),
        skip_duplicate_urls=True,
    ) | images(first)
    state = house.run(content)
    assert (state.units_done_count, len(state.items_with_names)) == (7, 5)
    assert [item.name for item in house.items()] == [
        "7.jpg",
        "g",
        "one less",
        "one more",
        "other order",
        "sequence",
    ]
    again = house.run(content)
    assert (again.units_done_count, again.items_with_names) == (7, [])


def test_a_group_that_is_known_is_not_fetched_again(house):
    house.run(groups(group("g", *FRAMES)))
    house.store.reads.clear()
    house.run(groups(group("g", *FRAMES), skip_duplicate_urls=True))
    assert house.store.reads == []
    house.run(images(FRAMES[0], skip_duplicate_urls=True))
    assert house.store.reads == [FRAMES[0]]


def test_upsert_changes_the_metadata_of_the_same_group_only(house):
    house.run(groups(group("g", *FRAMES), group("h", *FRAMES[:2])))
    house.run(
        groups(group("g", *FRAMES, clientMetadata={"a": 1}), skip_duplicate_urls=True, upsert_metadata=True)
    )
    assert {item.name: item.client_metadata for item in house.items()} == {"g": '{"a": 1}', "h": "{}"}


def test_one_bad_file_fails_its_whole_group_and_no_other(house):
    house.store.objects |= {"s3://b/text.jpg": b"hello"}
    bad = group("bad", FRAMES[0], "s3://b/text.jpg", FRAMES[1], "s3://b/none.jpg")
    state = house.run(groups(bad, group("good", *FRAMES)), ignore_errors=True)
    assert (state.status, state.units_done_count, state.units_error_count) == ("DONE", 1, 1)
    (error,) = state.unit_errors
    assert error.object_urls == ["s3://b/text.jpg", "s3://b/none.jpg"]
    assert error.error == (
        "Expected an image, got a file of type text/plain: s3://b/text.jpg; "
        "The object does not exist: s3://b/none.jpg"
    )
    assert error.action_description == "Processing image group"
    assert count_items(house) == 1 + len(FRAMES)


def test_without_ignore_errors_a_bad_group_leaves_no_child_items(house):
    state = house.run(groups(group("good", *FRAMES), group("bad", "s3://b/0.dcm")))
    assert (state.status, state.units_error_count, state.units_cancelled_count) == ("ERROR", 1, 1)
    assert count_items(house) == 0


def test_supplied_metadata_of_a_file_is_believed_and_the_others_are_read(house):
    supplied = {"mimeType": "image/png", "fileSize": 5, "width": 3, "height": 2}
    frames = [
        {"url": "s3://b/nowhere.png", "imageMetadata": supplied},
        {"url": "s3://b/0.jpg", "title": "zero"},
    ]
    house.run(None, data_items={"imageGroups": [{"title": "g", "images": frames}]})
    assert house.store.reads == ["s3://b/0.jpg"]
    first, second = house.children(house.items()[0])
    assert (first.mime_type, first.file_size, first.width, first.height) == ("image/png", 5, 3, 2)
    assert (second.name, second.mime_type) == ("zero", "image/jpeg")


def test_a_sequence_needs_an_integration_that_may_write(house):
    house.store.writable = False
    state = house.run(groups(group("q", *FRAMES, createVideo=True), group("g", *FRAMES)), ignore_errors=True)
    (error,) = state.unit_errors
    assert error.object_urls == list(FRAMES)
    assert error.error == f"{READ_ONLY}: {FRAMES[0]}"
    assert [item.name for item in house.items()] == ["g"]


def test_the_files_of_one_group_are_looked_at_side_by_side(house):
    meeting = threading.Barrier(4, timeout=10)
    size = house.store.size
    house.store.size = lambda url: meeting.wait() * 0 + size(url)
    assert house.run(groups(group("g", *FRAMES))).status == "DONE"


def test_large_groups_are_portioned_by_their_files(house, monkeypatch):
    monkeypatch.setattr(worker_module, "FILES_PER_TRANSACTION", 5)
    portions, settle = [], worker_module._settle

    def watched(session, job_id, findings, location):
        portions.append(len(findings))
        return settle(session, job_id, findings, location)

    monkeypatch.setattr(worker_module, "_settle", watched)
    content = groups(*(group(f"g{n}", *FRAMES[:3]) for n in range(5))) | images(*FRAMES[:2])
    state = house.run(content, ignore_errors=True)
    assert (state.status, state.units_done_count) == ("DONE", 7)
    assert portions == [2, 2, 3]


def test_child_items_are_found_by_their_item_and_not_in_lists(house):
    house.run(groups(group("g", *FRAMES)) | images("s3://b/0.jpg"))
    single, found = house.items()
    assert [single.name, found.name] == ["0.jpg", "g"]
    assert house.children(single) == []
    child = house.children(found)[1]
    with house.database.reading() as session:
        (same,) = get_items(session, USER, [child.uuid])
        assert (same.url, same.parent) == (FRAMES[1], house.folder)
        with pytest.raises(NotAllowed):
            child_items(session, "other@example.com", house.folder, found.uuid)
        with pytest.raises(NotFound, match="not in this folder"):
            child_items(session, USER, child.uuid, found.uuid)


def test_groups_are_linked_and_their_child_items_are_not(house):
    house.run(groups(group("g", *FRAMES)))
    (found,) = house.items()
    with house.database.writing() as session:
        asked = CreateDataset(title="e", create_backing_folder=False)
        other = create_dataset(session, USER, asked).dataset_uuid
        (row,) = link_items(session, USER, other, LinkItems(item_uuids=[found.uuid]))
    assert (row["data_type"], row["data_title"]) == ("IMG_GROUP", "g")
    child = house.children(found)[0]
    with (
        pytest.raises(InvalidRequest, match="link the item that holds them"),
        house.database.writing() as session,
    ):
        link_items(session, USER, other, LinkItems(item_uuids=[child.uuid]))


def test_lists_and_duplicates_are_looked_up_by_index(house, tmp_path):
    house.run(groups(group("g", *FRAMES)))
    connection = sqlite3.connect(tmp_path / "service.sqlite")

    def plan(where: str) -> str:
        rows = connection.execute(f"EXPLAIN QUERY PLAN SELECT uuid FROM items WHERE {where}").fetchall()
        return " ".join(row[3] for row in rows)

    own = "folder_uuid = 'f' AND parent_item_uuid IS NULL"
    by_name = plan(f"{own} AND (name, uuid) > ('a', 'b') ORDER BY name, uuid")
    assert "ix_items_by_name" in by_name
    assert "TEMP B-TREE" not in by_name
    assert "ix_items_by_urls" in plan(f"{own} AND urls_digest IN ('a', 'b')")
    children = plan("parent_item_uuid = 'i' ORDER BY position")
    assert "ix_items_by_parent" in children
    assert "TEMP B-TREE" not in children
    connection.close()
