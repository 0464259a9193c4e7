"""What is to leave the dataset: items whose objects are gone, or are to be registered again."""

# ruff: noqa: S608 (built from constants and names of this module)

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cloud_sync.ledger_sql import GROUPED
from cloud_sync.planning.model import CHANGED_REASON, REMOVED_REASON, UNLINK_ACTION
from cloud_sync.sql_engine import is_any

if TYPE_CHECKING:
    import duckdb

REPLACED: Final = f"reason = '{CHANGED_REASON}' AND action = 'register'"

PARTS: Final = f"""
    CREATE TEMP TABLE parts AS
    SELECT key FROM {{plan}} SEMI JOIN (
        SELECT key FROM known WHERE state = 'registered' AND item_type IN {GROUPED}
    ) USING (key)
    WHERE {REPLACED} AND item_type NOT IN {GROUPED}
"""

PLAN_WITHOUT_PARTS: Final = """
    SELECT
        planned.* EXCLUDE (action, reason, detail),
        CASE WHEN parts.key IS NULL THEN planned.action ELSE 'report' END AS action,
        planned.reason,
        CASE WHEN parts.key IS NULL THEN planned.detail ELSE 'registered as a file of a group' END AS detail
    FROM {plan} AS planned LEFT JOIN parts USING (key)
"""

LEAVING: Final = f"{{plan}} WHERE action = '{UNLINK_ACTION}' OR {REPLACED}"

UNLINK: Final = f"""
    SELECT item_type, item_key, position, key, url, '{REMOVED_REASON}' AS reason
    FROM gone SEMI JOIN (SELECT key FROM {{plan}} WHERE action = '{UNLINK_ACTION}') USING (key)
    UNION ALL
    SELECT known.item_type, known.item_key, planned.position, key, known.url, '{CHANGED_REASON}' AS reason
    FROM (SELECT key, position FROM {{plan}} WHERE {REPLACED}) AS planned JOIN known USING (key)
    WHERE known.state = 'registered'
    ORDER BY item_type, item_key, position
"""


def find_parts(engine: duckdb.DuckDBPyConnection, plan: str) -> bool:
    """Make the table `parts` of single files to register again that are registered in a group; tell if any.

    By other rules than those of today: the group would stay beside the new item, so nothing is done.

    Args:
        engine: Has `known`.
        plan: The plan's table in SQL.
    """
    engine.execute(PARTS.format(plan=plan))
    return is_any(engine, "parts")


def is_any_leaving(engine: duckdb.DuckDBPyConnection, plan: str) -> bool:
    """Tell if any item is to leave the dataset.

    Args:
        engine: An engine.
        plan: The plan's table in SQL, after all that holds items back.
    """
    return is_any(engine, LEAVING.format(plan=plan))
