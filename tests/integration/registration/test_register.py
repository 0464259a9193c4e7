"""The register stage with the real SDK against the running dataset service."""

from __future__ import annotations

import time

import pytest

from cloud_sync.errors import ConfigError, EncordError
from cloud_sync.registration.client import EncordClient
from cloud_sync.registration.errors import EncordRefusedError
from cloud_sync.registration.jobs import JobStatus
from cloud_sync.registration.model import CANCELLED, read_outcome
from tests.integration.registration.conftest import BUCKET, PICTURES
from tests.servers import running_dataset_service
from tests.unit.registration.keys import ed25519_key

GOOD = tuple(f"{number}.jpg" for number in range(PICTURES))
HOLD_S = 20


class KilledError(BaseException):
    """Stands for a process that ends here."""


class Dying:
    """The real client, until one of its calls ends the process: before it is made, or after."""

    def __init__(self, client, call, *, after=False):
        self._client, self._call, self._after = client, call, after

    def __getattr__(self, name):
        real = getattr(self._client, name)
        if name != self._call:
            return real

        def dying(*args, **kwargs):
            if self._after:
                real(*args, **kwargs)
            raise KilledError

        return dying


@pytest.mark.parametrize("backing_folder", [True, False])
def test_good_objects_become_rows_and_bad_ones_are_named(open_desk, backing_folder):
    desk = open_desk(backing_folder=backing_folder)
    record = desk.registrar().advance(desk.manifest(*GOOD, "bad.jpg", "missing.jpg"), hold_s=HOLD_S)
    outcome = read_outcome(desk.folder, 0)
    assert record.status is JobStatus.DONE
    assert (outcome.items, outcome.done, outcome.failed) == (8, PICTURES, 2)
    assert outcome.linked == (0 if backing_folder else PICTURES)
    refused = {url for error in outcome.unit_errors for url in error.urls}
    assert refused == {desk.s3.url(BUCKET, "bad.jpg"), desk.s3.url(BUCKET, "missing.jpg")}
    assert len(desk.rows()) == PICTURES


def test_a_second_run_registers_nothing_twice(open_desk):
    desk = open_desk(backing_folder=False)
    desk.registrar().advance(desk.manifest(*GOOD), hold_s=HOLD_S)
    before = desk.rows()
    record = desk.registrar().advance(desk.manifest(*GOOD, number=1), hold_s=HOLD_S)
    assert record.status is JobStatus.DONE
    assert desk.rows() == before
    assert len(list(desk.client.folder_items(desk.target().folder_uuid))) == PICTURES


def test_without_ignore_errors_one_bad_file_fails_the_job(open_desk):
    desk = open_desk()
    record = desk.registrar(ignore_errors=False).advance(desk.manifest("0.jpg", "bad.jpg"), hold_s=HOLD_S)
    outcome = read_outcome(desk.folder, 0)
    assert (record.status, outcome.status) == (JobStatus.FAILED, "failed")
    assert outcome.job_errors
    assert outcome.failed >= 1


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("call", ["start_upload_job", "poll_upload_job", "link_items"])
def test_a_task_killed_at_any_call_is_finished_by_the_next(open_desk, call, after):
    desk = open_desk(backing_folder=False)
    entry = desk.manifest(*GOOD, "bad.jpg")
    with pytest.raises(KilledError):
        desk.registrar(client=Dying(desk.client, call, after=after)).advance(entry, hold_s=HOLD_S)
    record = desk.registrar().advance(entry, hold_s=HOLD_S)
    outcome = read_outcome(desk.folder, 0)
    assert (record.status, outcome.failed) == (JobStatus.DONE, 1)
    assert len(desk.rows()) == PICTURES
    assert len(list(desk.client.folder_items(desk.target().folder_uuid))) == PICTURES


def test_items_that_were_never_linked_are_linked(open_desk):
    desk = open_desk(backing_folder=False)
    target = desk.target()
    entry = desk.manifest(*GOOD)
    job = desk.client.start_upload_job(
        target.folder_uuid,
        desk.folder.path(entry.name),
        encord_integration_uuid=target.encord_integration_uuid,
        ignore_errors=True,
    )
    assert desk.client.poll_upload_job(target.folder_uuid, job, HOLD_S).done == PICTURES
    assert desk.rows() == []
    desk.registrar().advance(entry, hold_s=HOLD_S)
    assert len(desk.rows()) == PICTURES


def test_cancelling_a_finished_job_changes_nothing(open_desk):
    desk = open_desk()
    record = desk.registrar().advance(desk.manifest(*GOOD), hold_s=HOLD_S)
    folder = desk.target().folder_uuid
    assert desk.client.cancel_upload_job(folder, record.job_id) == 0
    assert desk.client.poll_upload_job(folder, record.job_id).status != CANCELLED


def test_items_are_found_again_by_url(open_desk):
    desk = open_desk()
    desk.registrar().advance(desk.manifest(*GOOD), hold_s=HOLD_S)
    items = list(desk.client.folder_items(desk.target().folder_uuid))
    assert {item.url for item in items} == {desk.s3.url(BUCKET, key) for key in GOOD}


# Names and keys


def test_unknown_names_are_errors_that_name_near_ones(open_desk):
    desk = open_desk()
    with pytest.raises(ConfigError, match="Near titles: 'test storage'"):
        desk.client.find_encord_integration("test store")
    with pytest.raises(ConfigError, match="Near titles"):
        desk.client.find_dataset(desk.dataset + "s")
    with pytest.raises((ConfigError, EncordRefusedError)):
        desk.client.find_dataset("00000000-0000-0000-0000-00000000dead")


def test_a_dataset_is_the_same_by_title_and_by_hash(open_desk):
    desk = open_desk()
    by_title = desk.client.find_dataset(desk.dataset)
    assert desk.client.find_dataset(by_title.uuid) == by_title


def test_a_title_of_two_datasets_is_an_error(open_desk):
    desk = open_desk()
    desk.user.create_dataset(desk.dataset, 4)
    with pytest.raises(ConfigError, match="2 have this title"):
        desk.client.find_dataset(desk.dataset)


def test_a_key_that_nobody_knows_is_a_permanent_error(service):
    client = EncordClient(domain=service.url, ssh_private_key=ed25519_key())
    with pytest.raises(ConfigError, match="does not accept the SSH key") as caught:
        client.check()
    assert not caught.value.transient


# Trouble on the way


@pytest.fixture
def troubled(tmp_path, s3, open_desk):
    """Open a desk at a service of its own that has the given faults."""
    running = []

    def start(*faults):
        running.append(running_dataset_service(tmp_path / "service", s3, [BUCKET], faults=list(faults)))
        return open_desk(backing_folder=False, service=running[0].__enter__())

    yield start
    for one in running:
        one.__exit__(None, None, None)


def test_a_lost_answer_registers_nothing_twice(troubled):
    lost = {"fault": "lose_answer", "path": "data-upload-jobs$", "methods": ["POST"], "times": 1}
    desk = troubled(lost)
    entry = desk.manifest(*GOOD)
    with pytest.raises(EncordError) as caught:
        desk.registrar().advance(entry, hold_s=HOLD_S)
    assert caught.value.transient
    record = desk.registrar().advance(entry, hold_s=HOLD_S)
    assert (record.status, record.submissions) == (JobStatus.DONE, 2)
    assert len(desk.rows()) == PICTURES


def test_a_busy_service_is_left_alone_for_as_long_as_it_asks(troubled):
    busy = {"fault": "refuse", "path": "data-upload-jobs$", "status": 429, "retry_after_s": 2, "times": 2}
    desk = troubled(busy)
    began = time.monotonic()
    assert desk.registrar().advance(desk.manifest(*GOOD), hold_s=HOLD_S).submissions == 1
    assert time.monotonic() - began >= 4


def test_a_service_that_is_busy_for_long_is_not_asked_again_before(troubled):
    desk = troubled({"fault": "refuse", "path": "data-upload-jobs$", "status": 429, "retry_after_s": 300})
    entry = desk.manifest(*GOOD)
    for said in ("asks for fewer requests", "a pause that is not over yet"):
        with pytest.raises(EncordRefusedError, match=said) as caught:
            desk.registrar().advance(entry)
        assert caught.value.transient
        assert 290 < caught.value.retry_after_s <= 300


@pytest.mark.parametrize("status", [429, 503, 504])
def test_a_poll_that_fails_once_costs_nothing_but_time(troubled, status):
    desk = troubled({"fault": "refuse", "path": "data-upload-jobs/", "status": status, "times": 1})
    entry = desk.manifest(*GOOD)
    assert desk.registrar().advance(entry).status is JobStatus.SUBMITTED
    assert desk.registrar().advance(entry, hold_s=HOLD_S).status is JobStatus.DONE


def test_a_page_that_fails_once_does_not_end_the_listing(troubled):
    desk = troubled({"fault": "refuse", "path": "/items$", "methods": ["GET"], "status": 503, "times": 1})
    desk.registrar().advance(desk.manifest(*GOOD), hold_s=HOLD_S)
    assert len(list(desk.client.folder_items(desk.target().folder_uuid))) == PICTURES


def test_a_service_that_is_down_is_a_temporary_error_and_the_job_outlives_it(troubled, monkeypatch):
    desk = troubled()
    entry = desk.manifest(*GOOD)
    registrar = desk.registrar()
    start = desk.client.start_upload_job

    def start_and_kill(*args, **kwargs):
        job_id = start(*args, **kwargs)
        desk.service.kill()
        return job_id

    monkeypatch.setattr(desk.client, "start_upload_job", start_and_kill)

    record = registrar.advance(entry)
    assert record.status is JobStatus.SUBMITTED
    job_id = record.job_id
    desk.service.start()
    record = registrar.advance(entry, hold_s=HOLD_S)
    assert (record.status, record.job_id) == (JobStatus.DONE, job_id)
    assert len(desk.rows()) == PICTURES
