"""The maths of attempts: how many, that a pause is kept by all, and that a call ends in time."""

from __future__ import annotations

import contextlib
import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cloud_sync.objects.attempts import ATTEMPTS, CALL_WITHIN_S, LONGEST_BACKOFF_S, Attempts
from cloud_sync.objects.errors import ObjectStoreError

WAITS = st.none() | st.floats(0, 2 * CALL_WITHIN_S)
TOOK_S = st.floats(0, CALL_WITHIN_S)


def failure(asked_s: float | None = None, *, transient: bool = True) -> ObjectStoreError:
    return ObjectStoreError("no.", reason="unreachable", transient=transient, retry_after_s=asked_s)


class Time:
    """A clock that only sleeping and working move."""

    def __init__(self) -> None:
        self.now = 500.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def attempts(self, seed: int = 0) -> Attempts:
        return Attempts(clock=lambda: self.now, sleep=self.sleep, draw=random.Random(seed).uniform)


class Call:
    """A call that takes its time and fails as it is told, then succeeds."""

    def __init__(self, time: Time, *fates: tuple[float, float | None]) -> None:
        self.time = time
        self.fates = list(fates)
        self.began: list[float] = []

    def __call__(self, deadline: float) -> str:
        self.began.append(self.time.now)
        if not self.fates:
            return "done"
        took_s, asked_s = self.fates.pop(0)
        self.time.now += took_s
        raise failure(asked_s)


@given(fates=st.lists(st.tuples(TOOK_S, WAITS), max_size=ATTEMPTS + 2), seed=st.integers(0, 99))
def test_no_request_comes_too_early_too_often_or_too_late(fates, seed):
    time = Time()
    call, began_at = Call(time, *fates), time.now
    with contextlib.suppress(ObjectStoreError):
        assert time.attempts(seed).make(call, "bucket b") == "done"
        assert len(call.began) == len(fates) + 1
    assert len(call.began) <= ATTEMPTS
    assert call.began[-1] < began_at + CALL_WITHIN_S
    answered = [start + took_s for start, (took_s, _) in zip(call.began, fates, strict=False)]
    for (_, asked_s), told_at, next_at in zip(fates, answered, call.began[1:], strict=False):
        assert next_at >= told_at + (asked_s or 0) - 1e-6


def test_the_waits_of_a_store_that_names_none_grow_to_a_bound():
    waits = [[], [], [], []]
    for seed in range(300):
        time = Time()
        with pytest.raises(ObjectStoreError):
            time.attempts(seed).make(Call(time, *[(0.0, None)] * ATTEMPTS), "bucket b")
        for number, slept in enumerate(time.slept):
            waits[number].append(slept)
    longest = [max(each) for each in waits]
    assert longest == sorted(longest)
    assert 0.9 * LONGEST_BACKOFF_S < longest[-1] <= LONGEST_BACKOFF_S
    assert min(waits[-1]) < 1  # full jitter


def test_what_is_refused_for_good_is_asked_once():
    time, asked = Time(), []

    def call(deadline):
        asked.append(deadline)
        raise failure(transient=False)

    with pytest.raises(ObjectStoreError):
        time.attempts().make(call, "bucket b")
    assert asked == [time.now + CALL_WITHIN_S]
    assert time.slept == []


def test_a_pause_that_one_call_was_asked_for_is_kept_by_the_next():
    time = Time()
    attempts = time.attempts()
    long_s = CALL_WITHIN_S + 20
    with pytest.raises(ObjectStoreError):
        attempts.make(Call(time, (0.0, long_s)), "bucket b")

    early = Call(time)
    with pytest.raises(ObjectStoreError, match="bucket b, object 'a': the store is overloaded") as caught:
        attempts.make(early, "bucket b, object 'a'")
    assert (early.began, caught.value.transient, caught.value.retry_after_s) == ([], True, long_s)

    time.now += 30
    late = Call(time)
    assert attempts.make(late, "bucket b") == "done"
    assert late.began[0] >= 500 + long_s
    assert late.began[0] < 500 + long_s + 0.1 * long_s


@given(
    asked_s=st.floats(0, 2 * CALL_WITHIN_S), after_s=st.floats(0, 2 * CALL_WITHIN_S), share=st.floats(0, 1)
)
@example(asked_s=CALL_WITHIN_S - 3, after_s=1.0, share=1.0)
def test_a_pause_that_another_call_was_asked_for_leaves_time_for_the_request(asked_s, after_s, share):
    time = Time()
    attempts = Attempts(clock=lambda: time.now, sleep=time.sleep, draw=lambda low, high: share * (high - low))
    over_at = time.now + asked_s
    with pytest.raises(ObjectStoreError):
        attempts.make(lambda _: (_ for _ in ()).throw(failure(asked_s, transient=False)), "bucket b")
    time.now += after_s
    call, deadline = Call(time), time.now + CALL_WITHIN_S
    with contextlib.suppress(ObjectStoreError):
        attempts.make(call, "bucket b")
    assert bool(call.began) == (over_at < deadline)
    assert all(over_at - 1e-6 <= began < deadline for began in call.began)
