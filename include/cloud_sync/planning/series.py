"""Which series each DICOM file belongs to, by its first kilobytes; a file that is known is not read again.

What was read is kept beside the ledger as Parquet, by key, etag and size, so a nightly run reads only what is
new. It holds UIDs and positions, and nothing else of a file.
"""

# ruff: noqa: S608 (built from constants and quoted paths)

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from cloud_sync.errors import StorageError
from cloud_sync.media.dicom import UnreadableHeader, read_place
from cloud_sync.planning.model import ObjectReader, is_of_one_object
from cloud_sync.sql_engine import parquet, sql_text

if TYPE_CHECKING:
    import duckdb

    from cloud_sync.run_folder import RunFolder

log = logging.getLogger(__name__)

HEADERS_NAME: Final = "dicom_headers.parquet"
READERS: Final = 16
FILES_AT_ONCE: Final = 1000

HEADER_SCHEMA: Final = pa.schema(
    [
        ("key", pa.string()),
        ("etag", pa.string()),
        ("size_bytes", pa.int64()),
        ("study_uid", pa.string()),
        ("series_uid", pa.string()),
        ("instance_uid", pa.string()),
        ("instance_number", pa.int64()),
        ("orientation", pa.string()),
        ("along_normal_mm", pa.float64()),
        ("problem", pa.string()),
        ("is_lasting", pa.bool_()),
    ]
)
COLUMNS: Final = ", ".join(HEADER_SCHEMA.names)
SAME_FILE: Final = "(key, etag, size_bytes)"


def load_headers(
    engine: duckdb.DuckDBPyConnection,
    *,
    cache: RunFolder,
    open_reader: Callable[[], ObjectReader],
    is_whole_listing: bool,
) -> None:
    """Make the table `headers` of the files in the view `dicom_files`, reading those that are not known.

    `headers` has key, series_key (study and series), mm, number, uid (the order within the series),
    problem (why a file's series is unknown) and may_pass (whether the problem lies in the store).

    Args:
        engine: With the view `dicom_files`: key, etag, size_bytes.
        cache: The folder of what was read before.
        open_reader: Opens the store, if something has to be read.
        is_whole_listing: Whether files that are not listed are gone, and may be forgotten.

    Raises:
        StorageError: The store failed, or refused whoever asks; what was read until then is kept.
    """
    engine.execute(f"CREATE TEMP TABLE found ({_columns()})")
    if cache.exists(HEADERS_NAME):
        known = cache.local(HEADERS_NAME)
        engine.execute(f"CREATE TEMP VIEW cached AS SELECT {COLUMNS} FROM {parquet([known])}")
    else:
        engine.execute("CREATE TEMP VIEW cached AS FROM found WHERE false")
    engine.execute(
        f"CREATE TEMP TABLE unread AS FROM dicom_files ANTI JOIN cached USING {SAME_FILE} ORDER BY key"
    )
    unread: int = engine.execute("SELECT count(*) FROM unread").fetchall()[0][0]
    log.info("DICOM headers to read: %s", f"{unread:,}")
    try:
        if unread:
            _read_all(engine, open_reader(), unread)
        engine.execute(f"CREATE TEMP TABLE headers AS {ORDERED}")
    finally:
        if unread:  # last, because it replaces what `cached` reads
            _keep(engine, cache, is_whole_listing=is_whole_listing)


def _columns() -> str:
    types = {pa.string(): "VARCHAR", pa.int64(): "BIGINT", pa.float64(): "DOUBLE", pa.bool_(): "BOOLEAN"}
    return ", ".join(f"{field.name} {types[field.type]}" for field in HEADER_SCHEMA)


def _read_all(engine: duckdb.DuckDBPyConnection, reader: ObjectReader, total: int) -> None:
    """Read the files of the table `unread` into `found`."""
    with ThreadPoolExecutor(READERS) as pool:
        for start in range(0, total, FILES_AT_ONCE):
            part = "SELECT key, etag, size_bytes FROM unread WHERE rowid >= $1 AND rowid < $2"
            files = engine.execute(part, [start, start + FILES_AT_ONCE]).fetchall()
            rows = list(pool.map(lambda file: _read(reader, *file), files))
            engine.register("rows_read", pa.Table.from_pylist(rows, HEADER_SCHEMA))
            engine.execute(f"INSERT INTO found SELECT {COLUMNS} FROM rows_read")
            engine.unregister("rows_read")


def _read(reader: ObjectReader, key: str, etag: str, size_bytes: int) -> dict[str, Any]:
    row: dict[str, Any] = {"key": key, "etag": etag, "size_bytes": size_bytes, "is_lasting": True}
    try:
        return row | asdict(read_place(lambda most: reader.read_range(key, 0, most)))
    except UnreadableHeader as finding:
        return row | {"problem": str(finding)}
    except StorageError as error:
        if not is_of_one_object(error):
            raise
        # The next run asks again: permissions and lost objects come back.
        return row | {"problem": f"cannot be read: {error.message.rstrip('.')}", "is_lasting": False}


def _keep(engine: duckdb.DuckDBPyConnection, cache: RunFolder, *, is_whole_listing: bool) -> None:
    """Write what is known now in place of what was known before."""
    still_there = f"SEMI JOIN dicom_files USING {SAME_FILE}" if is_whole_listing else ""
    with cache.writing(HEADERS_NAME) as path:
        engine.execute(
            f"""
            COPY (
                SELECT {COLUMNS} FROM found WHERE is_lasting
                UNION ALL
                SELECT {COLUMNS} FROM cached ANTI JOIN found USING (key) {still_there}
            ) TO {sql_text(path)} (FORMAT parquet, COMPRESSION zstd)
            """
        )


# Positions say the order of a series if all its files have one, in one orientation; else the numbers do.
ORDERED: Final = f"""
    WITH read AS (
        SELECT * FROM (SELECT {COLUMNS} FROM found UNION ALL SELECT {COLUMNS} FROM cached)
        SEMI JOIN dicom_files USING {SAME_FILE}
    ), series AS (
        SELECT
            study_uid, series_uid,
            count(*) = count(along_normal_mm) AND min(orientation) = max(orientation) AS has_positions
        FROM read WHERE problem IS NULL GROUP BY ALL
    )
    SELECT
        read.key, study_uid || '/' || series_uid AS series_key,
        CASE WHEN has_positions THEN along_normal_mm END AS mm,
        instance_number AS number, instance_uid AS uid, problem, NOT is_lasting AS may_pass
    FROM read LEFT JOIN series USING (study_uid, series_uid)
"""
