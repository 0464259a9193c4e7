"""Ranges: how large the pages are that are asked for."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

import pytest

from cloud_sync.objects.model import Page
from cloud_sync.objects.range_reader import RangeReader
from cloud_sync.objects.spans import Span
from cloud_sync.objects.tally import Tally
from cloud_sync.pace import Pace

from .fake_store import FakeStore


class FixedPace(Pace):
    """Knows from the start how many requests in flight are worth it."""

    def __init__(self, worth: int) -> None:
        super().__init__(worth)
        self._worth = worth


@dataclass
class Recorder(FakeStore):
    """Keeps the limits that it was asked for."""

    limits: list[Any] = field(default_factory=list)

    def page(self, prefix: str, *, limit: int | None = None, **query: Any) -> Page:
        """List as S3 does."""
        self.limits.append(limit)
        return super().page(prefix, limit=limit, **query)


@pytest.mark.parametrize(("in_flight", "asked"), [(1, None), (2, 3)])
def test_pages_are_as_large_as_the_store_gives_them_only_while_no_others_are_in_flight(
    in_flight: int, asked: int | None
) -> None:
    store = Recorder({f"{number:02}.jpg": 1 for number in range(10)}, page_size=5)
    store.keys_per_shared_page = 3
    reader = RangeReader(store, tally=Tally(), pace=FixedPace(in_flight), stopped=threading.Event())
    assert sum(rows.num_rows for rows in reader.pages(Span(""))) == 10
    assert set(store.limits) == {asked}
