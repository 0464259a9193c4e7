"""How many pages in flight a store's speed is worth."""

from __future__ import annotations

import pytest

from cloud_sync.objects.pace import FEWEST, Pace


def paced(waits: list[float], most: int = 32) -> int:
    pace = Pace(most)
    for wait in waits:
        pace.waited(wait)
    return pace.worth


def test_it_begins_with_few():
    assert paced([]) == FEWEST
    assert paced([], most=1) == 1


@pytest.mark.parametrize(("wait_s", "expected"), [(0.0005, FEWEST), (0.0091, FEWEST + 6), (0.08, 32)])
def test_slow_answers_want_many(wait_s: float, expected: int):
    assert paced([wait_s] * 2 * FEWEST) == expected


def test_one_slow_answer_is_no_reason():
    assert paced([0.08, 0.08, 0.08, 0.0001]) == FEWEST


def test_it_never_takes_back():
    assert paced([0.08] * 4 + [0.0] * 200) == 32


def test_never_more_than_allowed():
    assert paced([1.0] * 100, most=5) == 5
