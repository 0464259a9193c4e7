"""Upkeep of a ledger: writing it anew from its dataset, comparing both, and removing old versions."""

# ruff: noqa: S608 (built from constants and quoted paths)

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from cloud_sync import ledger_sql as sql
from cloud_sync.errors import ConfigError, StorageError
from cloud_sync.ledger import LOCK_NAME, Ledger, LedgerVersion
from cloud_sync.run_folder.files import Tag
from cloud_sync.sql_engine import parquet, sql_engine, sql_text

ROWS_AT_ONCE: Final = 1000

# An object may stand in two items, such as an image and a group; the ledger has one row for it.
# What lies outside of the prefix is of another integration, unless this ledger knows it from a prefix before.
IN_DATASET: Final = f"""
    CREATE TEMP TABLE registered AS
    SELECT * FROM {{contents}}
    WHERE key IS NOT NULL AND (starts_with(key, getvariable('prefix')) OR key IN (SELECT key FROM known))
    QUALIFY row_number() OVER (PARTITION BY key ORDER BY item_type IN {sql.GROUPED} DESC, item_key, url) = 1
"""

# What is known of an item that the dataset has keeps its history, and the content that was registered.
REBUILT: Final = """
    WITH kept AS (
        SELECT known.* FROM known JOIN registered USING (key)
        WHERE known.state = 'registered' AND known.url = registered.url
            AND known.item_type = registered.item_type
    )
    SELECT * FROM kept
    UNION ALL BY NAME
    SELECT
        key, registered.url, listing.size_bytes, listing.etag, listing.last_modified, registered.item_key,
        registered.item_type, 'registered' AS state, '' AS manifest, '' AS upload_job_id,
        1::INTEGER AS attempts, $now::TIMESTAMPTZ AS registered_at
    FROM registered ANTI JOIN kept USING (key) LEFT JOIN listing USING (key)
    UNION ALL BY NAME
    SELECT * FROM known ANTI JOIN registered USING (key) WHERE known.state <> 'registered'
"""

DIFFERENCE: Final = """
    CASE
        WHEN registered.key IS NULL THEN NULL
        WHEN known.state <> 'registered' THEN 'the ledger says ' || known.state
        WHEN known.url <> registered.url THEN 'another URL in the dataset: ' || registered.url
        WHEN known.item_type <> registered.item_type
            THEN format('{} in the ledger, {} in the dataset', known.item_type, registered.item_type)
    END
"""
DIFFERENCE_WITH_LISTING: Final = f"""
    coalesce({DIFFERENCE}, CASE
        WHEN registered.key IS NULL OR known.key IS NULL THEN NULL
        WHEN listing.key IS NULL THEN 'gone from the storage'
        WHEN listing.size_bytes IS DISTINCT FROM known.size_bytes
            OR listing.etag IS DISTINCT FROM known.etag THEN 'changed in the storage'
    END)
"""
COMPARED: Final = """
    SELECT
        CASE WHEN registered IS NULL THEN '-' WHEN known IS NULL THEN '+'
             WHEN detail IS NULL THEN '=' ELSE '*' END AS mark,
        key, detail
    FROM (
        SELECT
            coalesce(known.key, registered.key) AS key, known.key AS known, registered.key AS registered,
            {difference} AS detail
        FROM (FROM known WHERE starts_with(key, getvariable('prefix'))) AS known
        FULL JOIN (FROM registered WHERE starts_with(key, getvariable('prefix'))) AS registered USING (key)
        LEFT JOIN listing ON listing.key = known.key
        WHERE registered.key IS NOT NULL OR known.state = 'registered'
    )
    UNION ALL
    SELECT '!', coalesce(url, title), problem FROM {contents} WHERE key IS NULL
    ORDER BY 2, 1
"""

NO_LISTING: Final = """
    CREATE TEMP VIEW listing AS SELECT * FROM (VALUES (
        NULL::VARCHAR, NULL::BIGINT, NULL::TIMESTAMPTZ, NULL::VARCHAR
    )) AS t (key, size_bytes, last_modified, etag) WHERE false
"""


@dataclass(frozen=True, slots=True)
class Compared:
    """How a key stands in ledger and dataset, in rclone's manner.

    Attributes:
        mark: `=` the same, `-` only in the ledger, `+` only in the dataset, `*` in both, but not the same,
            `!` not to be compared.
        key: The object's key; behind `!` its URL, or the title of what has none.
        detail: What differs, or why it cannot be compared.
    """

    mark: str
    key: str
    detail: str | None


def rebuild(
    ledger: Ledger,
    contents_path: Path,
    listing_parts: Sequence[Path],
    *,
    url_base: str,
    prefix: str,
    seen: Tag | None,
    now: datetime,
) -> LedgerVersion:
    """Write the ledger anew from what the dataset holds, and put that in force.

    What the ledger knew of quarantined and removed objects, and of the history of the others, is kept if it
    can be read. Until the new version is in force, the old one stays as it is.

    Args:
        ledger: May be damaged, or new.
        contents_path: What `cloud_sync.registration.contents` wrote.
        listing_parts: Tell size and etag of what is still there.
        url_base: How object URLs begin.
        prefix: How the integration's keys begin: what else the dataset holds is of others.
        seen: The ledger's `tag` from before the dataset was read.
        now: The time of the rebuilding.

    Raises:
        ConfigError: The dataset has objects of the bucket, but all of them under other URLs.
        StorageError: The ledger's place cannot be read or written; or a run has settled since `seen`, so that
            the dataset holds more than was read of it.
    """
    with ledger.files.locked(LOCK_NAME), sql_engine(ledger.files.scratch()) as engine:
        before, tag = ledger.salvage()
        if tag != seen:
            raise StorageError(
                "a run has written into this ledger while the dataset was read.",
                where=ledger.files.address(),
                remedy="Wait until no run of the integration is at work, then do it again.",
                transient=True,
            )
        _load(engine, before, contents_path, listing_parts, prefix)
        _check_url_base(engine, url_base, str(ledger.files.address()))
        number = (before.number if before else _last_number(ledger)) + 1
        return ledger.replace(
            number=number,
            run_id=f"rebuild {now.isoformat(timespec='seconds')}",
            url_base=url_base,
            releases=before.releases if before else None,
            seen=seen,
            write=lambda path: sql.copy_version(engine, _rebuilt(now), path),
        )


def compare(
    ledger: LedgerVersion | None,
    contents_path: Path,
    listing_parts: Sequence[Path] | None,
    scratch: Path,
    *,
    prefix: str,
) -> Iterator[Compared]:
    """Yield how each key stands in ledger and dataset, in the order of keys.

    Args:
        ledger: The version in force; None for an empty one.
        contents_path: What `cloud_sync.registration.contents` wrote.
        listing_parts: Also compare with what the storage lists; None does not.
        scratch: A folder for temporary files.
        prefix: How the integration's keys begin: only what lies under it is compared.
    """
    with sql_engine(scratch) as engine:
        _load(engine, ledger, contents_path, listing_parts or [], prefix)
        difference = DIFFERENCE if listing_parts is None else DIFFERENCE_WITH_LISTING
        query = COMPARED.format(difference=difference, contents=parquet([contents_path]))
        found = engine.execute(query)
        while rows := found.fetchmany(ROWS_AT_ONCE):
            yield from (Compared(*row) for row in rows)


def prune(
    ledger: Ledger, *, keep: int = 0, older_than: timedelta = timedelta(0), dry_run: bool = False
) -> list[str]:
    """Remove old versions; return their names.

    The version in force and the one that its run began from stay, however old they are.

    Args:
        ledger: The ledger.
        keep: How many of the newest versions stay.
        older_than: Younger ones stay.
        dry_run: Only tell which would be removed.
    """
    with ledger.files.locked(LOCK_NAME):
        version = ledger.current()
        if version is None:
            return []
        needed = {version.file, version.previous_file}
        names = ledger.files.names("v*.parquet")
        old = [
            name
            for name in names[: max(0, len(names) - keep)]
            if name not in needed and (ledger.files.age_s(name) or 0.0) >= older_than.total_seconds()
        ]
        for name in old:
            if not dry_run:
                ledger.files.remove(name)
        return old


def _last_number(ledger: Ledger) -> int:
    numbers = [name[1:].partition("-")[0] for name in ledger.files.names("v*.parquet")]
    return max((int(number) for number in numbers if number.isdecimal()), default=0)


def _load(
    engine: Any,
    ledger: LedgerVersion | None,
    contents_path: Path,
    listing_parts: Sequence[Path],
    prefix: str,
) -> None:
    engine.execute("SET VARIABLE prefix = $1", [prefix])
    engine.execute(sql.EMPTY_VERSION) if ledger is None else sql.view_known(engine, ledger.path)
    if listing_parts:
        engine.execute(f"CREATE TEMP VIEW listing AS FROM {parquet(listing_parts)}")
    else:
        engine.execute(NO_LISTING)
    engine.execute(IN_DATASET.format(contents=parquet([contents_path])))


def _rebuilt(now: datetime) -> str:
    columns = f"FROM known WHERE false UNION ALL BY NAME ({REBUILT})"
    return columns.replace("$now", sql_text(now.isoformat()))


def _check_url_base(engine: Any, url_base: str, where: str) -> None:
    query = "SELECT count(*), count(*) FILTER (starts_with(url, $1)), min(url) FROM registered"
    [(objects, ours, example)] = engine.execute(query, [url_base]).fetchall()
    if objects and not ours:
        raise ConfigError(
            f"the dataset's object URLs do not begin with {url_base}, as this integration's: {example}",
            where=where,
            remedy="Correct bucket, region, url_style or --endpoint-url: Encord tells duplicates by the URL.",
        )
