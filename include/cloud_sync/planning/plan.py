"""The plan: what to do with each listed object and why, as SQL over the listing and the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from cloud_sync.integration import Integration
from cloud_sync.ledger import EMPTY_VERSION, LedgerVersion, parquet, sql_engine, sql_text
from cloud_sync.manifest.items import ItemType
from cloud_sync.patterns import patterns_to_regex
from cloud_sync.planning.model import PLAN_NAME, REGISTER_NAME, SENT_ACTIONS, SUMMARY_NAME, PlanRow
from cloud_sync.run_folder import FileRef, RunFolder

if TYPE_CHECKING:
    import duckdb

EXAMPLES = 3


@dataclass(frozen=True, slots=True)
class Plan:
    """A written plan.

    Attributes:
        ref: `plan.json`, with the number of objects to register.
        rows: The summary, the largest first within an action.
    """

    ref: FileRef
    rows: tuple[PlanRow, ...]

    @property
    def to_register(self) -> int:
        """Objects that will stand in manifests."""
        return self.ref.counts["to_register"]


def make_plan(
    folder: RunFolder,
    *,
    listing_parts: Sequence[Path],
    integration: Integration,
    ledger: LedgerVersion | None,
    now: datetime,
    full_pass: bool = False,
) -> Plan:
    """Give each listed object an action with a reason.

    Writes `plan.parquet` (every object: key, size_bytes, last_modified, etag, item_type, action, reason),
    `register.parquet` (those to send, ordered by their item_key and position) and `plan.json` (the summary).

    Args:
        folder: The run folder.
        listing_parts: Parquet files of the listing; none for an empty listing.
        integration: Its select, types and name.
        ledger: What is known; None plans everything as new.
        now: Against which `select.minimum_age` is measured; when the listing began, so that a second try
            plans the same.
        full_pass: Send also what the ledger says is registered or quarantined.

    Raises:
        ConfigError: A pattern of the integration is malformed.
    """
    with sql_engine(folder.root) as engine:
        _load_listing(engine, listing_parts)
        _load_ledger(engine, ledger)
        _load_rules(engine, integration, now, full_pass)
        with folder.writing(PLAN_NAME) as path:
            _copy(engine, PLAN_SQL, path)
        plan = parquet([folder.path(PLAN_NAME)])
        with folder.writing(REGISTER_NAME) as path:
            _copy(engine, REGISTER_SQL.format(plan=plan), path)
        rows = _summary(engine, plan)
    folder.write_json(SUMMARY_NAME, [asdict(row) for row in rows])
    counts = {"objects": sum(row.objects for row in rows), "to_register": _to_register(rows)}
    return Plan(ref=folder.ref(SUMMARY_NAME, **counts), rows=rows)


def _to_register(rows: Sequence[PlanRow]) -> int:
    return sum(row.objects for row in rows if row.action in SENT_ACTIONS)


def _load_listing(engine: duckdb.DuckDBPyConnection, parts: Sequence[Path]) -> None:
    if parts:
        engine.execute(f"CREATE TEMP VIEW listing AS FROM {parquet(parts)}")
    else:
        engine.execute(EMPTY_LISTING)


def _load_ledger(engine: duckdb.DuckDBPyConnection, ledger: LedgerVersion | None) -> None:
    if ledger is None:
        engine.execute(EMPTY_VERSION)
    else:
        engine.execute(f"CREATE TEMP VIEW known AS FROM {parquet([ledger.path])}")


def _load_rules(
    engine: duckdb.DuckDBPyConnection, integration: Integration, now: datetime, full_pass: bool
) -> None:
    """Set the rules as variables, which DuckDB folds into constants."""
    select, file = integration.select, f"integration {integration.name}"
    extensions: dict[str, ItemType] = {
        **dict.fromkeys(integration.types.videos, "video"),
        **dict.fromkeys(integration.types.images, "image"),
    }
    # The longest first, so that an extension such as nii.gz wins over gz.
    any_extension = "|".join(e.replace(".", r"\.") for e in sorted(extensions, key=len, reverse=True))
    variables = {
        "include": patterns_to_regex(select.include, where=f"{file}, select.include"),
        "exclude": patterns_to_regex(select.exclude, where=f"{file}, select.exclude"),
        "extension": rf"\.({any_extension})$" if extensions else "a^",
        "maximum_size": int(select.maximum_size) if select.maximum_size is not None else None,
        # Without an age nothing is too young, also if the store's clock is ahead of this one's.
        "newest": now - select.minimum_age if select.minimum_age else None,
        "full_pass": full_pass,
    }
    for name, value in variables.items():
        engine.execute(f"SET VARIABLE {name} = $1", [value])
    engine.execute("CREATE TEMP TABLE types (extension VARCHAR, item_type VARCHAR)")
    if extensions:
        engine.executemany("INSERT INTO types VALUES ($1, $2)", [list(pair) for pair in extensions.items()])


def _summary(engine: duckdb.DuckDBPyConnection, plan: str) -> tuple[PlanRow, ...]:
    rows = engine.execute(SUMMARY_SQL.format(plan=plan)).fetchall()
    return tuple(
        PlanRow(action, item_type, reason, objects, total_bytes, tuple(examples))
        for action, item_type, reason, objects, total_bytes, examples in rows
    )


def _copy(engine: duckdb.DuckDBPyConnection, query: str, path: Path) -> None:
    engine.execute(f"COPY ({query}) TO {sql_text(path)} (FORMAT parquet, COMPRESSION snappy)")


EMPTY_LISTING = """
    CREATE TEMP VIEW listing AS SELECT * FROM (VALUES (
        NULL::VARCHAR, NULL::BIGINT, NULL::TIMESTAMPTZ, NULL::VARCHAR
    )) AS t (key, size_bytes, last_modified, etag) WHERE false
"""

# The first rule that holds decides; the order is from the rules of the file to what is known.
DECIDE_SQL = """
    CASE
        WHEN NOT coalesce(regexp_matches(key, getvariable('include'), 's'), true) THEN 'not_included'
        WHEN coalesce(regexp_matches(key, getvariable('exclude'), 's'), false) THEN 'excluded'
        WHEN item_type IS NULL THEN 'unknown_type'
        WHEN coalesce(size_bytes > getvariable('maximum_size'), false) THEN 'too_large'
        WHEN coalesce(last_modified > getvariable('newest'), false) THEN 'too_young'
        WHEN known_state IS NULL THEN 'new'
        WHEN getvariable('full_pass') THEN 'full_pass'
        WHEN known_state = 'registered' AND is_same THEN 'registered'
        WHEN known_state = 'registered' THEN 'changed'
        WHEN NOT is_same THEN 'changed_since_failure'
        WHEN known_state = 'quarantined' THEN 'quarantined'
        ELSE 'failed_before'
    END
"""

# One 64-bit number instead of an etag of 34 characters makes the join's table half as large.
PLAN_SQL = f"""
    WITH compact AS (
        SELECT key, state, hash(size_bytes, etag) AS content FROM known
    ), joined AS (
        SELECT
            listing.key, listing.size_bytes, listing.last_modified, listing.etag, types.item_type,
            known.state AS known_state,
            known.content = hash(listing.size_bytes, listing.etag) AS is_same
        FROM listing
        LEFT JOIN types
            ON types.extension = regexp_extract(lower(listing.key), getvariable('extension'), 1)
        LEFT JOIN compact AS known ON known.key = listing.key
    ), decided AS (
        SELECT key, size_bytes, last_modified, etag, item_type, {DECIDE_SQL} AS reason FROM joined
    )
    SELECT
        key, size_bytes, last_modified, etag, item_type,
        CASE
            WHEN reason IN ('new', 'full_pass', 'changed_since_failure') THEN 'register'
            WHEN reason = 'failed_before' THEN 'retry'
            WHEN reason = 'too_young' THEN 'hold'
            WHEN reason = 'changed' THEN 'report'
            ELSE 'skip'
        END AS action,
        reason
    FROM decided
"""  # noqa: S608 (built from constants of this file)

REGISTER_SQL = """
    SELECT key, size_bytes, last_modified, etag, item_type, key AS item_key, 0::INTEGER AS position
    FROM {plan} WHERE action IN ('register', 'retry') ORDER BY item_key, position
"""

SUMMARY_SQL = f"""
    SELECT action, item_type, reason, count(*)::BIGINT, sum(size_bytes)::BIGINT, min(key, {EXAMPLES})
    FROM {{plan}}
    GROUP BY action, item_type, reason
    ORDER BY action, count(*) DESC, reason, item_type
"""  # noqa: S608 (built from constants of this file)
