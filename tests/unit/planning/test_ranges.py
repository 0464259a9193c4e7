"""Listing and ledger joined range by range, as one join would."""

from __future__ import annotations

import pyarrow.parquet as pq
import pytest

from cloud_sync.planning import ranges
from cloud_sync.planning.plan import make_plan
from cloud_sync.run_folder import RunFolder
from tests.unit.planning.test_departures import ledger_of
from tests.unit.tables import LONG_AGO, an_integration, an_object, write_listing

BY_FOLDER = {"groups": [{"type": "image_group", "by": "folder", "complete": {"quiet_for": "0s"}}]}


@pytest.fixture
def folder(tmp_path) -> RunFolder:
    (tmp_path / "run").mkdir()
    return RunFolder(tmp_path / "run")


def tables_of(folder: RunFolder, parts: list, ledger, **sections) -> dict[str, list]:
    """Plan, and return what was written of it."""
    plan = make_plan(
        folder, listing_parts=parts, integration=an_integration(**sections), ledger=ledger, now=LONG_AGO
    )
    names = ("plan.parquet", "register.parquet")
    rows = {name: pq.read_table(folder.path(name)).to_pylist() for name in names}
    return rows | {"summary": list(plan.rows)}


@pytest.mark.parametrize("sections", [{}, BY_FOLDER])
@pytest.mark.parametrize("in_order", [True, False])
def test_ranges_change_nothing(folder, monkeypatch, sections, in_order):
    keys = [f"{group}/{n}.jpg" for group in ("a", "é", "z") for n in range(10, 40)]
    before = [*keys[3:], "0/gone.jpg", "b/gone.jpg", "zz/gone.jpg"]
    ledger = ledger_of(folder, *before[::-1], failed=("é/12.jpg",))
    listed = [an_object(key, etag="new" if key.endswith("15.jpg") else f"etag of {key}") for key in keys]
    parts = [
        write_listing(
            folder.root / f"{n}.parquet", listed[n::3] if not in_order else listed[30 * n : 30 * (n + 1)]
        )
        for n in range(3)
    ]
    whole = tables_of(folder, parts, ledger, **sections)
    seen = []
    view = ranges._view
    monkeypatch.setattr(
        ranges, "_view", lambda engine, condition: seen.append(condition) or view(engine, condition)
    )
    monkeypatch.setattr(ranges, "OBJECTS_PER_RANGE", 30)
    by_range = tables_of(folder, parts, ledger, **sections)
    assert len(set(seen)) == 4, "three ranges, and the whole before and after them"

    def in_any_order(rows):
        return sorted(rows, key=lambda row: (row["key"], row["reason"]))

    assert in_any_order(by_range["plan.parquet"]) == in_any_order(whole["plan.parquet"])
    assert by_range["register.parquet"] == whole["register.parquet"]
    assert by_range["summary"] == whole["summary"]
    reasons = {row["reason"] for row in whole["plan.parquet"]}
    alone = {"changed", "new", "quarantined", "registered", "removed"}
    assert reasons >= ({"registered_otherwise", "removed"} if sections else alone)
