"""The plan: what to do with each listed object and why, as SQL over the listing and the ledger."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from cloud_sync.integration import Integration
from cloud_sync.ledger import LedgerVersion
from cloud_sync.ledger_sql import EMPTY_VERSION
from cloud_sync.patterns import patterns_to_regex
from cloud_sync.planning import decisions, departures, leaving
from cloud_sync.planning.describe import Describer, describes_single_files
from cloud_sync.planning.grouping import Grouping, groupings_of
from cloud_sync.planning.model import (
    FILE_MISSING,
    METADATA_NAME,
    PLAN_NAME,
    REGISTER_NAME,
    SENT_ACTIONS,
    SIDECAR_SUFFIX,
    UNLINK_NAME,
    PlanRow,
    Sources,
    write_plan,
)
from cloud_sync.planning.natural import natural_key
from cloud_sync.planning.ranges import key_ranges, view_whole
from cloud_sync.planning.series import load_headers
from cloud_sync.run_folder import FileRef, RunFolder
from cloud_sync.sql_engine import is_any, parquet, sql_engine, sql_text, write_in_turn

if TYPE_CHECKING:
    import duckdb

EXAMPLES = 3
# Keys and etags, each of which is there once, would fill a larger dictionary in vain.
COPY_OPTIONS = "FORMAT parquet, COMPRESSION snappy, DICTIONARY_SIZE_LIMIT 1000"
PARQUET_OPTIONS: dict[str, Any] = {
    "compression": "snappy",
    "use_dictionary": ["item_type", "action", "reason", "detail"],
}
DECIDABLE_PREFIX = ".decidable-"


@dataclass(frozen=True, slots=True)
class Plan:
    """A written plan.

    Attributes:
        ref: `plan.json`, with the numbers of objects and items to register, and of objects registered before,
            in all and below the prefix that was listed.
        rows: The summary, the largest first within an action.
    """

    ref: FileRef
    rows: tuple[PlanRow, ...]

    @property
    def to_register(self) -> int:
        """Objects that will stand in manifests."""
        return self.ref.counts["to_register"]

    @property
    def items(self) -> int:
        """Items that will stand in manifests."""
        return self.ref.counts["items"]


@dataclass(frozen=True, slots=True)
class Request:
    """What `make_plan` was asked for; its arguments are explained there."""

    listing_parts: Sequence[Path]
    integration: Integration
    ledger: LedgerVersion | None
    now: datetime
    full_pass: bool
    narrowed_to: str | None
    sources: Sources | None

    @property
    def where(self) -> str:
        """The place that errors name."""
        return f"integration {self.integration.name}"

    @property
    def registers_again(self) -> bool:
        """Whether what has changed is registered again."""
        return self.integration.changes.changed == "register_again"

    @property
    def listed_prefix(self) -> str:
        """What the keys of the listing begin with."""
        return self.narrowed_to or self.integration.storage.prefix


def make_plan(
    folder: RunFolder,
    *,
    listing_parts: Sequence[Path],
    integration: Integration,
    ledger: LedgerVersion | None,
    now: datetime,
    full_pass: bool = False,
    narrowed_to: str | None = None,
    sources: Sources | None = None,
) -> Plan:
    """Give each listed object, and each registered one that is gone, an action with a reason.

    All files of an item have the same. Writes `plan.parquet` (every object: key, size_bytes, last_modified,
    etag, item_type, item_key, position, action, reason, detail), `register.parquet` (those to send, ordered
    by item_key and position), `metadata.parquet` (a title and metadata for each item, if any has them),
    `unlink.parquet` (what is to leave the dataset, if anything is: item_type, item_key, position, key and url
    as the ledger has them, reason) and `plan.json` (the summary, with the digests of the three before it).

    Args:
        folder: The run folder.
        listing_parts: Parquet files of the listing; none for an empty listing.
        integration: Its select, types, groups, metadata and name.
        ledger: What is known; None plans everything as new.
        now: Against which ages are measured; when the listing began, so that a second try plans the same.
        full_pass: Send also what the ledger says is registered or quarantined; no group that grew or changed.
        narrowed_to: The prefix to which a person narrowed this run; groups that it may cut are held.
        sources: Where headers of DICOM files, sidecars and tables are; None if the integration uses none.

    Raises:
        ConfigError: A pattern or the metadata table of the integration is wrong.
        StorageError: The store failed for a passing reason.
    """
    request = Request(listing_parts, integration, ledger, now, full_pass, narrowed_to, sources)
    with sql_engine(folder.scratch()) as engine:
        _load_listing(engine, request.listing_parts)
        _load_ledger(engine, request.ledger)
        view_whole(engine)
        _load_rules(engine, request)
        groupings = _groupings(engine, request.integration)
        is_gone = _write_plan(engine, folder, request, groupings)
        if is_gone:
            _tell_moves(engine, folder)
        if request.registers_again:
            _spare_parts(engine, folder)
        _write_register(engine, folder, is_grouped=bool(groupings))
        _describe(engine, folder, request, groupings)
        _write_unlink(engine, folder, may_be_any=is_gone or request.registers_again)
        rows = _summary(engine, parquet([folder.local(PLAN_NAME)]))
        registered, registered_here = engine.execute(
            decisions.REGISTERED, [request.listed_prefix]
        ).fetchall()[0]
    counts = {
        "objects": sum(row.objects for row in rows if row.is_listed),
        "to_register": sum(row.objects for row in rows if row.action in SENT_ACTIONS),
        "items": sum(row.items for row in rows if row.action in SENT_ACTIONS),
        "registered": registered,
        "registered_here": registered_here,
    }
    return Plan(ref=write_plan(folder, rows, **counts), rows=rows)


def _groupings(engine: duckdb.DuckDBPyConnection, integration: Integration) -> tuple[Grouping, ...]:
    """Return the rules in force; none where only the one for DICOM is there, and no DICOM file."""
    groupings = groupings_of(integration)
    if integration.groups or not groupings:
        return groupings
    extensions = "|".join(re.escape(extension) for extension in integration.types.dicom)
    pattern = sql_text(rf"\.(?i:{extensions})$")
    return groupings if is_any(engine, f"listing WHERE regexp_matches(key, {pattern})") else ()


def _write_plan(
    engine: duckdb.DuckDBPyConnection,
    folder: RunFolder,
    request: Request,
    groupings: Sequence[Grouping],
) -> bool:
    """Write `plan.parquet`, in which moves are not told yet; tell if any item is gone."""
    with (
        folder.writing(PLAN_NAME) as path,
        closing(_plan_queries(engine, folder, request, groupings)) as queries,
    ):
        write_in_turn(engine, queries, path, **PARQUET_OPTIONS)
    return departures.is_any_gone(engine)


def _plan_queries(
    engine: duckdb.DuckDBPyConnection,
    folder: RunFolder,
    request: Request,
    groupings: Sequence[Grouping],
) -> Generator[str]:
    """Yield the queries of the plan's rows. Each holds only until the next is asked for."""
    engine.execute(departures.NONE_ABSENT)
    if groupings:
        with _decidable(engine, folder, request, groupings):
            yield decisions.plan_sql(has_groups=True)
    else:
        engine.execute(f"CREATE TEMP VIEW selected AS {decisions.SELECTED}")
        engine.execute(f"CREATE TEMP VIEW decidable AS {decisions.SINGLE_OBJECTS}")
        for _ in key_ranges(engine, request.listing_parts):
            yield decisions.plan_sql(has_groups=False)
            departures.find_absent(engine, scope=request.listed_prefix)
    departures.load_gone(engine, request.integration.changes)
    yield departures.GONE_ROWS


@contextmanager
def _decidable(
    engine: duckdb.DuckDBPyConnection,
    folder: RunFolder,
    request: Request,
    groupings: Sequence[Grouping],
) -> Iterator[None]:
    """Make the view `decidable` and the table `fates`, and find what is absent.

    Groups are looked at twice, as a whole and file by file, so what is found out about each file waits on
    disk meanwhile.
    """
    _load_selected(engine, request, groupings)
    engine.create_function("natural_key", natural_key, ["VARCHAR"], "VARCHAR")
    with TemporaryDirectory(prefix=DECIDABLE_PREFIX, dir=folder.scratch()) as parts_folder:
        query = decisions.decidable_sql(groupings, narrowed_to=request.narrowed_to, where=request.where)
        parts: list[Path] = []
        for _ in key_ranges(engine, request.listing_parts):
            parts.append(Path(parts_folder) / f"{len(parts)}.parquet")
            _copy(engine, query, parts[-1])
            departures.find_absent(engine, scope=request.listed_prefix)
        engine.execute(f"CREATE TEMP VIEW decidable AS FROM {parquet(parts)}")
        engine.execute(f"CREATE TEMP TABLE fates AS {decisions.fates_sql(groupings, request.now)}")
        yield


def _load_selected(
    engine: duckdb.DuckDBPyConnection, request: Request, groupings: Sequence[Grouping]
) -> None:
    """Make the view `selected`, with the series of DICOM files if a rule wants to know them."""
    if all(grouping.rule.by != "series_uid" for grouping in groupings):
        engine.execute(f"CREATE TEMP VIEW selected AS {decisions.SELECTED}")
        return
    assert request.sources is not None  # noqa: S101 (only an integration without sources has none)
    engine.execute(f"CREATE TEMP VIEW chosen AS {decisions.SELECTED}")
    query = decisions.dicom_files_sql(groupings, where=request.where)
    engine.execute(f"CREATE TEMP VIEW dicom_files AS {query}")
    load_headers(
        engine,
        cache=RunFolder(request.sources.cache_folder),
        open_reader=request.sources.open_reader,
        is_whole_listing=request.narrowed_to is None,
    )
    engine.execute(f"CREATE TEMP VIEW selected AS {decisions.SELECTED_WITH_SERIES}")


def _tell_moves(engine: duckdb.DuckDBPyConnection, folder: RunFolder) -> None:
    """Tell what has moved from what is gone and new."""
    plan = parquet([folder.local(PLAN_NAME)])
    if departures.find_moves(engine, plan):
        _write(engine, folder, PLAN_NAME, departures.PLAN_WITH_MOVES.format(plan=plan))


def _spare_parts(engine: duckdb.DuckDBPyConnection, folder: RunFolder) -> None:
    """Only report what has changed and is registered as a part of something else."""
    plan = parquet([folder.local(PLAN_NAME)])
    if leaving.is_any_leaving(engine, plan) and leaving.find_parts(engine, plan):
        _write(engine, folder, PLAN_NAME, leaving.PLAN_WITHOUT_PARTS.format(plan=plan))


def _write_unlink(engine: duckdb.DuckDBPyConnection, folder: RunFolder, *, may_be_any: bool) -> None:
    """Write what is to leave the dataset. What is held back for its metadata stays where it is."""
    plan = parquet([folder.local(PLAN_NAME)])
    if may_be_any and leaving.is_any_leaving(engine, plan):
        _write(engine, folder, UNLINK_NAME, leaving.UNLINK.format(plan=plan))
    else:
        folder.remove(UNLINK_NAME)  # of an earlier try


def _write_register(engine: duckdb.DuckDBPyConnection, folder: RunFolder, *, is_grouped: bool) -> None:
    plan = parquet([folder.local(PLAN_NAME)])
    query = decisions.REGISTER_SINGLE
    if is_grouped:
        [(is_in_order,)] = engine.execute(decisions.IS_IN_ORDER.format(plan=plan)).fetchall()
        query = decisions.REGISTER if is_in_order else f"{decisions.REGISTER} ORDER BY item_key, position"
    _write(engine, folder, REGISTER_NAME, query.format(plan=plan))


def _describe(
    engine: duckdb.DuckDBPyConnection,
    folder: RunFolder,
    request: Request,
    groupings: Sequence[Grouping],
) -> None:
    """Write titles and metadata, and hold the items whose metadata cannot be sent."""
    if not groupings and not describes_single_files(request.integration):
        folder.remove(METADATA_NAME)  # of an earlier try with other settings
        return
    describer = Describer(
        request.integration, groupings, request.sources, listed_prefix=request.listed_prefix
    )
    if describer.write(engine, folder):
        query = decisions.HOLD.format(plan=parquet([folder.local(PLAN_NAME)]))
        _write(engine, folder, PLAN_NAME, query)
        _write_register(engine, folder, is_grouped=bool(groupings))


def _load_listing(engine: duckdb.DuckDBPyConnection, parts: Sequence[Path]) -> None:
    if parts:
        engine.execute(f"CREATE TEMP VIEW listing AS FROM {parquet(parts)}")
    else:
        engine.execute(decisions.EMPTY_LISTING)


def _load_ledger(engine: duckdb.DuckDBPyConnection, ledger: LedgerVersion | None) -> None:
    if ledger is None:
        engine.execute(EMPTY_VERSION)
    else:
        # What was removed is forgotten here: if it is there again, it is new.
        query = f"FROM {parquet([ledger.path])} WHERE state <> 'removed'"
        engine.execute(f"CREATE TEMP VIEW known AS {query}")


def _load_rules(engine: duckdb.DuckDBPyConnection, request: Request) -> None:
    """Set the rules as variables, which DuckDB folds into constants."""
    select, extensions = request.integration.select, request.integration.types.by_extension()
    # The longest first, so that an extension such as nii.gz wins over gz.
    any_extension = "|".join(e.replace(".", r"\.") for e in sorted(extensions, key=len, reverse=True))
    variables = {
        "include": patterns_to_regex(select.include, where=f"{request.where}, select.include"),
        "exclude": patterns_to_regex(select.exclude, where=f"{request.where}, select.exclude"),
        "extension": rf"\.({any_extension})$" if extensions else "a^",
        "sidecar": SIDECAR_SUFFIX if request.integration.metadata.sidecar else None,
        "sidecar_suffix": SIDECAR_SUFFIX,
        "maximum_size": int(select.maximum_size) if select.maximum_size is not None else None,
        # Without an age nothing is too young, also if the store's clock is ahead of this one's.
        "newest": request.now - select.minimum_age if select.minimum_age else None,
        "full_pass": request.full_pass,
        "registers_again": request.registers_again,
    }
    for name, value in variables.items():
        engine.execute(f"SET VARIABLE {name} = $1", [value])
    engine.execute("CREATE TEMP TABLE types (extension VARCHAR, item_type VARCHAR)")
    if extensions:
        engine.executemany("INSERT INTO types VALUES ($1, $2)", [list(pair) for pair in extensions.items()])


def _summary(engine: duckdb.DuckDBPyConnection, plan: str) -> tuple[PlanRow, ...]:
    rows = tuple(
        PlanRow(action, item_type, reason, objects, total_bytes, tuple(examples or ()), items)
        for action, item_type, reason, objects, total_bytes, examples, items in engine.execute(
            decisions.SUMMARY.format(plan=plan, examples=EXAMPLES)
        ).fetchall()
    )
    if all(row.reason != FILE_MISSING for row in rows):
        return rows
    missing = dict(engine.execute(decisions.MISSING.format(plan=plan)).fetchall())
    return tuple(
        replace(row, missing=missing.get(row.item_type, 0)) if row.reason == FILE_MISSING else row
        for row in rows
    )


def _write(engine: duckdb.DuckDBPyConnection, folder: RunFolder, name: str, query: str) -> None:
    with folder.writing(name) as path:
        _copy(engine, query, path)


def _copy(engine: duckdb.DuckDBPyConnection, query: str, path: Path) -> None:
    engine.execute(f"COPY ({query}) TO {sql_text(path)} ({COPY_OPTIONS})")
