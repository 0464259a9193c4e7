"""Held polls: released by the end of their own job, by the end of the service, or by the clock."""

from __future__ import annotations

import asyncio
import threading
import time
from uuid import UUID

from cloud_sync.dataset_service.holding import JobEnds

ONE, OTHER = UUID(int=1), UUID(int=2)


async def held_s(ends: JobEnds, timeout_s: float, act) -> float:
    started = time.monotonic()
    with ends.watch(ONE) as waiter:
        thread = threading.Thread(target=act)
        thread.start()
        await waiter.wait(timeout_s)
    await asyncio.to_thread(thread.join)
    return time.monotonic() - started


async def test_the_end_of_the_job_releases_at_once():
    ends = JobEnds()
    assert await held_s(ends, 5, lambda: ends.announce(ONE)) < 1


async def test_the_end_of_another_job_does_not():
    ends = JobEnds()
    assert await held_s(ends, 0.1, lambda: ends.announce(OTHER)) >= 0.1


async def test_an_end_between_watching_and_waiting_is_not_missed():
    ends = JobEnds()
    with ends.watch(ONE) as waiter:
        ends.announce(ONE)
        await asyncio.wait_for(waiter.wait(5), 1)


async def test_the_end_of_the_service_releases_all_and_holds_none_after():
    ends = JobEnds()
    assert await held_s(ends, 5, ends.close) < 1
    assert await held_s(ends, 5, lambda: None) < 1


async def test_nothing_is_remembered_of_a_job_that_nobody_waits_for():
    ends = JobEnds()
    for number in range(3):
        with ends.watch(UUID(int=number)):
            pass
    assert not ends._waiting
