"""How many pages in flight a store's speed is worth."""

from __future__ import annotations

import pytest

from cloud_sync.pace import SHORTEST_ROUND, Pace


def paced(waits: list[float], *, most: int = 32, busy: float = 0.1) -> int:
    """Give pages one after another, in a process that is busy for a share of the time."""
    clock = {"s": 0.0}
    pace = Pace(most, wall_s=lambda: clock["s"], cpu_s=lambda: clock["s"] * busy)
    for wait in waits:
        clock["s"] += wait
        pace.waited(wait)
    return pace.worth


def test_it_begins_with_one():
    assert paced([]) == 1


@pytest.mark.parametrize(("wait_s", "expected"), [(0.0005, 1), (0.0091, 7), (0.08, 32)])
def test_slow_answers_want_many(wait_s: float, expected: int):
    assert paced([wait_s] * SHORTEST_ROUND) == expected


def test_cheaper_work_wants_more():
    pace = Pace(64, work_s=0.0005, wall_s=lambda: 1.0, cpu_s=lambda: 0.0)
    for _ in range(SHORTEST_ROUND):
        pace.waited(0.01)
    assert pace.worth == 21


def test_one_slow_answer_is_no_reason():
    assert paced([0.08] * (SHORTEST_ROUND - 1) + [0.0001]) == 1


def test_a_busy_process_gains_nothing():
    assert paced([0.08] * 100, busy=0.9) == 1


def test_it_never_takes_back():
    assert paced([0.08] * 4 + [0.0] * 200) == 32


def test_never_more_than_allowed():
    assert paced([1.0] * 100, most=5) == 5
