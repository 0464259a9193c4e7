"""Grouping: which objects together become one item, as SQL over the selected objects."""

# ruff: noqa: S608 (built from constants and quoted settings)

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cloud_sync.integration import GroupRule, Integration
from cloud_sync.integration.groups import QUIET_BY_DEFAULT
from cloud_sync.patterns import compiled_regex, names_by_number, patterns_to_regex
from cloud_sync.sql_engine import sql_text

ROOT_FOLDER: Final = "."
"""The text of the group of a bucket's root, which has no folder."""

DICOM_BY_FOLDER: Final = GroupRule(type="dicom_series", by="folder")
"""What holds for DICOM files that no rule takes: they cannot be registered singly."""

NO_HIT = 'NULL::STRUCT(rule INTEGER, "group" VARCHAR, "index" VARCHAR, "count" VARCHAR)'

# The named groups of a pattern that the plan uses; titles take the others out of the key themselves.
PARTS: Final = ("group", "index", "count")

# An object's folder with its last slash; greedy, so all but the name.
FOLDER: Final = f"coalesce(nullif(regexp_extract(key, '^.*/', 0, 's'), ''), '{ROOT_FOLDER}')"


@dataclass(frozen=True, slots=True)
class Grouping:
    """A grouping rule in its place.

    Attributes:
        number: Its place among the rules, from 0.
        rule: The rule.
        prefix: What its item keys begin with, so that those of two rules never collide: nothing for the first
            rule by folder, whose item keys are the folders, a digest of the rule for the others.
    """

    number: int
    rule: GroupRule
    prefix: str

    def candidates(self, *, where: str) -> str:
        """Return the SQL condition of the objects that it looks at: selected, of its type, included.

        Raises:
            ConfigError: A pattern is malformed.
        """
        include = patterns_to_regex(self.rule.include, where=f"{where}, groups[{self.number}].include")
        takes = "dicom_series" if self.rule.type == "dicom_series" else "image"
        matches = f" AND regexp_matches(key, {sql_text(include)}, 's')" if include else ""
        return f"passed_over IS NULL AND item_type = '{takes}'{matches}"

    def text_of(self, item_key: str) -> str:
        """Return the group's own text: its folder, the named group, or the series' UID."""
        text = item_key.removeprefix(self.prefix)
        if self.rule.by == "series_uid":
            return text.rpartition("/")[2]
        return text.removesuffix("/") or text if self.rule.by == "folder" else text

    def begins(self, key: str) -> bool:
        """Tell whether the text of a file's group is what its key begins with; by chance does not count."""
        if self.rule.pattern is None:
            return self.rule.by == "folder"
        match = compiled_regex(self.rule.pattern).search(key)
        return match is not None and match.start("group") == 0


def groupings_of(integration: Integration) -> tuple[Grouping, ...]:
    """Return the rules of an integration, and the one that holds for DICOM files that no rule takes."""
    rules = [*integration.groups, *([DICOM_BY_FOLDER] if integration.types.dicom else [])]
    first_by_folder = next((n for n, rule in enumerate(rules) if rule.by == "folder"), None)
    return tuple(
        Grouping(number, rule, "" if number == first_by_folder else f"{_digest(rule)}:")
        for number, rule in enumerate(rules)
    )


def _digest(rule: GroupRule) -> str:
    text = repr((rule.type, rule.by, rule.pattern, rule.include))
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:8]


def hits_sql(groupings: Sequence[Grouping], *, where: str) -> str:
    """Return a query over `selected` that adds `hit`: the rule that takes an object, and parts of its key.

    A rule looks only at what the rules before it left. `hit` is NULL where no rule takes the object; its
    `group` is NULL where a series could not be read.

    Raises:
        ConfigError: A pattern is malformed.
    """
    query = f"SELECT *, {NO_HIT} AS hit FROM selected"
    for grouping in groupings:
        query = _step(grouping, f"hit IS NULL AND {grouping.candidates(where=where)}", query)
    return query


def _step(grouping: Grouping, condition: str, query: str) -> str:
    pattern = grouping.rule.pattern
    if pattern is None:
        group = "series_key" if grouping.rule.by == "series_uid" else FOLDER
        found = _hit(grouping.number, group)
        return f"SELECT * REPLACE (CASE WHEN {condition} THEN {found} ELSE hit END AS hit) FROM ({query})"
    names = names_by_number(compiled_regex(pattern), wanted=PARTS)
    listed = ", ".join(sql_text(name) for name in names)
    parts = f"regexp_extract(key, {sql_text(pattern)}, [{listed}], 's')"
    index, count = (f"nullif(parts.\"{name}\", '')" if name in names else "NULL" for name in PARTS[1:])
    found = _hit(grouping.number, 'parts."group"', index, count)
    return f"""
        SELECT * EXCLUDE (parts) REPLACE (
            CASE WHEN parts."group" <> '' THEN {found} ELSE hit END AS hit
        ) FROM (SELECT *, CASE WHEN {condition} THEN {parts} END AS parts FROM ({query}))
    """


def _hit(number: int, group: str, index: str = "NULL", count: str = "NULL") -> str:
    return f"{{'rule': {number}, 'group': {group}, 'index': {index}, 'count': {count}}}"


def by_rule(groupings: Sequence[Grouping], values: Sequence[str], *, otherwise: str = "NULL") -> str:
    """Return an SQL expression that is one value for each rule."""
    cases = " ".join(
        f"WHEN {grouping.number} THEN {value}" for grouping, value in zip(groupings, values, strict=True)
    )
    return f"CASE rule {cases} ELSE {otherwise} END"


def quiet_before_sql(groupings: Sequence[Grouping], now: datetime) -> str:
    """Return the time since which a group must be quiet; NULL where only its number of files counts."""
    values = []
    for grouping in groupings:
        quiet_for = grouping.rule.complete.quiet_for
        if quiet_for is None:
            default = _time(now - QUIET_BY_DEFAULT)
            values.append(f"CASE WHEN declared IS NULL THEN {default} END")
        else:
            # Without a time everything is quiet, also if the store's clock is ahead of this one's.
            values.append(_time(now - quiet_for) if quiet_for else "'infinity'::TIMESTAMPTZ")
    return by_rule(groupings, values)


def _time(value: datetime) -> str:
    return f"TIMESTAMPTZ '{value.isoformat()}'"
