"""A metadata table: CSV or Parquet, one row for each item, joined by key."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from cloud_sync.errors import ConfigError
from cloud_sync.numbers import counted
from cloud_sync.planning.metadata import VIDEO_FIELDS, Description
from cloud_sync.run_folder import RunFolder
from cloud_sync.run_folder.files import DamagedFileError, Files

if TYPE_CHECKING:
    import pandas as pd

    from cloud_sync.integration import Table

# As JSON writes numbers: a text such as 007 or +1 stays a text.
WHOLE_NUMBER: Final = r"-?(?:0|[1-9][0-9]{0,17})"
NUMBER: Final = rf"{WHOLE_NUMBER}(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{{1,2}})?"


class MetadataTable:
    """A table that was read and found good: every key once, all columns there."""

    def __init__(self, frame: pd.DataFrame, *, has_video: bool) -> None:
        self._frame = frame
        self._has_video = has_video

    @classmethod
    def read(cls, table: Table, folder: Path | Files) -> Self:
        """Read a table from the folder of tables.

        Raises:
            ConfigError: It cannot be read, lacks a column, or holds a key twice; names file and remedy.
            StorageError: The bucket that it is in cannot be read.
        """
        if not isinstance(folder, Path):
            tables = RunFolder(folder)
            if not tables.is_on_disk:
                return cls._fetched(table, tables)
            folder = tables.root
        path = folder / table.path
        if not path.resolve().is_relative_to(folder.resolve()):
            raise _outside(path)
        return cls._of_file(table, path)

    @classmethod
    def _fetched(cls, table: Table, tables: RunFolder) -> Self:
        address = tables.address(table.path)
        if ".." in table.path.split("/"):
            raise _outside(address)
        try:
            path = tables.local(table.path)
        except DamagedFileError:
            raise _refused(
                address, "is not there.", "Put it into that bucket, or correct its path."
            ) from None
        try:
            return cls._of_file(table, path)
        except ConfigError as error:  # which names the copy
            raise ConfigError(error.message, where=f"metadata table {address}", remedy=error.remedy) from None

    @classmethod
    def _of_file(cls, table: Table, path: Path) -> Self:
        frame = _read_file(path)
        wanted = (table.key, *(VIDEO_FIELDS if table.video_metadata else ()))
        if missing := [name for name in wanted if name not in frame.columns]:
            raise _refused(
                path,
                f"has no column {', '.join(missing)}.",
                f"It has {', '.join(map(str, frame.columns))}; a CSV is separated by commas.",
            )
        keys = frame[table.key].astype("string")
        if keys.isna().any() or (keys == "").any():
            raise _refused(path, f"has a row without {table.key}.", "Give every row a key.")
        if not keys.is_unique:
            twice = keys[keys.duplicated()].iloc[0]
            raise _refused(path, f"has the key {twice!r} twice.", "Keep one row for each key.")
        return cls(frame.drop(columns=table.key).set_index(keys), has_video=table.video_metadata)

    def rows(self, keys: Sequence[str]) -> list[Description]:
        """Return what the table says of each key; empty where it has no row."""
        import pandas as pd
        import pyarrow as pa

        places = self._frame.index.get_indexer(pd.Index(list(keys), dtype="string"))
        rows = pa.Table.from_pandas(self._frame.take(places[places >= 0]), preserve_index=False).to_pylist()
        found = iter(rows)
        return [self._description(next(found)) if place >= 0 else Description() for place in places]

    def _description(self, row: dict[str, Any]) -> Description:
        row = {name: value for name, value in row.items() if not _is_empty(value)}
        if not self._has_video:
            return Description(client_metadata=row)
        video = {name: row.pop(name) for name in VIDEO_FIELDS if name in row}
        return Description(client_metadata=row, video_metadata=video or None)


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _read_file(path: Path) -> pd.DataFrame:
    import pandas as pd
    import pyarrow as pa

    try:
        if path.suffix.lower() == ".parquet":
            return _read_parquet(path)
        _check_cells(path)
        frame = pd.read_csv(path, dtype=str, keep_default_na=False, na_filter=False, encoding="utf-8-sig")
    except OSError as error:
        raise _refused(
            path, f"cannot be read: {error.strerror or error}.", "Check that it is there."
        ) from None
    except (ValueError, csv.Error, pa.ArrowException) as error:  # also pandas' errors and wrong UTF-8
        line = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
        raise _refused(path, f"is no table: {line}.", "Write it as CSV in UTF-8 or as Parquet.") from None
    return frame.apply(_typed)


def _read_parquet(path: Path) -> pd.DataFrame:
    """Read a Parquet file; times in nanoseconds, which Python and JSON do not have, become microseconds."""
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(path, use_pandas_metadata=True)
    schema = table.schema
    for place, field in enumerate(schema):
        if pa.types.is_timestamp(field.type) and field.type.unit == "ns":
            schema = schema.set(place, field.with_type(pa.timestamp("us", field.type.tz)))
        elif pa.types.is_duration(field.type) and field.type.unit == "ns":
            schema = schema.set(place, field.with_type(pa.duration("us")))
    frame: pd.DataFrame = table.cast(schema, safe=False).to_pandas(types_mapper=pd.ArrowDtype)
    return frame


def _check_cells(path: Path) -> None:
    """Refuse what pandas would mend in silence: columns of one name, rows of another length."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.reader(file, strict=True)
        names = next(rows, [])
        if twice := [name for place, name in enumerate(names) if name in names[:place]]:
            raise _refused(path, f"has the column {twice[0]!r} twice.", "Give each column a name of its own.")
        for row in rows:
            if row and len(row) != len(names):
                cells = f"{counted(len(row), 'cell')} in line {rows.line_num}"
                raise _refused(
                    path,
                    f"has {cells}, but {counted(len(names), 'column')}.",
                    "Write a cell for each column, and quotes around one with a comma.",
                )


def _typed(column: pd.Series[Any]) -> pd.Series[Any]:
    """Give a column of texts the type that all its values have; empty cells are no values."""
    values = column.mask(column == "")
    given = values.dropna().str
    if given.fullmatch(WHOLE_NUMBER).all():
        return values.astype("Int64")
    if given.fullmatch(NUMBER).all():
        return values.astype("Float64")
    if given.lower().isin(["true", "false"]).all():
        return values.str.lower().map({"true": True, "false": False}).astype("boolean")
    return values


def _outside(path: Path | str) -> ConfigError:
    return _refused(path, "lies outside the folder of tables.", "Put the table itself into that folder.")


def _refused(path: Path | str, message: str, remedy: str) -> ConfigError:
    return ConfigError(message, where=f"metadata table {path}", remedy=remedy)
