"""Compares what came of a run with what the bucket's content says must come of it, exactly."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from demo.media import Expectation
from demo.report import RunReport, key_of

SHOWN = 5


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


def check_first_run(expected: Expectation, report: RunReport, dataset_urls: list[str]) -> list[Finding]:
    """Check a run over a bucket that nothing was registered from.

    Args:
        dataset_urls: The URL of every item of the dataset, read through the Encord SDK.
    """
    listed, good, bad = len(expected.listed), len(expected.good), len(expected.bad)
    skipped = sum(key in expected.listed for key in expected.skipped)
    left_out = report.planned_with("skip", "report", "hold")
    return [
        _equal(f"the run listed all {listed} objects under the prefix", listed, report.listed_objects),
        _equal(f"{skipped} of them were left alone, as the rules say", skipped, left_out),
        _same_keys(f"the dataset holds exactly the {good} good files", expected.good, dataset_urls),
        _equal(f"the run says so too: {good} registered", good, report.registered),
        _same_keys(f"the failure CSV names exactly the {bad} bad files", expected.bad, report.failed_urls()),
    ]


def check_second_run(before: list[str], after: list[str], report: RunReport) -> list[Finding]:
    """Check a run over a bucket that has not changed since the run before.

    Args:
        before: The URL of every item of the dataset before this run.
        after: The same after it.
    """
    return [
        _equal("the second run submitted no manifest", 0, report.manifests),
        _equal("it registered nothing", 0, report.registered),
        _equal(f"it knew all {len(before)} as registered", len(before), report.already_registered),
        Finding(
            f"the dataset had {len(before)} items before it and has {len(after)} after it, the same ones",
            () if sorted(before) == sorted(after) else ("they differ",),
        ),
        Finding(
            f"these are {len(set(after))} different URLs: nothing is registered twice",
            tuple(f"twice: {key_of(url)}" for url in _repeated(after)),
        ),
    ]


def _equal(statement: str, wanted: int, found: int) -> Finding:
    return Finding(statement, () if wanted == found else (f"expected {wanted}, found {found}",))


def _same_keys(statement: str, wanted: Iterable[str], urls: list[str]) -> Finding:
    found, expected = [key_of(url) for url in urls], set(wanted)
    faults = [f"missing: {key}" for key in sorted(expected - set(found))]
    faults += [f"not expected: {key}" for key in sorted(set(found) - expected)]
    faults += [f"more than once: {key}" for key in _repeated(found)]
    return Finding(statement, tuple(faults))


def _repeated(values: list[str]) -> list[str]:
    seen: set[str] = set()
    return [value for value in sorted(values) if value in seen or seen.add(value)]  # type: ignore[func-returns-value]


def describe(finding: Finding) -> str:
    """Return a finding as one line, with its faults below."""
    shown = [f"\n      {fault}" for fault in finding.faults[:SHOWN]]
    more = len(finding.faults) - SHOWN
    tail = f"\n      and {more} more" if more > 0 else ""
    return f"{'yes' if finding.holds else 'NO '}  {finding.statement}{''.join(shown)}{tail}"
