"""Natural order: `frame10` after `frame9`."""

from __future__ import annotations

import re

DIGITS = re.compile("[0-9]+")


def natural_key(text: str) -> str:
    """Return a text whose plain order is the natural order of the given one.

    Each number stands there with its number of digits before it, without leading zeros. Texts that differ in
    leading zeros only come out equal.
    """
    return DIGITS.sub(_with_length, text)


def _with_length(number: re.Match[str]) -> str:
    digits = number[0].lstrip("0")
    return f"{len(digits):04}{digits}"
