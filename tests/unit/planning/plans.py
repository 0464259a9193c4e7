"""Plans of a few objects."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from cloud_sync.ledger import LedgerVersion
from cloud_sync.planning.model import Sources
from cloud_sync.planning.plan import Plan, make_plan
from cloud_sync.run_folder import RunFolder
from tests.unit.tables import LONG_AGO, an_integration, write_listing


def plan_of(
    folder: RunFolder,
    *objects: Any,
    ledger: LedgerVersion | None = None,
    now: datetime = LONG_AGO,
    full_pass: bool = False,
    narrowed_to: str | None = None,
    sources: Sources | None = None,
    **sections: Any,
) -> Plan:
    """Plan what is listed; a text stands for an object with this key, and sections are the integration's."""
    folder.root.mkdir(parents=True, exist_ok=True)
    return make_plan(
        folder,
        listing_parts=[write_listing(folder.root / "part.parquet", objects)] if objects else [],
        integration=an_integration(**sections),
        ledger=ledger,
        now=now,
        full_pass=full_pass,
        narrowed_to=narrowed_to,
        sources=sources,
    )
