"""The rules of upload jobs, on a real database and a store in memory."""

from __future__ import annotations

import threading
import uuid

import pytest
from sqlalchemy import select

from cloud_sync.dataset_service import worker as worker_module
from cloud_sync.dataset_service.datasets import create_dataset, dataset_answer, link_items
from cloud_sync.dataset_service.jobs import cancel_job, dataset_job_state, job_state, start_job
from cloud_sync.dataset_service.refusals import AlreadyExists, InvalidRequest, NotAllowed, NotFound
from cloud_sync.dataset_service.tables import Item, Job, Unit
from cloud_sync.dataset_service.wire import CreateDataset, LinkItems, StartJob
from cloud_sync.dataset_service.worker import UNITS_PER_TRANSACTION, Worker

from .house import LIMITS, USER, House, images
from .memory import INTEGRATION, JPEG


@pytest.fixture
def house(tmp_path):
    house = House(tmp_path)
    yield house
    if house.worker:
        house.store.gate.set()
        house.worker.stop()
    house.database.close()


def counts(state) -> tuple[int, int, int, int]:
    return (
        state.units_pending_count,
        state.units_done_count,
        state.units_error_count,
        state.units_cancelled_count,
    )


def test_good_units_are_registered_and_bad_ones_named(house):
    house.work()
    house.store.objects["s3://b/text.mp4"] = b"hello"
    content = images("s3://b/0.jpg", "s3://b/none.jpg", "s3://b/a b.jpg") | {
        "videos": [{"objectUrl": "s3://b/text.mp4"}]
    }
    state = house.run(content, ignore_errors=True)
    assert (state.status, counts(state)) == ("DONE", (0, 1, 3, 0))
    assert [error.object_urls for error in state.unit_errors] == [
        ["s3://b/none.jpg"],
        ["s3://b/a b.jpg"],
        ["s3://b/text.mp4"],
    ]
    assert state.unit_errors[2].error == "Expected a video, got a file of type text/plain: s3://b/text.mp4"
    assert state.unit_errors[2].action_description == "Processing video"
    assert state.errors == [error.error for error in state.unit_errors]
    assert [item.name for item in state.items_with_names] == ["0.jpg"]
    assert house.urls() == ["s3://b/0.jpg"]
    assert house.linked() == 1


def test_without_ignore_errors_the_first_error_ends_the_job_and_nothing_is_registered(house):
    house.work()
    urls = [f"s3://b/{n}.jpg" for n in range(UNITS_PER_TRANSACTION + 50)]
    state = house.run(images(*urls[:100], "s3://b/none.jpg", *urls[100:]))
    assert (state.status, counts(state)) == ("ERROR", (0, 0, 1, len(urls)))
    assert state.items_with_names == []
    assert house.urls() == []
    assert urls[-1] not in house.store.reads


def test_without_ignore_errors_healthy_units_are_registered_together(house):
    house.work()
    state = house.run(images(*(f"s3://b/{n}.jpg" for n in range(150))))
    assert (state.status, counts(state)) == ("DONE", (0, 150, 0, 0))
    assert len(house.urls()) == house.linked() == 150


def test_duplicates_are_registered_again_unless_they_are_to_be_skipped(house):
    house.work()
    house.run(images("s3://b/0.jpg", "s3://b/0.jpg"))
    assert house.urls() == ["s3://b/0.jpg"] * 2


@pytest.mark.parametrize("ignore_errors", [True, False])
def test_skipping_covers_the_folder_and_the_manifest_itself(house, ignore_errors):
    house.work()
    house.run(images("s3://b/0.jpg"), ignore_errors=ignore_errors)
    content = images("s3://b/0.jpg", "s3://b/1.jpg", "s3://b/1.jpg", skip_duplicate_urls=True)
    state = house.run(content, ignore_errors=ignore_errors)
    assert (state.status, counts(state)) == ("DONE", (0, 3, 0, 0))
    assert len(state.items_with_names) == 1
    assert house.urls() == ["s3://b/0.jpg", "s3://b/1.jpg"]
    assert house.linked() == 2


def test_what_is_registered_is_not_fetched_again(house):
    house.work()
    house.run(images("s3://b/0.jpg"))
    house.store.reads.clear()
    del house.store.objects["s3://b/0.jpg"]
    assert house.run(images("s3://b/0.jpg", skip_duplicate_urls=True)).status == "DONE"
    assert house.store.reads == []


def test_a_url_that_differs_in_one_character_is_no_duplicate(house):
    house.work()
    house.store.objects |= {"s3://b/%30.jpg": JPEG}
    house.run(images("s3://b/0.jpg", skip_duplicate_urls=True))
    house.run(images("s3://b/%30.jpg", skip_duplicate_urls=True))
    assert len(house.urls()) == 2


def test_two_jobs_at_once_do_not_register_one_url_twice(house):
    content = images(*(f"s3://b/{n}.jpg" for n in range(120)), skip_duplicate_urls=True)
    jobs = [house.submit(content, ignore_errors=True) for _ in range(4)]
    house.work()
    for _ in jobs:
        house.wait()
    assert [house.state(job).status for job in jobs] == ["DONE"] * 4
    assert len(house.urls()) == len(set(house.urls())) == house.linked() == 120
    assert sum(len(house.state(job).items_with_names) for job in jobs) == 120


def test_upsert_changes_the_metadata_of_what_is_skipped(house):
    house.work()
    first = {"images": [{"objectUrl": "s3://b/0.jpg", "clientMetadata": {"a": 1, "b": 1}}]}
    second = {"images": [{"objectUrl": "s3://b/0.jpg", "clientMetadata": {"b": 2}}]}
    house.run(first)
    house.run({**second, "skip_duplicate_urls": True})
    with house.database.reading() as session:
        assert session.scalar(select(Item.client_metadata)) == {"a": 1, "b": 1}
    house.run({**second, "skip_duplicate_urls": True, "upsert_metadata": True})
    with house.database.reading() as session:
        assert session.scalar(select(Item.client_metadata)) == {"a": 1, "b": 2}


def test_cancelling_keeps_what_is_registered_and_drops_the_rest(house):
    total = UNITS_PER_TRANSACTION + 50
    house.work(threads=1)
    house.store.gate.clear()
    job = house.submit(images(*(f"s3://b/{n}.jpg" for n in range(total))), ignore_errors=True)
    with house.database.writing() as session:
        assert cancel_job(session, USER, job, house.folder).units_cancelled_count == total
    house.store.gate.set()
    house.wait()
    state = house.state(job)
    assert (state.status, counts(state)) == ("CANCELLED", (0, 0, 0, total))
    assert house.urls() == []


def test_cancelling_a_finished_job_changes_nothing(house):
    house.work()
    job = house.submit(images("s3://b/0.jpg"))
    house.wait()
    with house.database.writing() as session:
        assert cancel_job(session, USER, job, house.folder).units_cancelled_count == 0
    assert house.state(job).status == "DONE"


@pytest.mark.parametrize("ignore_errors", [True, False])
def test_the_next_process_goes_on_where_the_last_one_ended(house, ignore_errors):
    urls = [f"s3://b/{n}.jpg" for n in range(UNITS_PER_TRANSACTION + 20)]
    held = urls[-1]
    size, gate = house.store.size, threading.Event()
    house.store.size = lambda url: gate.wait(20) and size(url) if url == held else size(url)
    house.work()
    job = house.submit(images(*urls), ignore_errors=ignore_errors)
    wait_for(lambda: house.state(job).units_done_count == UNITS_PER_TRANSACTION)
    house.worker.stop()
    house.store.size = size
    house.store.reads.clear()
    house.work()
    house.wait()
    gate.set()
    state = house.state(job)
    assert (state.status, counts(state)) == ("DONE", (0, len(urls), 0, 0))
    assert house.urls() == sorted(urls)
    assert house.linked() == len(urls)
    assert urls[0] not in house.store.reads


def wait_for(condition, timeout_s: float = 10) -> None:
    pause = threading.Event()
    for _ in range(int(timeout_s / 0.02)):
        if condition():
            return
        pause.wait(0.02)
    raise TimeoutError


def test_a_transaction_that_fails_leaves_nothing_and_is_tried_again(house, monkeypatch):
    monkeypatch.setattr(worker_module, "PAUSE_AFTER_FAILURE_S", 0.01)
    finish, failures = worker_module.finish, [OSError("disk full"), OSError("disk full")]

    def failing(*arguments):
        if failures:
            raise failures.pop()
        finish(*arguments)

    monkeypatch.setattr(worker_module, "finish", failing)
    house.work()
    state = house.run(images("s3://b/0.jpg", "s3://b/1.jpg"), ignore_errors=True)
    assert (state.status, counts(state)) == ("DONE", (0, 2, 0, 0))
    assert house.urls() == ["s3://b/0.jpg", "s3://b/1.jpg"]


def test_an_odd_file_stops_only_its_own_unit(house):
    house.work()
    size = house.store.size
    house.store.size = lambda url: 1 // 0 if url == "s3://b/1.jpg" else size(url)
    state = house.run(images("s3://b/0.jpg", "s3://b/1.jpg"), ignore_errors=True)
    assert state.errors == ["The file could not be processed: s3://b/1.jpg"]
    assert house.urls() == ["s3://b/0.jpg"]


def test_a_job_whose_integration_is_gone_ends_with_errors(house):
    job = house.submit(images("s3://b/0.jpg"), ignore_errors=True)
    house.worker = Worker(house.database, {}, LIMITS, 1, lambda _: house.ended.release())
    house.worker.start()
    house.wait()
    assert house.state(job).errors == ["The Encord integration is no longer configured: s3://b/0.jpg"]


def test_a_refused_manifest_leaves_no_job(house):
    with pytest.raises(InvalidRequest):
        house.submit({"nonsense": []})
    asked = StartJob(external_files=images("s3://b/0.jpg"), integration_hash=uuid.uuid4())
    with pytest.raises(InvalidRequest, match="is unknown"), house.database.writing() as session:
        start_job(session, USER, house.folder, asked, limits=LIMITS, integrations=[INTEGRATION])
    with house.database.reading() as session:
        assert session.scalars(select(Job)).all() == session.scalars(select(Unit)).all() == []


def test_others_see_neither_folder_nor_job(house):
    job = house.submit(images("s3://b/0.jpg"))
    with house.database.reading() as session:
        with pytest.raises(NotAllowed):
            job_state(session, "other@example.com", job, house.folder)
        with pytest.raises(NotFound):
            job_state(session, USER, job, uuid.uuid4())
        # The legacy protocol does not sign which dataset it asks for, so its owner alone decides.
        with pytest.raises(NotAllowed):
            dataset_answer(session, "other@example.com", house.dataset, settings={})
        with pytest.raises(NotAllowed):
            dataset_job_state(session, "other@example.com", job, house.dataset)
        with pytest.raises(NotAllowed):
            start_job(
                session,
                "other@example.com",
                house.folder,
                StartJob(),
                limits=LIMITS,
                integrations=[INTEGRATION],
            )


def test_linking_skips_fails_or_doubles(house):
    house.work()
    items = [item.item_uuid for item in house.run(images("s3://b/0.jpg", "s3://b/1.jpg")).items_with_names]
    with house.database.writing() as session:
        other = create_dataset(
            session, USER, CreateDataset(title="e", create_backing_folder=False)
        ).dataset_uuid

    def link(uuids, behaviour="SKIP"):
        with house.database.writing() as session:
            asked = LinkItems(item_uuids=uuids, duplicates_behavior=behaviour)
            return [row["backing_item_uuid"] for row in link_items(session, USER, other, asked)]

    assert link(items[:1] * 2) == [str(items[0])]
    assert link(items) == [str(items[1])]
    with pytest.raises(AlreadyExists):
        link(items, "FAIL")
    assert link(items, "DUPLICATE") == [str(item) for item in items]
    with pytest.raises(NotAllowed):
        link([uuid.uuid4()])
