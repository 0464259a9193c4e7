"""Natural order."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_sync.planning.natural import natural_key

NAMES = st.lists(
    st.one_of(st.text("ab_-. /é", max_size=2), st.integers(0, 10**25).map(str), st.just("007")), max_size=5
).map("".join)


@pytest.mark.parametrize(
    "ordered",
    [
        ["frame9.jpg", "frame10.jpg", "frame100.jpg"],
        ["1+(2).jpg", "1+(32).jpg", "1+(33).jpg", "1+(100).jpg", "2+(1).jpg"],
        ["a2b10", "a2b9x"][::-1],
        ["a", "a1", "a1b", "a10", "ab"],
        ["x-1.5", "x-1.10"],
        ["v" + "1" * 45, "v" + "1" * 46],
    ],
)
def test_numbers_count_as_numbers(ordered):
    assert [natural_key(text) for text in ordered] == sorted(map(natural_key, ordered))


@given(st.text("ab_-. /é", max_size=4), st.text("ab_-. /é", max_size=4), st.integers(0), st.integers(0))
def test_between_equal_texts_the_numbers_decide(before, after, one, other):
    keys = [natural_key(f"{before}{number}{after}") for number in (one, other)]
    assert (keys[0] < keys[1]) == (one < other)


@given(NAMES, NAMES)
def test_only_leading_zeros_are_lost(one, other):
    def bare(text):
        return re.sub("[0-9]+", lambda number: str(int(number[0])), text)

    assert (natural_key(one) == natural_key(other)) == (bare(one) == bare(other))


@given(st.text())
def test_text_without_digits_keeps_its_order(text):
    bare = re.sub("[0-9]", "", text)
    assert natural_key(bare) == bare
