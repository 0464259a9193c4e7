"""The maths of waiting, as properties: bounds, growth, and that what the other side asked for is kept."""

from __future__ import annotations

import asyncio
import random
import time
from datetime import timedelta
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_sync.errors import EncordError
from cloud_sync.objects import range_reader
from cloud_sync.objects.errors import ObjectStoreError
from cloud_sync.objects.range_reader import FAILURES_IN_A_ROW, LONGEST_ASKED_S, LONGEST_PAUSE_S, RangeReader
from cloud_sync.objects.spans import Span
from cloud_sync.objects.tally import Tally
from cloud_sync.pace import Pace
from cloud_sync_airflow.retry import CloudSyncRetryPolicy
from cloud_sync_airflow.triggers import upload_job
from cloud_sync_airflow.triggers.upload_job import GROWTH, UploadJobTrigger
from tests.unit.objects.fake_store import FakeStore

ASKED_S = st.none() | st.floats(0, 3600)
SEEDS = st.integers(0, 2**32)
MOST_JITTER = 1.25
ROUNDING = 1e-5


class FailingStore(FakeStore):
    """A store with one object that first fails as it is told."""

    def __init__(self, errors) -> None:
        super().__init__({"a.jpg": 1})
        self.errors = errors

    def page(self, *args, **kwargs):
        if self.errors:
            raise self.errors.pop(0)
        return super().page(*args, **kwargs)


def busy(asked_s):
    return ObjectStoreError("busy.", reason="unreachable", transient=True, retry_after_s=asked_s)


class Waits:
    """An event that nobody sets; writes down how long it was waited for."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    def is_set(self):
        return False

    def wait(self, seconds):
        self.waits.append(seconds)


@given(asked=st.lists(st.none() | st.floats(0, LONGEST_ASKED_S), max_size=FAILURES_IN_A_ROW), seed=SEEDS)
def test_a_listing_waits_as_asked_or_within_a_growing_bound(asked, seed):
    store, waits = FailingStore([busy(wait) for wait in asked]), Waits()
    reader = RangeReader(store, tally=Tally(), pace=Pace(1), stopped=waits)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(range_reader.random, "uniform", random.Random(seed).uniform)
        assert sum(batch.num_rows for batch in reader.pages(Span(""))) == 1
    assert len(waits.waits) == len(asked)
    for number, (wanted, waited) in enumerate(zip(asked, waits.waits, strict=True), start=1):
        if wanted:
            assert waited == wanted
        else:
            assert 0 <= waited <= min(LONGEST_PAUSE_S, 2**number)


@given(count=st.integers(FAILURES_IN_A_ROW + 1, FAILURES_IN_A_ROW + 20))
def test_a_listing_gives_up_after_so_many_failures_in_a_row(count):
    failures = [ObjectStoreError("down.", reason="unreachable", transient=True) for _ in range(count)]
    store, waits = FailingStore(failures), Waits()
    reader = RangeReader(store, tally=Tally(), pace=Pace(1), stopped=waits)
    with pytest.raises(ObjectStoreError, match="down"):
        list(reader.pages(Span("")))
    assert len(waits.waits) == FAILURES_IN_A_ROW


@given(
    first_s=st.floats(10, 60),
    longest_s=st.floats(60, 600),
    asked=st.lists(ASKED_S, max_size=12),
    seed=SEEDS,
)
def test_a_trigger_waits_as_asked_or_longer_each_time_up_to_its_limit(first_s, longest_s, asked, seed):
    slept = asyncio.run(waits_of_a_trigger(first_s, longest_s, asked, seed))
    assert len(slept) == len(asked) + 1
    for number, (before, waited) in enumerate(zip([None, *asked], slept, strict=True)):
        least = max(min(first_s * GROWTH**number, longest_s), before or 0)
        assert least <= waited * (1 + ROUNDING)
        assert waited <= least * MOST_JITTER * (1 + ROUNDING)


async def waits_of_a_trigger(first_s, longest_s, asked, seed):
    """Wait for a job whose service is busy so often; return the waits."""
    answers, slept = [EncordError("busy.", transient=True, retry_after_s=wait) for wait in asked], []

    def ask(_):
        if answers:
            raise answers.pop(0)
        return SimpleNamespace(finished=True, status="DONE")

    async def sleep(seconds):
        slept.append(seconds)

    trigger = UploadJobTrigger(
        encord_conn_id="encord",
        folder_uuid="f",
        job_id="j",
        first_interval_s=first_s,
        longest_interval_s=longest_s,
        deadline=time.time() + 10**6,
    )
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(upload_job.asyncio, "sleep", sleep)
        patched.setattr(upload_job.random, "uniform", random.Random(seed).uniform)
        patched.setattr(UploadJobTrigger, "_ask", ask)
        assert [event.payload["event"] async for event in trigger.run()] == ["finished"]
    return slept


def test_a_listing_that_is_asked_for_a_long_pause_ends_with_it():
    asked_s = 1.5 * LONGEST_ASKED_S
    store, waits = FailingStore([busy(asked_s)]), Waits()
    reader = RangeReader(store, tally=Tally(), pace=Pace(1), stopped=waits)
    with pytest.raises(ObjectStoreError) as caught:
        list(reader.pages(Span("")))
    assert (caught.value.transient, caught.value.retry_after_s, waits.waits) == (True, asked_s, [])


@given(first_s=st.floats(1, 60), longest_s=st.floats(60, 3600), tries=st.integers(1, 500), asked=ASKED_S)
def test_a_task_waits_as_asked_or_within_a_growing_bound(first_s, longest_s, tries, asked):
    policy = CloudSyncRetryPolicy(first_delay_s=first_s, longest_delay_s=longest_s)
    decision = policy.evaluate(EncordError("busy.", transient=True, retry_after_s=asked), tries, 500)
    waited, bound = (
        decision.retry_delay / timedelta(seconds=1),
        min(first_s * 2.0 ** min(tries - 1, 30), longest_s),
    )
    assert (asked or 0) <= waited + ROUNDING
    assert bound / 2 - ROUNDING <= waited <= max(bound, (asked or 0) + bound / 10) + ROUNDING
