"""Retry-After: how long a server asks to be left alone."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

LONGEST_PAUSE_S = 6 * 3600.0
"""A server that asks for more is asked again after this: it hardly means it."""

UNIT_S = {"x-ms-retry-after-ms": 0.001, "retry-after-ms": 0.001, "retry-after": 1.0}
"""What a number in each header counts, in seconds; the more exact ones come first."""


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Return how long an answer asks to be left alone, in seconds; None if it does not say.

    Understands both forms of Retry-After, and Azure's headers in milliseconds. A date is held against the
    answer's own Date, so that the clock of this machine does not matter.

    Args:
        headers: Of the answer; the case of their names does not matter.
    """
    values = {name.lower(): value for name, value in headers.items()}
    for name, unit_s in UNIT_S.items():
        text = values.get(name, "").strip()
        digits = text.replace(".", "", 1)
        if digits.isascii() and digits.isdigit():
            return min(float(text) * unit_s, LONGEST_PAUSE_S)
    until = _date(values.get("retry-after", ""))
    if until is None:
        return None
    now = _date(values.get("date", "")) or datetime.now(UTC)
    return min(max((until - now).total_seconds(), 0.0), LONGEST_PAUSE_S)


def _date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):  # a zone of years
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)
