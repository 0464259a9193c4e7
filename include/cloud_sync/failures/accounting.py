"""Account for every item of every manifest that has ended: is it registered, and if not, what is known?"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import pyarrow.compute as pc
import pyarrow.dataset as ds

from cloud_sync.manifest.model import (
    ManifestEntry,
    SentItem,
    items_of_manifests,
    items_with_urls,
    reading_table,
)
from cloud_sync.registration.model import Outcome, UnitError

Ended = tuple[ManifestEntry, Outcome]


class FolderReader(Protocol):
    """What accounting needs of Encord: to look into the target's folder, and to link what is there."""

    def find(self, items: Iterable[SentItem]) -> tuple[list[str], list[SentItem]]:
        """Return the uuids of the items that the folder holds, and the items that it does not hold."""

    def link(self, item_uuids: Sequence[str]) -> None:
        """Make sure that these items of the folder are in the dataset."""


@dataclass(frozen=True, slots=True)
class RefusedItem:
    """An item that was not registered, or a URL that Encord named although it was not sent.

    Attributes:
        entry: Its manifest.
        outcome: What became of the manifest.
        item: The item; None for a URL that was not sent.
        errors: What Encord said, by the URLs of the item that it named, in the item's order.
    """

    entry: ManifestEntry
    outcome: Outcome
    item: SentItem | None
    errors: Mapping[str, UnitError]

    @property
    def files(self) -> Sequence[str]:
        """The URLs of all its files."""
        return self.item.object_urls if self.item else list(self.errors)

    @property
    def suspects(self) -> Sequence[str]:
        """The URLs of the files to look at: those that Encord named, or if it named none, all."""
        return list(self.errors) or self.files

    def error_of(self, url: str) -> UnitError:
        """Return what Encord said of a file; if it did not name the file, what is known instead."""
        return self.errors.get(url) or _unnamed(self.outcome)


def refused_items(
    items_path: Path, ended: Sequence[Ended], encord_folder: FolderReader, *, believe_done: bool = False
) -> list[RefusedItem]:
    """Return the items of these manifests that are not registered; link those that are, if in doubt.

    An item that a unit error names, by one of its files or by all, has failed as a whole. If these items
    and those that the job made cover the manifest, the others are registered; if they do not (duplicates
    are skipped, jobs are cancelled, errors name no file) the folder's items decide.

    Args:
        items_path: The run's `items.parquet`.
        ended: The manifests whose upload jobs have ended.
        encord_folder: Read only if the counts leave a doubt.
        believe_done: Leave no doubt about a job that is done and names as many items as it refused: it
            skipped the others as duplicates. Spares the reading of a folder where nearly all are.
    """
    named = list(_named_items(items_path, ended))
    failed = Counter(one.entry.number for one in named if one.item is not None)
    doubtful = [
        (entry, outcome)
        for entry, outcome in ended
        if not _is_accounted(outcome, failed) and not (believe_done and _names_its_failures(outcome, failed))
    ]
    return named + list(_absent_items(items_path, doubtful, named, encord_folder))


@dataclass(frozen=True, slots=True)
class Tally:
    """How many items, and of how many files they are."""

    items: int
    files: int


def registered_by_type(
    items_path: Path, ended: Sequence[Ended], others: Iterable[SentItem]
) -> dict[str, Tally]:
    """Count by type what these manifests say and is registered, now or before; without types of none.

    Args:
        items_path: The run's `items.parquet`.
        ended: Manifests in it.
        others: The items in them that are not registered.
    """
    condition = ds.field("manifest").isin([entry.number for entry, _ in ended])
    items: Counter[str] = Counter()
    files: Counter[str] = Counter()
    with reading_table(items_path):
        for rows in ds.dataset(items_path).to_batches(columns=["item_type", "position"], filter=condition):
            files.update(_counts(rows["item_type"]))
            items.update(_counts(rows["item_type"].filter(pc.equal(rows["position"], 0))))
    for item in others:
        items[item.item_type] -= 1
        files[item.item_type] -= len(item.object_urls)
    return {kind: Tally(count, files[kind]) for kind, count in sorted(items.items()) if count}


def _counts(values: Any) -> dict[str, int]:
    return {one["values"]: one["counts"] for one in values.value_counts().to_pylist()}


def _is_accounted(outcome: Outcome, failed: Mapping[int, int]) -> bool:
    return outcome.status == "done" and outcome.made + failed[outcome.manifest_number] == outcome.items


def _names_its_failures(outcome: Outcome, failed: Mapping[int, int]) -> bool:
    return outcome.status == "done" and failed[outcome.manifest_number] == outcome.failed


def _named_items(items_path: Path, ended: Sequence[Ended]) -> Iterator[RefusedItem]:
    """Yield the items that unit errors name, each once, and the named URLs that are of no item."""
    by_number = {entry.number: (entry, outcome) for entry, outcome in ended}
    errors = {number: _by_url(outcome) for number, (_, outcome) in by_number.items()}
    urls = {url for of_manifest in errors.values() for url in of_manifest}
    items = list(items_with_urls(items_path, urls)) if urls else []
    wholes = {(item.manifest, frozenset(item.object_urls)) for item in items}
    for item in items:
        of_item = _errors_of(item, errors.get(item.manifest, {}), wholes)
        if of_item:  # else the error is of another item or manifest, which has the file too
            yield RefusedItem(*by_number[item.manifest], item, of_item)
    sent = {(item.manifest, url) for item in items for url in item.object_urls}
    for number, of_manifest in errors.items():
        for url, (error, *_) in of_manifest.items():
            if (number, url) not in sent:
                yield RefusedItem(*by_number[number], None, {url: error})


def _errors_of(
    item: SentItem, said: Mapping[str, Sequence[UnitError]], wholes: Set[tuple[int, frozenset[str]]]
) -> dict[str, UnitError]:
    """Return what was said of an item's files. A file may be in several items of a given manifest: an error
    that names all files of one of them is of that one alone.
    """
    own = item.manifest, frozenset(item.object_urls)
    found: dict[str, UnitError] = {}
    for url in item.object_urls:
        for error in said.get(url, ()):
            of = item.manifest, frozenset(error.urls)
            if of == own or of not in wholes:
                found.setdefault(url, error)
    return found


def _by_url(outcome: Outcome) -> dict[str, list[UnitError]]:
    by_url: defaultdict[str, list[UnitError]] = defaultdict(list)
    for error in map(_without_urls, outcome.unit_errors):
        for url in error.urls:
            by_url[url].append(error)
    return dict(by_url)


def _without_urls(error: UnitError) -> UnitError:
    """Leave the URLs out of Encord's text, so that all files of one cause have the same reason."""
    text = error.error
    for url in error.urls:
        text = text.replace(url, "<url>")
    return replace(error, error=text)


def _absent_items(
    items_path: Path,
    doubtful: Sequence[Ended],
    named: Iterable[RefusedItem],
    encord_folder: FolderReader,
) -> Iterator[RefusedItem]:
    """Yield the items of doubtful manifests that the folder does not hold; link those that it does."""
    if not doubtful:
        return
    by_number = {entry.number: (entry, outcome) for entry, outcome in doubtful}
    failed = {(one.entry.number, one.item.object_urls) for one in named if one.item is not None}
    sent = items_of_manifests(items_path, list(by_number))
    present, absent = encord_folder.find(i for i in sent if (i.manifest, i.object_urls) not in failed)
    encord_folder.link(present)
    for item in absent:
        yield RefusedItem(*by_number[item.manifest], item, {})


def _unnamed(outcome: Outcome) -> UnitError:
    """What to say of a file that Encord did not name although it was not registered."""
    if outcome.status == "cancelled":
        return UnitError((), "The upload job was cancelled before this file.", "", "")
    if outcome.status == "done":
        return UnitError((), "Encord neither registered it nor named an error for it.", "", "")
    said = outcome.job_errors[0] if outcome.job_errors else "another file of its manifest failed"
    return UnitError((), f"The whole manifest was refused: {said}", "", "")
