"""Describe the items to register: a title and metadata for each, before anything is submitted."""

# ruff: noqa: S608 (built from constants and quoted paths)

from __future__ import annotations

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cloud_sync.integration import Integration
from cloud_sync.manifest.items import GROUPED_TYPES, ItemType
from cloud_sync.patterns import compiled_regex
from cloud_sync.planning.grouping import Grouping
from cloud_sync.planning.metadata import (
    BadMetadata,
    Description,
    encode_client_metadata,
    encode_video_metadata,
    merge,
)
from cloud_sync.planning.metadata_table import MetadataTable
from cloud_sync.planning.model import METADATA_COLUMNS, METADATA_NAME, REGISTER_NAME, SIDECAR_SUFFIX, Sources
from cloud_sync.planning.sidecars import WantedSidecar, read_sidecars
from cloud_sync.sql_engine import is_any, parquet
from cloud_sync.titles import cut, fields_of_key, render

if TYPE_CHECKING:
    import duckdb

    from cloud_sync.planning.model import ObjectReader
    from cloud_sync.run_folder import RunFolder

ITEMS_AT_ONCE: Final = 10_000
READERS: Final = 32

METADATA_SCHEMA: Final = pa.schema([(name, pa.string()) for name in METADATA_COLUMNS])
PROBLEM_SCHEMA: Final = pa.schema(
    [("item_key", pa.string()), ("reason", pa.string()), ("detail", pa.string())]
)


@dataclass(frozen=True, slots=True)
class PlannedItem:
    """An item to register.

    Attributes:
        item_key: Its key in the plan.
        item_type: What it is.
        key: Its first file.
        grouping: The rule that made it; None for a single file.
    """

    item_key: str
    item_type: ItemType
    key: str
    grouping: Grouping | None

    @property
    def text(self) -> str:
        """What tables and sidecars call it: the key of a single file, the text of a group."""
        return self.grouping.text_of(self.item_key) if self.grouping else self.key

    @property
    def sidecar_key(self) -> str:
        """Where its sidecar stands: beside the object; for a group beside what its text names if that is a
        path, else in the folder of its first file."""
        is_path = self.grouping is None or self.grouping.begins(self.key)
        folder = "" if is_path else self.key[: self.key.rfind("/") + 1]
        return folder + self.text + SIDECAR_SUFFIX


@dataclass(frozen=True, slots=True)
class Problem:
    """Why an item is held."""

    item_key: str
    reason: str
    detail: str | None


def describes_single_files(integration: Integration) -> bool:
    """Tell whether a single file can have a title or metadata; groups always have a title."""
    metadata = integration.metadata
    from_sources = metadata.constants or metadata.from_key or metadata.table or metadata.sidecar
    return bool(integration.title or from_sources)


class Describer:
    """Gives items their titles and metadata, by the settings of an integration.

    Args:
        integration: Its title and metadata.
        groupings: The rules in force.
        sources: Where sidecars and tables are; None if the integration uses none.
        listed_prefix: Where the listing knows what is there; sidecars of groups may stand outside.

    Raises:
        ConfigError: The metadata table is wrong.
    """

    def __init__(
        self,
        integration: Integration,
        groupings: Sequence[Grouping],
        sources: Sources | None,
        *,
        listed_prefix: str,
    ) -> None:
        self._settings = integration.metadata
        self._title = integration.title
        # An item key without the prefix of a rule is of the rule that has none.
        self._groupings = sorted(groupings, key=lambda grouping: -len(grouping.prefix))
        self._sources = sources
        self._listed_prefix = listed_prefix
        self._from_key = compiled_regex(self._settings.from_key) if self._settings.from_key else None
        self._describes_single_files = describes_single_files(integration)
        self._table = None
        if self._settings.table:
            assert sources is not None  # noqa: S101 (only an integration without sources has none)
            self._table = MetadataTable.read(self._settings.table, sources.tables_folder)

    def write(self, engine: duckdb.DuckDBPyConnection, folder: RunFolder) -> bool:
        """Write `metadata.parquet`, with a row for each item of `register.parquet` but those with a problem.

        Those stand in the table `problems` with item_key, reason and detail.

        Returns:
            Whether there are problems.
        """
        engine.execute("CREATE TEMP TABLE problems (item_key VARCHAR, reason VARCHAR, detail VARCHAR)")
        if self._settings.sidecar:
            engine.execute(
                "CREATE TEMP TABLE sidecars AS SELECT key AS sidecar_key, size_bytes FROM listing "
                f"WHERE ends_with(key, '{SIDECAR_SUFFIX}')"
            )
        register = parquet([folder.local(REGISTER_NAME)])
        firsts = f"SELECT item_key, item_type, key FROM {register} WHERE position = 0"
        with (
            engine.cursor() as reading,
            folder.writing(METADATA_NAME) as path,
            pq.ParquetWriter(path, METADATA_SCHEMA, compression="zstd") as writer,
            ThreadPoolExecutor(READERS) as pool,
        ):
            for batch in reading.sql(firsts).to_arrow_reader(ITEMS_AT_ONCE):
                self._write_batch(engine, writer, pool, batch)
        return is_any(engine, "problems")

    def _write_batch(
        self,
        engine: duckdb.DuckDBPyConnection,
        writer: pq.ParquetWriter,
        pool: ThreadPoolExecutor,
        batch: pa.RecordBatch,
    ) -> None:
        if not self._describes_single_files:
            writer.write_table(self._only_titles(batch))
            return
        items = self._items(batch)
        sidecars = self._sidecars(engine, pool, items)
        rows = (
            self._table.rows([item.text for item in items]) if self._table else [Description()] * len(items)
        )
        good: list[dict[str, str | None]] = []
        problems: list[Problem] = []
        for item, row, sidecar in zip(items, rows, sidecars, strict=True):
            described = self._describe(item, row, sidecar)
            if isinstance(described, Problem):
                problems.append(described)
            else:
                good.append(described)
        writer.write_table(pa.Table.from_pylist(good, METADATA_SCHEMA))
        if problems:
            engine.register(
                "rows_bad", pa.Table.from_pylist([asdict(one) for one in problems], PROBLEM_SCHEMA)
            )
            engine.execute("INSERT INTO problems FROM rows_bad")
            engine.unregister("rows_bad")

    def _only_titles(self, firsts: pa.RecordBatch) -> pa.Table:
        """Return the rows of items of which only groups have anything, a title; single files may be many."""
        titles: list[str | None] = [None] * firsts.num_rows
        groups = pc.indices_nonzero(pc.is_in(firsts["item_type"], pa.array(sorted(GROUPED_TYPES))))
        for place, item in zip(groups.to_pylist(), self._items(firsts.take(groups)), strict=True):
            titles[place] = self._title_of(item, {})
        none = pa.nulls(firsts.num_rows, pa.string())
        return pa.Table.from_arrays(
            [firsts["item_key"], pa.array(titles, pa.string()), none, none], schema=METADATA_SCHEMA
        )

    def _items(self, firsts: pa.RecordBatch) -> list[PlannedItem]:
        columns = (firsts[name].to_pylist() for name in ("item_key", "item_type", "key"))
        return [
            PlannedItem(item_key, item_type, key, self._grouping_of(item_key, item_type))
            for item_key, item_type, key in zip(*columns, strict=True)
        ]

    def _grouping_of(self, item_key: str, item_type: ItemType) -> Grouping | None:
        if item_type not in GROUPED_TYPES:
            return None
        return next(grouping for grouping in self._groupings if item_key.startswith(grouping.prefix))

    def _sidecars(
        self, engine: duckdb.DuckDBPyConnection, pool: ThreadPoolExecutor, items: Sequence[PlannedItem]
    ) -> list[Description | BadMetadata | None]:
        """Return what each item's sidecar says; None where there is none."""
        if not self._settings.sidecar or not items:
            return [None] * len(items)
        keys = pa.table({"place": range(len(items)), "sidecar_key": [item.sidecar_key for item in items]})
        engine.register("wanted", keys)
        to_read = engine.execute(
            "SELECT place, sidecar_key, size_bytes FROM wanted LEFT JOIN sidecars USING (sidecar_key) "
            "WHERE size_bytes IS NOT NULL OR NOT starts_with(sidecar_key, $1) ORDER BY place",
            [self._listed_prefix],
        ).fetchall()
        engine.unregister("wanted")
        found: list[Description | BadMetadata | None] = [None] * len(items)
        if to_read:
            files = [WantedSidecar(key, size_bytes) for _, key, size_bytes in to_read]
            for (place, *_), said in zip(to_read, read_sidecars(self._reader, pool, files), strict=True):
                found[place] = said
        return found

    @cached_property
    def _reader(self) -> ObjectReader:
        assert self._sources is not None  # noqa: S101 (only an integration without sources has none)
        return self._sources.open_reader()

    def _describe(
        self, item: PlannedItem, row: Description, sidecar: Description | BadMetadata | None
    ) -> dict[str, str | None] | Problem:
        """Return an item's row of `metadata.parquet`, or why it has none."""
        if sidecar is None and self._settings.sidecar == "required":
            return Problem(item.item_key, "sidecar_missing", f"looked for {item.sidecar_key}")
        if isinstance(sidecar, BadMetadata):
            return Problem(item.item_key, "bad_metadata", str(sidecar))
        if (
            row.video_metadata and item.item_type != "video"
        ):  # a table's columns such as width are left to the videos in it
            row = replace(row, video_metadata=None)
        constants = Description(client_metadata=self._settings.constants)
        named = _named(self._from_key, item.key)
        merged = merge([constants, Description(client_metadata=named), row, sidecar or Description()])
        try:
            return {
                "item_key": item.item_key,
                "title": cut(merged.title) if merged.title else self._title_of(item, named),
                "client_metadata": encode_client_metadata(merged.client_metadata),
                "video_metadata": encode_video_metadata(merged.video_metadata, item.item_type),
            }
        except BadMetadata as error:
            return Problem(item.item_key, "bad_metadata", str(error))

    def _title_of(self, item: PlannedItem, named: dict[str, str]) -> str | None:
        if item.grouping is None:
            return render(self._title, fields_of_key(item.key) | named) if self._title else None
        rule = item.grouping.rule
        title = None
        if rule.title:
            parts = _named(compiled_regex(rule.pattern) if rule.pattern else None, item.key)
            title = render(rule.title, fields_of_key(item.key) | parts | {"group": item.text})
        return title or cut(item.text)


def _named(pattern: re.Pattern[str] | None, key: str) -> dict[str, str]:
    """Return the named groups of a pattern in a key; those that took no part are left out."""
    match = pattern.search(key) if pattern else None
    return {name: text for name, text in match.groupdict().items() if text is not None} if match else {}
