"""Look at many failed files with few requests: of those that failed for one cause a few are asked about.

A revoked permission can fail a million files. So files are taken together, first all of them, then those of
which Encord said the same, then those of one folder, and a few of each group are asked about. If the store
refuses these for one reason that is not about a single object, it holds for the whole group. Otherwise the
group is divided, and at last each of its files is asked about. That an object is missing is never concluded
from others.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

from cloud_sync.failures.inquiry import GENERAL, Inquiry
from cloud_sync.failures.model import Evidence, Suspect

T = TypeVar("T")

PROBES: Final = 8
"""Files of each group that are asked about at least; a smaller group is asked about file by file."""
MOST_PROBES: Final = 200
"""Of each cause and folder in a group a file is asked about, up to so many."""

CONCLUSIVE: Final = GENERAL | {"forbidden", "no_bucket"}
"""Refusals that are about more than a single object."""

NUMBERS: Final = re.compile(r"[0-9a-f]{8,}|[0-9]+", re.IGNORECASE)
"""What differs between texts of one cause: sizes, places, ids."""

Group = Sequence[Suspect]
"""Suspects with a key, each key once."""


def _cause(suspect: Suspect) -> tuple[str, str]:
    return suspect.item_type, NUMBERS.sub("#", suspect.encord_error)


def _folder(suspect: Suspect) -> str:
    return (suspect.key or "").rpartition("/")[0]


def _cause_and_folder(suspect: Suspect) -> tuple[object, str]:
    return _cause(suspect), _folder(suspect)


DIVISIONS: Final[tuple[Callable[[Suspect], object], ...]] = (_cause, _folder, _cause_and_folder)
"""By what the groups of each step are divided for the next; after the last step nothing is left to divide."""


def look_at(inquiry: Inquiry, suspects: Sequence[Suspect]) -> list[Evidence]:
    """Return the evidence for each suspect, in order."""
    by_key = {suspect.key: suspect for suspect in reversed(suspects) if suspect.key is not None}
    # In the order of keys, so that what is asked does not depend on how the failures came.
    findings = _Findings(inquiry)
    findings.find([by_key[key] for key in sorted(by_key)])
    evidence = findings.evidence()
    nowhere = Evidence(refusal="other")
    return [evidence[suspect.key] if suspect.key is not None else nowhere for suspect in suspects]


@dataclass(slots=True)
class _Findings:
    """What is known so far.

    Attributes:
        asked: What the store said, by key.
        concluded: What the store said of a key's group, which was not asked about file by file.
    """

    inquiry: Inquiry
    asked: dict[str, Evidence] = field(default_factory=dict)
    concluded: dict[str, Evidence] = field(default_factory=dict)

    def find(self, everything: Group) -> None:
        groups = [everything] if everything else []
        for divide_by in DIVISIONS:
            groups = self._without_shared_refusals(groups, divide_by)
        # Small groups first: a large one must not use up the requests of all others.
        self._ask(key for group in sorted(groups, key=len) for key in _keys(group))
        if self.inquiry.ended is not None:
            self._conclude_the_rest(_keys(everything), self.inquiry.ended)

    def _conclude_the_rest(self, keys: Iterable[str], refusal: str) -> None:
        said = [found for found in self.asked.values() if found.refusal == refusal]
        last = said[-1] if said else Evidence(refusal=refusal)
        for key in keys:
            if key not in self.asked or self.asked[key] == last:
                self.concluded.setdefault(key, last)

    def evidence(self) -> dict[str, Evidence]:
        """Return all that was found, by key; of a concluded refusal also for and from how many."""
        alike = Counter(self.concluded.values())
        asked = Counter(found for key, found in self.concluded.items() if key in self.asked)
        said = {found: replace(found, alike=count, asked=asked[found]) for found, count in alike.items()}
        return self.asked | {key: said[found] for key, found in self.concluded.items()}

    def _without_shared_refusals(
        self, groups: Sequence[Group], divide_by: Callable[[Suspect], object]
    ) -> list[Group]:
        """Ask about some files of each group, and return the parts of those groups that differ."""
        probes = [_probes(group) for group in groups]
        self._ask(key for keys in probes for key in keys)
        differing: list[Group] = []
        for group, keys in zip(groups, probes, strict=True):
            refusal = _shared_refusal(self.asked, keys)
            if refusal is None:
                differing += _divided(group, divide_by)
            elif len(keys) < len(group):
                self.concluded |= dict.fromkeys(_keys(group), refusal)
        return differing

    def _ask(self, keys: Iterable[str]) -> None:
        new = dict.fromkeys(key for key in keys if key not in self.asked)
        self.asked |= self.inquiry.ask(new)


def _keys(group: Group) -> list[str]:
    return [suspect.key for suspect in group if suspect.key is not None]


def _divided(group: Group, by: Callable[[Suspect], object]) -> list[Group]:
    parts: defaultdict[object, list[Suspect]] = defaultdict(list)
    for suspect in group:
        parts[by(suspect)].append(suspect)
    return list(parts.values())


def _probes(group: Group) -> list[str]:
    """Return the keys to ask about first: one of each cause and folder, `PROBES` of all, both spread."""
    parts = _divided(group, _cause_and_folder)
    one_each = [part[len(part) // 2] for part in _spread(parts, MOST_PROBES)]
    more = _spread(group, PROBES) if len(one_each) < PROBES else []
    return list(dict.fromkeys(_keys([*one_each, *more])))


def _spread(items: Sequence[T], most: int) -> Sequence[T]:
    """Return at most so many of the items, evenly spread."""
    if len(items) <= most:
        return items
    return [items[number * len(items) // most] for number in range(most)]


def _shared_refusal(asked: Mapping[str, Evidence], keys: Sequence[str]) -> Evidence | None:
    """Return how the store refused all of these, if it is one reason that holds for others too."""
    answers = {asked.get(key) for key in keys}
    answer = answers.pop() if len(answers) == 1 else None
    return answer if answer is not None and answer.refusal in CONCLUSIVE else None
