"""The trigger: one event, growing waits, nothing blocked, and no job cancelled by a restart."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from types import SimpleNamespace

import pytest
from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

from cloud_sync.errors import ConfigError, EncordError
from cloud_sync.registration.model import CANCELLED, DONE, ERROR, PENDING, JobState
from cloud_sync_airflow.triggers import upload_job
from cloud_sync_airflow.triggers.upload_job import UploadJobTrigger

ARGUMENTS = {
    "encord_conn_id": "encord_default",
    "folder_uuid": "folder-1",
    "job_id": "job-1",
    "first_interval_s": 10.0,
    "longest_interval_s": 60.0,
    "deadline": 2_000_000_000.0,
}


def state(status):
    return JobState(status, 0 if status != PENDING else 3, 0, 0, 0, (), (), ())


class Encord:
    def __init__(self, *answers):
        self.answers = list(answers)
        self.polls = 0
        self.cancelled: list[tuple[str, str]] = []
        self.threads: set[int] = set()

    def poll_upload_job(self, folder_uuid, job_id):
        self.polls += 1
        self.threads.add(threading.get_ident())
        answer = self.answers.pop(0) if self.answers else state(PENDING)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def cancel_upload_job(self, folder_uuid, job_id):
        self.cancelled.append((folder_uuid, job_id))
        return 3


@pytest.fixture
def sleeps(monkeypatch):
    """The waits, which pass at once: the clock of the deadline moves with them."""
    slept: list[float] = []
    started = time.time()

    async def sleep(seconds):
        slept.append(seconds)

    monkeypatch.setattr(upload_job.asyncio, "sleep", sleep)
    monkeypatch.setattr(upload_job.random, "uniform", lambda low, high: low)
    monkeypatch.setattr(upload_job.time, "time", lambda: started + sum(slept))
    monkeypatch.setattr(upload_job, "monotonic", lambda: sum(slept))
    return slept


def trigger_for(encord, **changes) -> UploadJobTrigger:
    trigger = UploadJobTrigger(**{**ARGUMENTS, "deadline": time.time() + 3600, **changes})
    trigger._client = encord
    return trigger


async def events_of(trigger):
    return [event.payload async for event in trigger.run()]


def test_serialize_literally():
    path, arguments = UploadJobTrigger(**ARGUMENTS).serialize()
    assert path == "cloud_sync_airflow.triggers.upload_job.UploadJobTrigger"
    assert arguments == ARGUMENTS
    assert UploadJobTrigger(**json.loads(json.dumps(arguments))).serialize() == (path, arguments)


@pytest.mark.parametrize("status", [DONE, ERROR, CANCELLED])
async def test_a_finished_job_fires_once(sleeps, status):
    encord = Encord(state(PENDING), state(PENDING), state(status))
    assert await events_of(trigger_for(encord)) == [
        {"event": "finished", "job_id": "job-1", "message": status, "was_pending": True}
    ]
    assert encord.polls == 3


async def test_a_job_that_had_finished_before_it_was_asked_about_was_never_seen_pending(sleeps):
    [event] = await events_of(trigger_for(Encord(EncordError("down", transient=True), state(CANCELLED))))
    assert event["was_pending"] is False


async def test_the_waits_grow_up_to_the_longest(sleeps):
    await events_of(trigger_for(Encord(*[state(PENDING)] * 7, state(DONE))))
    assert sleeps == [10, 15, 22.5, 33.75, 50.625, 60, 60, 60]


async def test_the_waits_are_spread(monkeypatch):
    slept = []

    async def sleep(seconds):
        slept.append(seconds)

    monkeypatch.setattr(upload_job.asyncio, "sleep", sleep)
    for _ in range(20):
        await events_of(trigger_for(Encord(state(DONE))))
    assert all(10 <= seconds <= 12.5 for seconds in slept)
    assert len(set(slept)) > 1


async def test_temporary_failures_are_waited_out_as_asked(sleeps):
    busy = EncordError("busy", transient=True, retry_after_s=120)
    encord = Encord(EncordError("down", transient=True), busy, state(DONE))
    assert (await events_of(trigger_for(encord)))[0]["event"] == "finished"
    assert sleeps == [10, 15, 120]


@pytest.mark.parametrize("error", [ConfigError("key revoked"), EncordError("folder is gone")])
async def test_a_refusal_fires_at_once(sleeps, error):
    encord = Encord(state(PENDING), error)
    assert await events_of(trigger_for(encord)) == [
        {"event": "refused", "job_id": "job-1", "message": str(error), "was_pending": True}
    ]


async def test_the_deadline_ends_the_wait(sleeps):
    encord = Encord()
    events = await events_of(trigger_for(encord, deadline=upload_job.time.time() + 100))
    assert [event["event"] for event in events] == ["deadline"]
    assert sum(sleeps) == pytest.approx(100)
    assert encord.cancelled == []


@pytest.mark.parametrize("days", [-1, 1])
async def test_a_clock_moved_by_a_day_neither_ends_nor_stretches_the_wait(sleeps, monkeypatch, days):
    class Moving(Encord):
        def poll_upload_job(self, folder_uuid, job_id):
            monkeypatch.setattr(upload_job.time, "time", lambda: started + days * 86_400)
            return super().poll_upload_job(folder_uuid, job_id)

    started = upload_job.time.time()
    assert (await events_of(trigger_for(Moving(*[state(PENDING)] * 5, state(DONE)))))[0][
        "event"
    ] == "finished"
    assert sum(sleeps) < 300
    endless = trigger_for(Moving(), deadline=upload_job.time.time() + 100)
    sleeps.clear()
    assert (await events_of(endless))[0]["event"] == "deadline"
    assert sum(sleeps) == pytest.approx(100)


async def test_a_deadline_that_has_passed_fires_without_a_question(sleeps):
    encord = Encord()
    events = await events_of(trigger_for(encord, deadline=upload_job.time.time() - 1))
    assert ([event["event"] for event in events], encord.polls) == (["deadline"], 0)


async def test_no_question_is_asked_in_the_event_loop():
    release = threading.Event()

    class Slow(Encord):
        def poll_upload_job(self, folder_uuid, job_id):
            release.wait(5)
            return super().poll_upload_job(folder_uuid, job_id)

    encord = Slow(state(DONE))
    waiting = asyncio.create_task(events_of(trigger_for(encord, first_interval_s=0)))
    for _ in range(3):
        await asyncio.sleep(0.01)  # the loop runs on while the question is open
    assert not waiting.done()
    release.set()
    assert (await waiting)[0]["event"] == "finished"
    assert threading.get_ident() not in encord.threads


async def test_the_end_of_the_triggerer_leaves_the_job_alone():
    encord = Encord()
    trigger = trigger_for(encord, first_interval_s=60)
    waiting = asyncio.create_task(events_of(trigger))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await trigger.cleanup()
    assert encord.cancelled == []


async def test_a_person_who_ends_the_task_cancels_the_job():
    encord = Encord()
    await trigger_for(encord).on_kill()
    assert encord.cancelled == [("folder-1", "job-1")]


@pytest.mark.parametrize(("waiting", "cancelled"), [(0, [("folder-1", "job-1")]), (1, [])])
async def test_a_job_that_another_triggerer_has_taken_over_is_left_alone(monkeypatch, waiting, cancelled):
    asked = []
    monkeypatch.setattr(
        RuntimeTaskInstance, "get_ti_count", staticmethod(lambda **what: asked.append(what) or waiting)
    )
    encord = Encord()
    trigger = trigger_for(encord)
    trigger.task_instance = SimpleNamespace(dag_id="d", task_id="register", run_id="r", map_index=3)
    await trigger.on_kill()
    assert encord.cancelled == cancelled
    this_task = {"dag_id": "d", "map_index": 3, "task_ids": ["register"], "run_ids": ["r"]}
    assert asked == [{**this_task, "states": ["deferred"]}]


async def test_a_cancel_that_airflow_breaks_off_is_made_all_the_same(monkeypatch):
    asked, answer = threading.Event(), threading.Event()

    def count(**what):
        asked.set()
        answer.wait(5)
        return 0

    monkeypatch.setattr(RuntimeTaskInstance, "get_ti_count", staticmethod(count))
    encord = Encord()
    trigger = trigger_for(encord)
    trigger.task_instance = SimpleNamespace(dag_id="d", task_id="register", run_id="r", map_index=3)
    killing = asyncio.create_task(trigger.on_kill())
    await asyncio.to_thread(asked.wait, 5)
    killing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await killing
    answer.set()
    for _ in range(100):
        if encord.cancelled:
            break
        await asyncio.sleep(0.01)
    assert encord.cancelled == [("folder-1", "job-1")]
