"""The SQL of the ledger: how a version is made of the one before and of what a run has settled."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from cloud_sync import releases
from cloud_sync.manifest.items import GROUPED_TYPES
from cloud_sync.run_folder.refs import discard
from cloud_sync.sql_engine import copy, keys_within, load_table, parquet, view, write_in_turn

if TYPE_CHECKING:
    import duckdb

    from cloud_sync.ledger import Left, SettledFailure, SettledManifest


def load(
    engine: duckdb.DuckDBPyConnection,
    manifests: Iterable[SettledManifest],
    failures: Iterable[SettledFailure],
) -> None:
    """Put the small tables of a commit into the engine."""
    load_table(
        engine,
        "ended",
        "number INTEGER, name VARCHAR, upload_job_id VARCHAR, finished_at TIMESTAMPTZ",
        [asdict(manifest) for manifest in manifests],
    )
    load_table(
        engine,
        "failures",
        "url VARCHAR, failure_class VARCHAR, state VARCHAR, reason VARCHAR, remedy VARCHAR",
        [asdict(failure) for failure in failures],
    )


EMPTY_VERSION = """
    CREATE TEMP VIEW known AS SELECT * FROM (VALUES (
        NULL::VARCHAR, NULL::VARCHAR, NULL::BIGINT, NULL::VARCHAR, NULL::TIMESTAMPTZ, NULL::VARCHAR,
        NULL::VARCHAR, NULL::VARCHAR, NULL::VARCHAR, NULL::VARCHAR, NULL::INTEGER, NULL::VARCHAR,
        NULL::TIMESTAMPTZ, NULL::TIMESTAMPTZ, NULL::TIMESTAMPTZ, NULL::INTEGER, NULL::VARCHAR, NULL::VARCHAR
    )) AS t (
        key, url, size_bytes, etag, last_modified, item_key, item_type, state, manifest, upload_job_id,
        attempts, failure_class, first_failed_at, last_failed_at, registered_at, failed_runs, reason, remedy
    ) WHERE false
"""

# Versions of older releases do not say in how many runs an object failed, nor why and what to do about it.
WITH_ALL_COLUMNS = """
    FROM {version}
    UNION ALL BY NAME
    SELECT NULL::INTEGER AS failed_runs, NULL::VARCHAR AS reason, NULL::VARCHAR AS remedy WHERE false
"""
KNOWN = f"CREATE TEMP VIEW known AS {WITH_ALL_COLUMNS}"

GROUPED = tuple(sorted(GROUPED_TYPES))

# Failures of the objects as they are now: one that has changed, or was registered since, begins anew.
EARLIER = """
    earlier AS (
        SELECT
            known.key, known.url, known.attempts, known.first_failed_at,
            coalesce(known.failed_runs, 1) AS failed_runs,
            known.last_failed_at, known.manifest, known.upload_job_id
        FROM known JOIN items ON items.key = known.key
            AND items.size_bytes = known.size_bytes AND items.etag IS NOT DISTINCT FROM known.etag
        WHERE known.state NOT IN ('registered', 'removed')
    )
"""

HISTORIES = f"""
    WITH {EARLIER}
    SELECT url, attempts, first_failed_at, failed_runs, last_failed_at, manifest, upload_job_id
    FROM earlier SEMI JOIN wanted USING (url)
"""  # noqa: S608 (built from constants of this file)

# An item is registered as a whole or not at all: the worst file of a failed group decides for all of them.
# Only groups are asked, so that the usual night of single files costs no join more.
JUDGED = f"""
    failed AS (
        SELECT
            items.item_type, items.item_key,
            max((
                failures.state = 'quarantined', failures.state, failures.failure_class,
                failures.reason, failures.remedy
            )) AS worst
        FROM items JOIN failures USING (url)
        WHERE items.item_type IN {GROUPED}
        GROUP BY items.item_type, items.item_key
    ), judged AS (
        SELECT
            items.*,
            coalesce(failed.worst[2], failures.state, 'registered') AS state,
            coalesce(failures.failure_class, failed.worst[3]) AS failure_class,
            coalesce(failures.reason, failed.worst[4]) AS reason,
            coalesce(failures.remedy, failed.worst[5]) AS remedy
        FROM items
        LEFT JOIN failures USING (url)
        LEFT JOIN failed USING (item_type, item_key)
    )
"""  # noqa: S608 (built from constants of this file)

SENT = f"""
    WITH {EARLIER}, {JUDGED}
    SELECT
        item.key, item.url, item.size_bytes, item.etag, item.last_modified,
        item.item_key, item.item_type, item.state,
        ended.name AS manifest, ended.upload_job_id,
        CASE WHEN item.state = 'registered' AND known.state = 'registered' THEN known.attempts
             ELSE coalesce(earlier.attempts, 0) + item.tries END::INTEGER AS attempts,
        item.failure_class, item.reason, item.remedy,
        CASE WHEN item.state = 'registered' THEN known.first_failed_at
             ELSE coalesce(earlier.first_failed_at, ended.finished_at) END AS first_failed_at,
        CASE WHEN item.state = 'registered' THEN known.last_failed_at
             ELSE ended.finished_at END AS last_failed_at,
        CASE WHEN item.state = 'registered'
             THEN coalesce(CASE WHEN known.state = 'registered' THEN known.registered_at END,
                           ended.finished_at) END AS registered_at,
        CASE WHEN item.state = 'registered' THEN known.failed_runs
             ELSE coalesce(earlier.failed_runs, 0) + getvariable('run_counts') END::INTEGER AS failed_runs
    FROM judged AS item
    JOIN ended ON ended.number = item.manifest
    LEFT JOIN known ON known.key = item.key
    LEFT JOIN earlier ON earlier.key = item.key
    -- An old run that is settled once more has nothing to say about what happened since.
    -- Nor has it anything new to say of what it has settled itself, if another run has settled meanwhile.
    WHERE NOT coalesce(
        known.last_failed_at > ended.finished_at OR known.registered_at >= ended.finished_at
        OR (known.upload_job_id = ended.upload_job_id AND (ended.upload_job_id <> ''
            -- Encord refused the manifest, so that there is no job to tell it by.
            OR (known.manifest = ended.name AND known.last_failed_at = ended.finished_at))), false)
"""  # noqa: S608 (built from constants of this file)

FIRST_VERSION = "SELECT * FROM known UNION ALL BY NAME SELECT * FROM sent"

# A sent group is all that its item holds now; files that it has lost would be missed for ever.
SENT_GROUPS = f"""
    CREATE TEMP TABLE sent_groups AS
    SELECT DISTINCT item_type, item_key FROM sent WHERE item_type IN {GROUPED}
"""  # noqa: S608 (built from constants of this file)
NEXT_OF_RANGE = """
    SELECT * FROM known ANTI JOIN (SELECT key FROM sent WHERE {here}) USING (key)
    ANTI JOIN sent_groups USING (item_type, item_key)
    WHERE {here}
    UNION ALL BY NAME
    SELECT * FROM sent WHERE {here}
"""

# A plan reads a ledger by ranges of keys, and passes over the row groups without one of them. So a version is
# written by ranges as well: what a run adds stands in the range of its key, and never all of it at the end.
# To sort all rows instead would cost more than the rest of a commit, and more memory than there is.
ROWS_PER_RANGE = 500_000
RANGES_AT_MOST = 64
KEYS_PER_RANGE = 100
# The same keys every time, spread as all of them are.
SAMPLE = "SELECT key FROM known WHERE hash(key) % $1 = 0 ORDER BY key"


# What was registered after its item had left is there again.
_HAS_LEFT = """
    known.state = 'removed' OR known.state = 'registered' AND known.registered_at < getvariable('left_at')
"""
VERSION_WITH_REMOVED = f"""
    SELECT known.* REPLACE (
        CASE WHEN going.key IS NOT NULL AND ({_HAS_LEFT}) THEN 'removed' ELSE known.state END AS state
    )
    FROM known LEFT JOIN going USING (key)
"""  # noqa: S608 (built from constants of this file)
# What left in a run is not what the run began from any more; so what it sent is registered anew.
KNOWN_WITH_REMOVED = f"""
    CREATE TEMP VIEW known AS
    WITH known AS ({WITH_ALL_COLUMNS})
    {VERSION_WITH_REMOVED}
"""
REMOVED_OF_LIST = f"SELECT count(*) FROM known SEMI JOIN going USING (key) WHERE {_HAS_LEFT}"  # noqa: S608

# What was sent again is little: the large table is read once, past a small one.
SENT_AGAIN = """
    CREATE TEMP TABLE again AS
    SELECT
        * EXCLUDE (place),
        1 + count(*) OVER (PARTITION BY item_type, item_key, key) AS tries
    FROM ({rounds})
    QUALIFY row_number() OVER (PARTITION BY item_type, item_key, key ORDER BY place DESC) = 1
"""
ITEMS_AS_SENT_LAST = """
    CREATE TEMP VIEW items AS
    SELECT *, 1 AS tries FROM {first} ANTI JOIN again USING (item_type, item_key, key)
    UNION ALL BY NAME
    SELECT * FROM again
"""


def write_version(
    engine: duckdb.DuckDBPyConnection,
    before: Path | None,
    items_paths: Sequence[Path],
    target: Path,
    *,
    released: Path | None,
    left: Left | None,
) -> dict[str, int]:
    if before is None:
        engine.execute(EMPTY_VERSION)
    elif left is not None:
        view_going(engine, left)
        engine.execute(KNOWN_WITH_REMOVED.format(version=parquet([before])))
    else:
        view_known(engine, before)
    view_items(engine, *items_paths)
    sent = target.with_name(f"{target.name}.sent")
    try:
        queries = _by_ranges(engine, sent) if before is not None else _at_once(engine)
        if released is not None:
            load_releases(engine, released)
            queries = [releases.with_releases(query) for query in queries]
        write_in_turn(engine, queries, target, compression="zstd")
    finally:
        discard(sent)
    return _counts(engine, target)


def _at_once(engine: duckdb.DuckDBPyConnection) -> list[str]:
    """Return the SQL of a version with nothing before it: in the order of what was sent, that of keys."""
    engine.execute(f"CREATE TEMP VIEW sent AS {SENT}")
    return [FIRST_VERSION]


def _by_ranges(engine: duckdb.DuckDBPyConnection, sent: Path) -> list[str]:
    """Return the SQL of the next version, a query for each range of keys.

    Args:
        engine: Has `known`, `items` and the small tables.
        sent: A file for what the run tells of each object; it is not held in memory.
    """
    write_in_turn(engine, [SENT], sent, compression="zstd")
    view(engine, "sent", sent)
    engine.execute(SENT_GROUPS)
    ranges = pairwise([None, *_range_starts(engine), None])
    return [NEXT_OF_RANGE.format(here=keys_within(*one)) for one in ranges]


def _range_starts(engine: duckdb.DuckDBPyConnection) -> list[str]:
    """Return the keys that part `known` into ranges of about as many rows each."""
    [(rows,)] = engine.execute("SELECT count(*) FROM known").fetchall()
    ranges = max(1, min(RANGES_AT_MOST, rows // ROWS_PER_RANGE))
    if ranges == 1:
        return []
    every = max(1, rows // (ranges * KEYS_PER_RANGE))
    keys = [key for (key,) in engine.execute(SAMPLE, [every]).fetchall()]
    starts = (keys[len(keys) * number // ranges] for number in range(1, ranges)) if keys else ()
    return list(dict.fromkeys(starts))


def copy_version(engine: duckdb.DuckDBPyConnection, version: str, target: Path) -> dict[str, int]:
    """Write a version, and count its objects by state."""
    copy(engine, version, target)
    return _counts(engine, target)


def _counts(engine: duckdb.DuckDBPyConnection, target: Path) -> dict[str, int]:
    rows = engine.execute(
        f"SELECT state, count(*) FROM {parquet([target])} GROUP BY state ORDER BY state"  # noqa: S608
    ).fetchall()
    return dict(rows)


def load_releases(engine: duckdb.DuckDBPyConnection, path: Path | None) -> None:
    if path is None:
        engine.execute(releases.NONE_RELEASED)
    else:
        view(engine, "released", path)


def view_items(engine: duckdb.DuckDBPyConnection, first: Path, *later: Path) -> None:
    """Make `items`: each as it was sent last, with how often it was sent."""
    if not later:
        engine.execute(f"CREATE TEMP VIEW items AS SELECT *, 1 AS tries FROM {parquet([first])}")  # noqa: S608
        return
    rounds = " UNION ALL BY NAME ".join(
        f"SELECT *, {place} AS place FROM {parquet([path])}"  # noqa: S608 (paths are quoted)
        for place, path in enumerate(later)
    )
    engine.execute(SENT_AGAIN.format(rounds=rounds))
    engine.execute(ITEMS_AS_SENT_LAST.format(first=parquet([first])))


def view_known(engine: duckdb.DuckDBPyConnection, version: Path) -> None:
    engine.execute(KNOWN.format(version=parquet([version])))


def view_going(engine: duckdb.DuckDBPyConnection, left: Left) -> None:
    """Make `going`: what has left, and since when."""
    view(engine, "going", left.list_path)
    engine.execute("SET VARIABLE left_at = $1::TIMESTAMPTZ", [left.at])
