"""The plan's summary: a line counts items where there are some, and objects where there are none."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from cloud_sync.planning.model import PlanRow


def row(objects: int, items: int) -> PlanRow:
    return PlanRow("register", "image", "new", objects, 10, ("a.jpg", "b.jpg"), items)


@pytest.mark.parametrize(
    ("objects", "items", "said"),
    [
        (3, 3, (3, "items")),
        (1, 1, (1, "item")),
        (2400, 2, (2, "items of 2,400 objects")),
        (12, 1, (1, "item of 12 objects")),
        (5, 0, (5, "objects")),
        (1, 0, (1, "object")),
    ],
)
def test_what_a_line_counts(objects, items, said):
    assert (row(objects, items).number, row(objects, items).unit) == said


def test_through_json_and_back():
    assert PlanRow.from_json(json.loads(json.dumps(asdict(row(2, 1))))) == row(2, 1)
