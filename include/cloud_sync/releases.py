"""Releases: which quarantined objects a person let go, as the ledger's SQL.

A release changes the version in force. But a run that has settled may settle once more, from the version
before its own, and a run in flight may have sent what is released. So each release is remembered beside the
versions, with its time, and holds against every failure that is older.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cloud_sync.manifest.items import GROUPED_TYPES

KEPT: Final = timedelta(days=30)
"""How long a release is remembered; no run settles once more after that."""


@dataclass(frozen=True, slots=True)
class QuarantinedObject:
    """An object that is not sent until it changes or a person releases it. Times are in UTC.

    Attributes:
        item_type: What it is, or is a file of.
        failure_class: Why; of a group's healthy file that of the file at fault.
        attempts: How often its item failed.
        reason: What was found; empty if it was quarantined by a release that did not keep it.
        remedy: What to do about it, likewise.
    """

    key: str
    url: str
    item_type: str
    failure_class: str
    attempts: int
    first_failed_at: datetime
    last_failed_at: datetime
    reason: str
    remedy: str


QUARANTINED: Final = """
    SELECT
        key, url, item_type, failure_class, attempts, first_failed_at, last_failed_at,
        coalesce(reason, ''), coalesce(remedy, '')
    FROM known WHERE state = 'quarantined' ORDER BY key
"""

CHOSEN: Final = f"""
    CREATE TEMP TABLE chosen AS
    WITH named AS (
        SELECT key, item_type, item_key FROM known
        WHERE state = 'quarantined'
            AND ($everything OR failure_class IN (SELECT unnest($classes)) OR url IN (SELECT unnest($urls)))
    )
    SELECT key FROM named
    UNION
    -- All files of a group have one state.
    SELECT known.key FROM known SEMI JOIN named USING (item_type, item_key)
    WHERE known.state = 'quarantined' AND known.item_type IN {tuple(sorted(GROUPED_TYPES))}
"""  # noqa: S608 (built from constants)

RELEASED_VERSION: Final = """
    SELECT known.* REPLACE (CASE WHEN chosen.key IS NULL THEN known.state ELSE 'failed' END AS state)
    FROM known LEFT JOIN chosen USING (key)
"""

REMEMBERED: Final = """
    SELECT key, max(released_at) AS released_at
    FROM (
        SELECT key, released_at FROM released WHERE released_at > $oldest::TIMESTAMPTZ
        UNION ALL
        SELECT key, $now::TIMESTAMPTZ FROM chosen
    )
    GROUP BY key ORDER BY key
"""

NONE_RELEASED: Final = "CREATE TEMP TABLE released (key VARCHAR, released_at TIMESTAMPTZ)"


def with_releases(version: str) -> str:
    """Return the SQL of a version in which what was released after its last failure is tried again."""
    return f"""
        WITH settled AS ({version})
        SELECT settled.* REPLACE (
            CASE WHEN settled.state = 'quarantined' AND settled.last_failed_at < released.released_at
                 THEN 'failed' ELSE settled.state END AS state
        )
        FROM settled LEFT JOIN released USING (key)
    """  # noqa: S608 (built from constants)
