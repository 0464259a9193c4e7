"""Ranges of keys, in which listing and ledger are joined one after the other.

A join holds the keys of one side in memory. By ranges it holds those of one range, so a bucket of any size
costs the same memory, and each object the same time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from cloud_sync.sql_engine import keys_within, sql_list

if TYPE_CHECKING:
    from pathlib import Path

    import duckdb

OBJECTS_PER_RANGE: Final = 500_000

# The row groups of a listing with their first keys. Ranges may begin anywhere, so an inexact minimum does.
ROW_GROUPS: Final = """
    SELECT stats_min_value, row_group_num_rows FROM parquet_metadata({files})
    WHERE path_in_schema = 'key' AND stats_min_value IS NOT NULL
    ORDER BY stats_min_value
"""


def view_whole(engine: duckdb.DuckDBPyConnection) -> None:
    """Make the views `listing_here` and `known_here` of all of `listing` and `known`."""
    _view(engine, keys_within(None, None))


def key_ranges(engine: duckdb.DuckDBPyConnection, listing_parts: Sequence[Path]) -> Iterator[None]:
    """Make `listing_here` and `known_here` of one range of keys after the other, and of all at the end.

    Together the ranges hold each key once. Row groups of a file outside of a range are passed over by their
    statistics; where keys are in no order, every range reads them all.

    Args:
        engine: Has `listing` and `known`.
        listing_parts: The files of the listing.
    """
    for start, end in pairwise([None, *_starts(engine, listing_parts), None]):
        _view(engine, keys_within(start, end))
        yield
    view_whole(engine)


def _view(engine: duckdb.DuckDBPyConnection, condition: str) -> None:
    for table in ("listing", "known"):
        engine.execute(f"CREATE OR REPLACE TEMP VIEW {table}_here AS FROM {table} WHERE {condition}")


def _starts(engine: duckdb.DuckDBPyConnection, listing_parts: Sequence[Path]) -> Iterator[str]:
    """Yield the keys at which a range begins, but for the first."""
    if not listing_parts:
        return
    objects = 0
    for first_key, rows in engine.execute(ROW_GROUPS.format(files=sql_list(listing_parts))).fetchall():
        if objects >= OBJECTS_PER_RANGE:
            yield first_key
            objects = 0
        objects += rows
