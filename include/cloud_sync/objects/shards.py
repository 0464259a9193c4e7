"""List a very large bucket as shards: ranges of keys, each listed by a task of its own, on whatever worker.

The ranges are windows that cover all keys below the prefix, whether or not a folder was there when they were
made. Each shard looks for the folders in its range itself, so what is new by then is listed, too.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from cloud_sync.objects.listing import FOLDER, PAGES_IN_FLIGHT, PART_ROWS, list_objects, remove_listing
from cloud_sync.objects.spans import DELIMITER, Span, find_units
from cloud_sync.objects.tally import Tally
from cloud_sync.objects.windows import Window

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cloud_sync.objects.listing import Listing
    from cloud_sync.objects.model import ObjectStore
    from cloud_sync.objects.spans import Unit
    from cloud_sync.run_folder import RunFolder

SHARDS = f"{FOLDER}/shards.json"
FOLDERS_PER_SHARD = 8
"""So many folders are looked for, for each shard: what one has too much, the others even out."""
LONGEST_LABEL = 90
AFTER_DELIMITER = chr(ord(DELIMITER) + 1)


@dataclass(frozen=True, slots=True)
class Shard:
    """One range of keys.

    Attributes:
        number: Its place among the shards, from 0.
        window: Its keys.
        label: The folders that it had when the ranges were made, in words.
    """

    number: int
    window: Window
    label: str


def survey(
    store: ObjectStore,
    prefix: str,
    folder: RunFolder,
    *,
    shards: int,
    pages_in_flight: int = PAGES_IN_FLIGHT,
) -> list[Shard]:
    """Divide the keys below a prefix into ranges with about as many folders each, and write them down.

    How many objects a folder holds is not known; a folder of mostly objects is never divided. What an earlier
    listing left in the run folder is removed.

    Args:
        store: The bucket.
        prefix: A string prefix.
        folder: The run folder; `listing/shards.json` is written.
        shards: How many ranges at most.
        pages_in_flight: How many folders are looked into at the same time at most.

    Returns:
        The ranges in the order of keys, at least one.

    Raises:
        ObjectStoreError: The store refused or failed.
        StorageError: The run folder cannot be written.
    """
    listed_at = datetime.now(UTC)
    remove_listing(folder)
    tally = Tally()
    units = find_units(store, prefix, pages_in_flight, tally, enough=FOLDERS_PER_SHARD * shards)
    found = list(_shards(units, shards, in_order=not tally.out_of_order))
    written = [asdict(shard) for shard in found]
    content = {"prefix": prefix, "surveyed_at": listed_at.isoformat(), "shards": written}
    folder.write_json(SHARDS, content)
    return found


def read_shard(folder: RunFolder, number: int) -> tuple[str, Shard]:
    """Return the prefix of a listing, and one of its shards."""
    content = folder.read_json(SHARDS)
    written: dict[str, Any] = content["shards"][number]
    return content["prefix"], Shard(number, Window(**written["window"]), written["label"])


def list_shard(
    store: ObjectStore,
    folder: RunFolder,
    number: int,
    *,
    attempt: str | None = None,
    pages_in_flight: int = PAGES_IN_FLIGHT,
    part_rows: int = PART_ROWS,
) -> Listing:
    """List one shard into `listing/<number>/part-<nnnn>.parquet`, as `list_objects` does."""
    prefix, shard = read_shard(folder, number)
    return list_objects(
        store,
        prefix,
        folder,
        window=shard.window,
        name=f"{FOLDER}/{number:04d}",
        attempt=attempt,
        pages_in_flight=pages_in_flight,
        part_rows=part_rows,
    )


def _shards(units: Sequence[Unit], most: int, *, in_order: bool) -> Iterator[Shard]:
    """Group neighbours until each group has its part of the folders; the last one takes what is left."""
    folders = sum(map(_folders_in, units))
    group: list[Unit] = []
    number, taken, after = 0, 0, ""
    for unit in units:
        group.append(unit)
        taken += _folders_in(unit)
        if number + 1 < most and folders * (number + 1) <= taken * most and taken < folders:
            to = _end_of(unit)
            yield Shard(number, Window(after, to, in_order), _label(group))
            group, number, after = [], number + 1, to
    yield Shard(number, Window(after, None, in_order), _label(group))


def _folders_in(unit: Unit) -> int:
    if not isinstance(unit, Span):
        return 0  # its objects have been seen: hardly any work
    return 1 if unit.folders is None else len(unit.folders)


def _end_of(unit: Unit) -> str:
    """Return a text that no key of a range exceeds, and that no later key is less than."""
    if not isinstance(unit, Span):
        last: str = unit.rows["key"][-1].as_py()
        return last
    folder: str = unit.prefix if unit.folders is None else unit.folders[-1].as_py()
    # `a0` follows `a/` and all that begins with it.
    return folder.removesuffix(DELIMITER) + AFTER_DELIMITER


def _label(group: Sequence[Unit]) -> str:
    """Return the first and the last folder of a group, shortened, without what cannot be shown."""
    spans = [unit for unit in group if isinstance(unit, Span)]
    if not spans:
        return "objects beside folders"
    first, last = spans[0], spans[-1]
    names = [
        first.prefix if first.folders is None else first.folders[0].as_py(),
        last.prefix if last.folders is None else last.folders[-1].as_py(),
    ]
    return " to ".join(dict.fromkeys(map(_shown, names)))


def _shown(name: str) -> str:
    shown = "".join(letter if letter.isprintable() else "?" for letter in name) or "the whole bucket"
    return shown if len(shown) <= LONGEST_LABEL else f"...{shown[3 - LONGEST_LABEL :]}"
