"""Numbers that JSON does not know are found at any depth."""

from __future__ import annotations

import math

import pytest

from cloud_sync.json_values import is_finite


@pytest.mark.parametrize("value", [math.nan, -math.inf, [1, (math.inf,)], {"a": [{"b": math.nan}]}])
def test_nan_and_infinity_are_found(value):
    assert not is_finite(value)


def test_a_deep_value_is_looked_through():
    deep: list[object] = [1.5, "nan", None, True]
    for _ in range(20_000):
        deep = [deep]
    assert is_finite(deep)
    deep.append(math.nan)
    assert not is_finite(deep)
