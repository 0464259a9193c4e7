"""Numbers in sentences."""

from __future__ import annotations

import pytest

from cloud_sync.numbers import agreeing, counted


@pytest.mark.parametrize(
    ("number", "words", "said"),
    [
        (1, ("item",), "1 item"),
        (0, ("item",), "0 items"),
        (2000, ("item",), "2,000 items"),
        (1, ("process", "processes"), "1 process"),
        (3, ("process", "processes"), "3 processes"),
    ],
)
def test_a_noun_goes_with_its_number(number, words, said):
    assert counted(number, *words) == said


def test_so_does_a_verb():
    assert [agreeing(number, "was", "were") for number in (0, 1, 2)] == ["were", "was", "were"]
