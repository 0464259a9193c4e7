"""What is registered and gone from the storage: removed, or moved to a new key.

A set difference between ledger and listing, so that no date of an object has a say in it. Only items all of
whose files are gone are removed; of a group that has lost some files the files that are left tell.
"""

# ruff: noqa: S608 (built from constants and names of this module)

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cloud_sync.ledger_sql import GROUPED
from cloud_sync.sql_engine import is_any

if TYPE_CHECKING:
    import duckdb

    from cloud_sync.integration import Changes

NONE_ABSENT: Final = """
    CREATE TEMP TABLE absent AS
    SELECT key, url, size_bytes, last_modified, etag, item_type, item_key FROM known WHERE false
"""

ABSENT: Final = """
    INSERT INTO absent BY NAME
    SELECT key, url, size_bytes, last_modified, etag, item_type, item_key
    FROM known_here ANTI JOIN listing_here USING (key)
    WHERE state = 'registered' AND starts_with(key, $1)
"""

# Files of groups of which something is left, or lies where this run does not look.
PARTIAL: Final = f"""
    CREATE TEMP TABLE partial AS
    SELECT DISTINCT item_type, item_key
    FROM known
    SEMI JOIN (SELECT item_type, item_key FROM absent WHERE item_type IN {GROUPED})
        USING (item_type, item_key)
    ANTI JOIN absent USING (key)
    WHERE state = 'registered'
"""

# Each single file is an item of its own; only groups have to be put in order.
GONE: Final = f"""
    CREATE TEMP TABLE gone AS
    SELECT *, 0::INTEGER AS position FROM absent WHERE item_type NOT IN {GROUPED}
    UNION ALL
    SELECT *, (row_number() OVER (PARTITION BY item_type, item_key ORDER BY key) - 1)::INTEGER AS position
    FROM absent ANTI JOIN partial USING (item_type, item_key)
    WHERE item_type IN {GROUPED}
"""

GONE_ROWS: Final = """
    SELECT
        key, size_bytes, last_modified, etag, item_type, item_key, position,
        getvariable('removed_action') AS action, 'removed' AS reason, NULL::VARCHAR AS detail
    FROM gone
"""

# Where an item that has moved may be met again. One that is held or has failed is not there yet, but what
# it was before must not pass for removed meanwhile.
ARRIVALS: Final = (
    "reason IN ('new', 'too_young', 'incomplete', 'failed_before', 'changed_since_failure', 'quarantined')"
)

# Content is told by size and etag of all files of an item, in whatever order. Without an etag nothing is
# told, and of empty files one is like the other.
CONTENT: Final = "sum(hash(size_bytes, etag)::HUGEINT)"
TELLS: Final = "bool_and(coalesce(size_bytes > 0 AND etag <> '', false))"

# Only items that share a file's content with what is gone are looked at as a whole: mostly none.
MOVES: Final = f"""
    CREATE TEMP TABLE moves AS
    WITH touched AS (
        SELECT DISTINCT item_type, item_key
        FROM {{plan}} AS planned
        SEMI JOIN gone ON hash(planned.size_bytes, planned.etag) = hash(gone.size_bytes, gone.etag)
        WHERE {ARRIVALS} AND item_key IS NOT NULL
    ), here AS (
        SELECT item_type, item_key, min(key) AS key, count(*) AS files, {CONTENT} AS content
        FROM {{plan}} SEMI JOIN touched USING (item_type, item_key)
        WHERE {ARRIVALS} GROUP BY item_type, item_key HAVING {TELLS}
    ), left_behind AS (
        SELECT item_type, item_key, min(key) AS key, count(*) AS files, {CONTENT} AS content
        FROM gone GROUP BY item_type, item_key HAVING {TELLS}
    ), contents_here AS (
        SELECT
            item_type, files, content, count(*) AS items, min(item_key) AS item_key, min(key) AS key
        FROM here GROUP BY item_type, files, content
    ), contents_gone AS (
        SELECT item_type, files, content, count(*) AS items
        FROM left_behind GROUP BY item_type, files, content
    )
    SELECT
        item_type, left_behind.item_key AS old_item, left_behind.key AS old_key,
        contents_here.item_key AS new_item, contents_here.key AS new_key,
        contents_here.items AS news, contents_gone.items AS olds, news = 1 AND olds = 1 AS is_sole
    FROM left_behind
    JOIN contents_gone USING (item_type, files, content)
    JOIN contents_here USING (item_type, files, content)
"""

# An item's key may be that of a group which is gone and of its successor: so the reason is asked as well.
PLAN_WITH_MOVES: Final = f"""
    SELECT
        planned.* EXCLUDE (action, reason, detail),
        CASE WHEN departure.is_sole THEN 'report'
             WHEN arrival.is_sole AND planned.reason = 'new' THEN getvariable('moved_action')
             ELSE planned.action END AS action,
        CASE WHEN departure.is_sole THEN 'moved_to'
             WHEN arrival.is_sole AND planned.reason = 'new' THEN 'moved'
             ELSE planned.reason END AS reason,
        CASE WHEN departure.is_sole THEN 'now ' || departure.new_key
             WHEN departure.old_item IS NOT NULL THEN format(
                'may have moved: {{{{}}}} removed and {{{{}}}} new items have its content, such as {{{{}}}}',
                departure.olds, departure.news, departure.new_key)
             WHEN arrival.is_sole AND planned.reason = 'new' THEN 'was ' || arrival.old_key
             ELSE planned.detail END AS detail
    FROM {{plan}} AS planned
    LEFT JOIN moves AS departure
        ON planned.reason = 'removed' AND departure.item_type = planned.item_type
        AND departure.old_item = planned.item_key
    LEFT JOIN (FROM moves WHERE is_sole) AS arrival
        ON planned.{ARRIVALS} AND arrival.item_type = planned.item_type
        AND arrival.new_item = planned.item_key
"""


def find_absent(engine: duckdb.DuckDBPyConnection, *, scope: str) -> None:
    """Add to the table `absent` what is registered in a range of keys and not listed there.

    Args:
        engine: Has `known_here` and `listing_here`.
        scope: The prefix that was listed: what lies outside is not gone.
    """
    engine.execute(ABSENT, [scope])


def load_gone(engine: duckdb.DuckDBPyConnection, changes: Changes) -> None:
    """Make the table `gone` of the items that are registered and have no file left.

    Args:
        engine: Has `known` and `absent`.
        changes: What the integration wants done about them.
    """
    actions = {"removed_action": changes.removed, "moved_action": changes.moved}
    for name, action in actions.items():
        engine.execute(f"SET VARIABLE {name} = $1", [action])
    engine.execute(PARTIAL)
    engine.execute(GONE)
    engine.execute("DROP TABLE absent")


def is_any_gone(engine: duckdb.DuckDBPyConnection) -> bool:
    """Tell if `gone` has any row."""
    return is_any(engine, "gone")


def find_moves(engine: duckdb.DuckDBPyConnection, plan: str) -> bool:
    """Make the table `moves` of what is gone and may be there under a new key; tell if there are any.

    Args:
        engine: Has `gone`.
        plan: The plan's table in SQL, with the rows of `gone`.
    """
    engine.execute(MOVES.format(plan=plan))
    return is_any(engine, "moves")
