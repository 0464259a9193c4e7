"""DuckDB as everything here uses it: in bounded memory, over Parquet files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloud_sync.errors import StorageError
from cloud_sync.run_folder.files import DamagedFileError

if TYPE_CHECKING:
    import duckdb

# DuckDB spills to disk beyond this; a million objects fit.
MEMORY_LIMIT = "200MB"
# One thread writes the same rows in the same order every time, and spends less CPU than two.
THREADS = 1
ROWS_PER_GROUP = 122_880


@contextmanager
def sql_engine(temporary_folder: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a DuckDB of bounded memory that spills into a folder beside its data.

    Raises:
        DamagedFileError: A Parquet file is none, or torn.
        StorageError: The disk is full, or a file cannot be read.
    """
    import duckdb

    temporary_folder.mkdir(parents=True, exist_ok=True)
    with duckdb.connect() as engine:
        engine.execute("SET TimeZone = 'UTC'")
        engine.execute(f"SET memory_limit = '{MEMORY_LIMIT}'")
        engine.execute(f"SET threads = {THREADS}")
        engine.execute("SET VARIABLE spill = $1", [str(temporary_folder / ".spill")])
        engine.execute("SET temp_directory = getvariable('spill')")
        try:
            yield engine
        except duckdb.InvalidInputException as error:
            raise DamagedFileError(
                f"a file cannot be read: {str(error).splitlines()[0]}.",
                where=str(temporary_folder),
                remedy="Clear the run from its first task, so that the file is written again.",
            ) from error
        except duckdb.IOException as error:
            raise StorageError(
                f"cannot be used: {str(error).splitlines()[0]}.",
                where=str(temporary_folder),
                remedy="Check the disk and the permissions of the state folder.",
                transient=True,
            ) from error


def load_table(
    engine: duckdb.DuckDBPyConnection, name: str, columns: str, rows: list[dict[str, Any]]
) -> None:
    """Make a temporary table of rows, whose keys are its columns."""
    import pyarrow as pa

    engine.execute(f"CREATE TEMP TABLE {name} ({columns})")
    if rows:
        engine.register("arrow_rows", pa.Table.from_pylist(rows))
        engine.execute(f"INSERT INTO {name} BY NAME SELECT * FROM arrow_rows")  # noqa: S608 (fixed names)
        engine.unregister("arrow_rows")


def write_in_turn(
    engine: duckdb.DuckDBPyConnection, queries: Iterable[str], target: Path, **options: Any
) -> None:
    """Write the rows of several queries into one Parquet file, in less memory than DuckDB's COPY.

    That holds rows to keep their order: those of all queries, and more than it has beside a large join.

    Args:
        engine: The engine.
        queries: At least one, all with the columns of the first. Each is asked for when the one before has
            been written.
        target: The file.
        options: Of the writer.
    """
    import pyarrow.parquet as pq

    writer = None
    # Neither a writer whose disk is full nor a reader that is not read to its end lets go of its file.
    with target.open("wb") as file:
        try:
            for query in queries:
                with engine.sql(query).to_arrow_reader(ROWS_PER_GROUP) as batches:
                    writer = writer or pq.ParquetWriter(file, batches.schema, **options)
                    for batch in batches:
                        writer.write_batch(batch)
        finally:
            if writer is not None:
                writer.close()


def copy(engine: duckdb.DuckDBPyConnection, query: str, target: Path) -> None:
    """Write the rows of a query into a Parquet file."""
    engine.execute(f"COPY ({query}) TO {sql_text(target)} (FORMAT parquet, COMPRESSION zstd)")


def is_any(engine: duckdb.DuckDBPyConnection, table: str) -> bool:
    """Tell if a table has a row; it may have a condition behind it."""
    [(found,)] = engine.execute(f"SELECT count(*) > 0 FROM {table}").fetchall()  # noqa: S608 (names of ours)
    return bool(found)


def view(engine: duckdb.DuckDBPyConnection, name: str, path: Path) -> None:
    """Make a temporary view of a Parquet file."""
    engine.execute(f"CREATE TEMP VIEW {name} AS FROM {parquet([path])}")


def parquet(paths: Sequence[Path]) -> str:
    """Return the table of Parquet files in SQL. A folder named `a=b` on the way is no column of it."""
    return f"read_parquet({sql_list(paths)}, hive_partitioning = false)"


def sql_list(paths: Sequence[Path]) -> str:
    """Return paths as a list in SQL."""
    return f"[{', '.join(map(sql_text, paths))}]"


def sql_text(value: Path | str) -> str:
    """Quote a value as an SQL string, for the places where DuckDB takes no parameter."""
    return "'" + str(value).replace("'", "''") + "'"


def keys_within(start: str | None, end: str | None) -> str:
    """Return the condition in SQL of the keys from one on and before another; None is no bound."""
    conditions = [] if start is None else [f"key >= {sql_text(start)}"]
    if end is not None:
        conditions.append(f"key < {sql_text(end)}")
    return " AND ".join(conditions) or "true"
