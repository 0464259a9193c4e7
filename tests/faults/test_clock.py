"""A clock that jumps a day, forward or back: between runs, in the middle of one, or only on this machine."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from cloud_sync.errors import CloudSyncError
from cloud_sync.objects import listing
from cloud_sync.registration import jobs
from cloud_sync.registration.client import EncordClient
from cloud_sync_airflow.triggers import upload_job
from cloud_sync_airflow.triggers.upload_job import UploadJobEvent, UploadJobTrigger
from tests.faults.memory import World

DAY = timedelta(days=1)
AHEAD_AND_BEHIND = pytest.mark.parametrize("moved", [DAY, -DAY], ids=["ahead", "behind"])
TEN_MINUTES = {"minimum_age": "10m"}


@pytest.fixture
def clock(monkeypatch):
    """Move the clock by which the stages write down times, from now on."""

    def move(by):
        for module in (jobs, listing):
            monkeypatch.setattr(module, "datetime", moved_datetime(by))

    return move


def moved_datetime(by):
    """Return a datetime whose present is another."""

    class Moved(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) + by

    return Moved


@AHEAD_AND_BEHIND
def test_a_clock_that_was_wrong_in_one_night_loses_nothing_in_the_next(tmp_path, clock, moved):
    world = World(tmp_path)
    clock(moved)
    first = world.sync("night-1")
    first.run()
    world.check(first)
    clock(timedelta())
    world.add("camera-9/new.jpg")
    second = world.sync("night-2")
    second.run()
    assert second.report["registered"] == 1
    assert second.ledger.current().counts == {"registered": 19, "quarantined": 4}
    third, sent = world.sync("night-3"), len(world.encord.sent)
    third.run()
    assert (len(world.encord.sent), third.report["verdict"]) == (sent, "ok_with_quarantine")


@AHEAD_AND_BEHIND
def test_a_clock_that_jumps_in_the_middle_of_a_run_changes_nothing(tmp_path, clock, moved):
    world = World(tmp_path)
    sync = world.sync()
    sync.run("list", "plan", "build")
    clock(moved)
    sync.run("register")
    clock(timedelta())
    sync.run("settle")
    world.check(sync)


@AHEAD_AND_BEHIND
def test_what_failed_for_a_passing_reason_while_the_clock_was_wrong_is_registered_once(
    tmp_path, clock, moved
):
    world, key = World(tmp_path), "camera-9/shy.jpg"
    world.add(key)
    world.encord.shy_of = key
    clock(moved)
    world.sync("night-1").run()
    clock(timedelta())
    world.encord.shy_of = None
    second = world.sync("night-2")
    second.run()
    assert second.report["registered"] == 1
    world.sync("night-3").run()
    assert list(world.encord.files.values()).count((second.urls.build(key),)) == 1


def test_with_a_clock_behind_objects_look_too_young_and_are_held_until_it_is_right(tmp_path, clock):
    world = World(tmp_path)
    # The store's clock is right: all objects were written an hour ago.
    written = datetime.now(UTC) - timedelta(hours=1)
    age_all(world, written)
    clock(-DAY)
    first = world.sync("night-1", select=TEN_MINUTES)
    first.run()
    assert world.encord.sent == []
    assert first.report["verdict"] == "ok"
    assert {row["reason"] for row in first.report["planned"]} == {"too_young"}
    clock(timedelta())
    second = world.sync("night-2", select=TEN_MINUTES)
    second.run()
    world.check(second)


def age_all(world, written):
    """Have the store say of every object that it was written then."""
    page = world.bucket.page

    def dated(*args, **kwargs):
        found = page(*args, **kwargs)
        times = pa.array([written] * found.rows.num_rows, pa.timestamp("us", "UTC"))
        columns = {name: found.rows[name] for name in found.rows.schema.names} | {"last_modified": times}
        return replace(found, rows=pa.RecordBatch.from_pydict(columns, schema=found.rows.schema))

    world.bucket.page = dated


@AHEAD_AND_BEHIND
def test_a_clock_that_encord_does_not_agree_with_is_an_error_that_a_person_can_act_on(
    bench, monkeypatch, moved
):
    monkeypatch.setattr("encord.http.v2.request_signer.datetime", moved_datetime(moved))
    client = EncordClient(domain=bench.service.url, ssh_private_key=bench.service.private_key)
    with pytest.raises(CloudSyncError, match="does not accept the SSH key") as caught:
        client.check()
    assert (caught.value.transient, caught.value.where) == (False, bench.service.url)
    assert caught.value.remedy


# The trigger, whose deadline is a time of day


@pytest.fixture
def waiting(monkeypatch):
    """A trigger whose job finishes at the fourth question; `jump` moves the clock at the second."""

    def make(jump):
        clock, asked, slept = {"now": 1_000_000.0}, [], []

        async def sleep(seconds):
            slept.append(seconds)
            clock["now"] += seconds

        def ask(trigger):
            asked.append(clock["now"])
            if len(asked) == 2:
                clock["now"] += jump.total_seconds()
            return type("State", (), {"finished": len(asked) == 4, "status": "DONE", "pending": 1})()

        monkeypatch.setattr(upload_job.time, "time", lambda: clock["now"])
        monkeypatch.setattr(upload_job.asyncio, "sleep", sleep)
        monkeypatch.setattr(UploadJobTrigger, "_ask", ask)
        trigger = UploadJobTrigger(
            encord_conn_id="encord",
            folder_uuid="f",
            job_id="j",
            first_interval_s=10,
            longest_interval_s=60,
            deadline=1_000_000 + 24 * 3600,
        )
        return trigger, slept

    return make


async def first_event(trigger):
    async for event in trigger.run():
        return event.payload["event"]
    raise AssertionError("the trigger fired no event")


@AHEAD_AND_BEHIND
def test_a_clock_that_jumps_neither_ends_the_wait_for_a_job_nor_makes_it_longer(waiting, moved):
    trigger, slept = waiting(moved)
    assert asyncio.run(first_event(trigger)) == UploadJobEvent.FINISHED
    assert len(slept) == 4
    assert max(slept) <= 60 * 1.25
