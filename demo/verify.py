"""Compares what came of a run with what the bucket's content says must come of it, exactly."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from demo.content import BucketContent, Item
from demo.dataset import DatasetItem
from demo.report import RunReport, key_of

SHOWN = 5
Known = TypeVar("Known", str, tuple[str, tuple[str, ...]])


@dataclass(frozen=True, slots=True)
class Finding:
    """One statement that was checked.

    Attributes:
        statement: What should be true, with its numbers.
        faults: Why it is not; empty if it is.
    """

    statement: str
    faults: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """True if the statement is true."""
        return not self.faults


def check_first_run(content: BucketContent, report: RunReport, items: Sequence[DatasetItem]) -> list[Finding]:
    """Check a run over a bucket that nothing was registered from.

    Args:
        content: What was in the bucket.
        report: What the run says of itself.
        items: Every item of the dataset, read through the Encord SDK.
    """
    listed, good, bad = len(content.listed), len(content.good), len(content.bad)
    skipped = sum(medium.key in content.listed for medium in content.skipped)
    waiting = [key for item in content.held for key in item.keys]
    return [
        _equal(f"the run listed all {listed} objects under the prefix", listed, report.listed_objects),
        _equal(
            f"{skipped} of them were left alone, as the rules say",
            skipped,
            report.planned_with("skip", "report"),
        ),
        _equal(
            f"{len(waiting)} belong to {len(content.held)} groups that are not complete, and are held",
            len(waiting),
            report.planned_with("hold"),
        ),
        _same_items(
            f"the dataset holds exactly the {good} good items, each file in its place", content, items
        ),
        _same_descriptions("each has the title and the client metadata that the rules say", content, items),
        _equal(f"the run says so too: {good} registered", good, report.registered),
        _equal(
            "one file that could not be read at first was sent again by a retry round, and is registered",
            1,
            sum(one.registered for one in report.retry_rounds),
        ),
        _same_keys(f"the failure CSV names exactly the {bad} bad files", content.bad, report.failed_urls()),
    ]


def check_second_run(
    content: BucketContent,
    report: RunReport,
    before: Sequence[DatasetItem],
    after: Sequence[DatasetItem],
) -> list[Finding]:
    """Check a run over a bucket that has not changed since the run before.

    Args:
        content: What was in the bucket.
        report: What the run says of itself.
        before: Every item of the dataset before this run.
        after: The same after it.
    """
    known, waiting = len(before), sum(len(item.keys) for item in content.held)
    return [
        _equal("the second run submitted no manifest", 0, report.manifests),
        _equal("it registered nothing", 0, report.registered),
        _equal(f"it knew all {known} as registered", known, report.already_registered),
        _equal(f"it still held the {waiting} objects of groups", waiting, report.planned_with("hold")),
        Finding(
            f"the dataset had {known} items before it and has {len(after)} after it, the same ones",
            () if list(before) == list(after) else ("they differ",),
        ),
        Finding(
            "no two of them are of the same files: nothing is registered twice",
            tuple(f"twice: {_name(*one)}" for one in _repeated(_known_by(item) for item in after)),
        ),
    ]


def _equal(statement: str, wanted: int, found: int) -> Finding:
    return Finding(statement, () if wanted == found else (f"expected {wanted}, found {found}",))


def _same_keys(statement: str, wanted: Iterable[str], urls: Sequence[str]) -> Finding:
    return _same(statement, wanted, map(key_of, urls), str)


def _same_items(statement: str, content: BucketContent, items: Sequence[DatasetItem]) -> Finding:
    """Compare items by type and files in their order."""
    return _same(statement, map(_known_by, content.good), map(_known_by, items), lambda one: _name(*one))


def _same(
    statement: str, wanted: Iterable[Known], found: Iterable[Known], name: Callable[[Known], str]
) -> Finding:
    expected, there = Counter(list(wanted)), Counter(list(found))  # of a mapping its keys
    faults = [f"missing: {name(one)}" for one in sorted((expected - there).elements())]
    for one in sorted((there - expected).elements()):
        faults.append(f"{'more than once' if one in expected else 'not expected'}: {name(one)}")
    return Finding(statement, tuple(faults))


def _same_descriptions(statement: str, content: BucketContent, items: Sequence[DatasetItem]) -> Finding:
    found = {_known_by(item): item for item in items}
    faults = []
    for wanted in content.good:
        there = found.get(_known_by(wanted))
        if there is None:
            continue  # a fault of its own
        if (there.title, there.client_metadata) != (wanted.title, wanted.client_metadata):
            faults.append(f"{_name(*_known_by(wanted))} has {there.title!r}, {there.client_metadata}")
    return Finding(statement, tuple(faults))


def _known_by(item: Item | DatasetItem) -> tuple[str, tuple[str, ...]]:
    return item.item_type, item.keys


def _name(item_type: str, keys: tuple[str, ...]) -> str:
    return f"{item_type} of {', '.join(keys)}"


def _repeated(values: Iterable[Known]) -> list[Known]:
    return sorted(value for value, count in Counter(values).items() if count > 1)


def describe(finding: Finding) -> str:
    """Return a finding as one line, with its faults below."""
    shown = [f"\n      {fault}" for fault in finding.faults[:SHOWN]]
    more = len(finding.faults) - SHOWN
    tail = f"\n      and {more} more" if more > 0 else ""
    return f"{'yes' if finding.holds else 'NO '}  {finding.statement}{''.join(shown)}{tail}"
