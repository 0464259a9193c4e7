"""Numbers in sentences: `1 item`, `2,000 items were sent`."""

from __future__ import annotations


def counted(number: int, noun: str, many: str = "") -> str:
    """Return `1 item`, `2,000 items`; `many` is the plural of a noun whose plural has more than an s."""
    return f"{number:,} {agreeing(number, noun, many)}"


def agreeing(number: int, one: str, many: str = "") -> str:
    """Return the word that goes with a number; left out, `many` is `one` with an s."""
    return one if number == 1 else many or f"{one}s"
