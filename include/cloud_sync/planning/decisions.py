"""The SQL that decides what happens to each object and each group, and why."""

# ruff: noqa: S608 (all of it is built from constants and quoted settings)

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from cloud_sync.ledger_sql import GROUPED
from cloud_sync.planning.grouping import FOLDER, Grouping, by_rule, hits_sql, quiet_before_sql
from cloud_sync.sql_engine import sql_text

EMPTY_LISTING: Final = """
    CREATE TEMP VIEW listing AS SELECT * FROM (VALUES (
        NULL::VARCHAR, NULL::BIGINT, NULL::TIMESTAMPTZ, NULL::VARCHAR
    )) AS t (key, size_bytes, last_modified, etag) WHERE false
"""

# Objects with their type, and why the rules of the file pass them over. The first rule that holds decides.
SELECTED: Final = """
    SELECT
        listing.key, listing.size_bytes, listing.last_modified, listing.etag, types.item_type,
        CASE
            WHEN NOT coalesce(regexp_matches(key, getvariable('include'), 's'), true) THEN 'not_included'
            WHEN coalesce(regexp_matches(key, getvariable('exclude'), 's'), false) THEN 'excluded'
            WHEN ends_with(key, getvariable('sidecar')) THEN 'sidecar'
            WHEN types.item_type IS NULL AND ends_with(key, getvariable('sidecar_suffix'))
                THEN 'unused_sidecar'
            WHEN types.item_type IS NULL THEN 'unknown_type'
        END AS passed_over,
        NULL::VARCHAR AS series_key, NULL::DOUBLE AS mm, NULL::BIGINT AS number, NULL::VARCHAR AS uid,
        NULL::VARCHAR AS problem, NULL::BOOLEAN AS may_pass
    FROM listing_here AS listing
    LEFT JOIN types
        ON types.extension = regexp_extract(lower(listing.key), getvariable('extension'), 1)
"""

SELECTED_WITH_SERIES: Final = """
    SELECT
        chosen.* REPLACE (
            headers.series_key AS series_key, headers.mm AS mm, headers.number AS number,
            headers.uid AS uid, headers.problem AS problem, headers.may_pass AS may_pass
        )
    FROM chosen LEFT JOIN headers USING (key)
"""

# All of them, and those below the prefix that was listed.
REGISTERED: Final = """
    SELECT count(*), count(*) FILTER (starts_with(key, $1)) FROM known WHERE state = 'registered'
"""

# One 64-bit number instead of an etag of 34 characters makes the join's table half as large.
CONTENT: Final = "hash(size_bytes, etag)"

SINGLE_OBJECTS: Final = f"""
    SELECT
        selected.*, NULL::INTEGER AS rule, known.state AS known_state,
        known.content = hash(selected.size_bytes, selected.etag) AS is_same
    FROM selected
    LEFT JOIN (SELECT key, state, {CONTENT} AS content FROM known_here) AS known USING (key)
"""

DECIDE_ALONE: Final = """
    CASE
        WHEN passed_over IS NOT NULL THEN passed_over
        WHEN coalesce(size_bytes > getvariable('maximum_size'), false) THEN 'too_large'
        WHEN coalesce(last_modified > getvariable('newest'), false) THEN 'too_young'
        WHEN known_state IS NULL THEN 'new'
        WHEN known_state = 'registered' AND NOT is_same AND getvariable('registers_again') THEN 'changed'
        WHEN getvariable('full_pass') THEN 'full_pass'
        WHEN known_state = 'registered' AND is_same THEN 'registered'
        WHEN known_state = 'registered' THEN 'changed'
        WHEN NOT is_same THEN 'changed_since_failure'
        WHEN known_state = 'quarantined' THEN 'quarantined'
        ELSE 'failed_before'
    END
"""

ACTION: Final = """
    CASE
        WHEN reason IN ('new', 'full_pass', 'changed_since_failure') THEN 'register'
        WHEN reason = 'changed' AND getvariable('registers_again') THEN 'register'
        WHEN reason = 'failed_before' THEN 'retry'
        WHEN reason IN ('too_young', 'incomplete', 'bad_metadata', 'sidecar_missing') THEN 'hold'
        WHEN reason IN ('changed', 'grown', 'file_missing', 'registered_otherwise', 'unreadable_header')
            THEN 'report'
        ELSE 'skip'
    END
"""

# What a key declares whose count cannot be read: no group has so many files.
NO_COUNT: Final = -1

# What stands behind the last slash of a key.
NAME: Final = "regexp_extract(key, '[^/]*$', 0, 's')"

PLAN_COLUMNS: Final = "key, size_bytes, last_modified, etag, item_type, item_key, position"

ALONE: Final = f"""
    SELECT
        key, size_bytes, last_modified, etag, item_type,
        CASE WHEN passed_over IS NULL THEN key END AS item_key,
        CASE WHEN passed_over IS NULL THEN 0 END::INTEGER AS position,
        {DECIDE_ALONE} AS reason,
        problem AS detail
    FROM decidable WHERE rule IS NULL OR passed_over IS NOT NULL
"""

# Only what differs from file to file goes through the sorting; what is the group's own is joined to it again.
IN_GROUPS: Final = """
    SELECT
        placed.key, placed.size_bytes, placed.last_modified, placed.etag,
        fates.item_type, fates.item_key, placed.position, fates.reason, fates.detail
    FROM (
        SELECT
            key, size_bytes, last_modified, etag, item_number,
            (row_number() OVER (
                PARTITION BY item_number
                ORDER BY order_mm NULLS LAST, order_number NULLS LAST, order_text, key
            ) - 1)::INTEGER AS position
        FROM decidable JOIN fates USING (item_key)
        WHERE rule IS NOT NULL AND passed_over IS NULL
        ORDER BY item_number, position
    ) AS placed
    JOIN fates USING (item_number)
"""


def dicom_files_sql(groupings: Sequence[Grouping], *, where: str) -> str:
    """Return the query of the files over `chosen` whose series a rule wants to know."""
    rules = [grouping for grouping in groupings if grouping.rule.by == "series_uid"]
    wanted = " OR ".join(f"({grouping.candidates(where=where)})" for grouping in rules)
    return f"SELECT key, etag, size_bytes FROM chosen WHERE {wanted}"


def plan_sql(*, has_groups: bool) -> str:
    """Return the query of the plan over `decidable` and, with groups, `fates`."""
    decided = f"{ALONE} UNION ALL {IN_GROUPS}" if has_groups else ALONE
    return f"SELECT {PLAN_COLUMNS}, {ACTION} AS action, reason, detail FROM ({decided})"


def _whole_number(text: str) -> str:
    """Return the SQL of a text's number; NULL where it is none, since a cast alone would round 9.9 to 10."""
    return f"CASE WHEN regexp_full_match({text}, '[0-9]+') THEN try_cast({text} AS BIGINT) END"


def decidable_sql(groupings: Sequence[Grouping], *, narrowed_to: str | None, where: str) -> str:
    """Return the query of all objects with their groups and what the ledger knows of them.

    Args:
        groupings: The rules in force.
        narrowed_to: The prefix to which a person narrowed this run, which may cut groups apart.
        where: The integration, for errors.
    """
    prefixes = by_rule(groupings, [sql_text(grouping.prefix) for grouping in groupings])
    types = by_rule(groupings, [f"'{grouping.rule.type}'" for grouping in groupings], otherwise="item_type")
    counts = by_rule(groupings, [str(grouping.rule.complete.count or "NULL") for grouping in groupings])
    names = by_rule(groupings, [NAME if g.rule.by == "folder" else "key" for g in groupings])
    is_whole = (
        f'starts_with(hit."group", {sql_text(narrowed_to)}) AND starts_with(key, hit."group")'
        if narrowed_to
        else "true"
    )
    return f"""
        SELECT
            key, size_bytes, last_modified, etag, {types} AS item_type,
            CASE WHEN rule IS NOT NULL AND hit."group" IS NULL THEN 'unreadable_header' ELSE passed_over END
                AS passed_over,
            problem, may_pass, rule,
            {prefixes} || hit."group" AS item_key,
            CASE WHEN hit."count" IS NULL THEN {counts} ELSE coalesce(key_count, {NO_COUNT}) END AS declared,
            CASE WHEN key_count IS NULL THEN hit."count" END AS bad_count,
            {is_whole} AS is_whole,
            mm AS order_mm,
            coalesce(number, index_number) AS order_number,
            CASE WHEN uid IS NOT NULL THEN uid
                 WHEN rule IS NOT NULL AND index_number IS NULL
                 THEN natural_key(coalesce(hit."index", {names})) END AS order_text,
            known_state, is_same, known_item, known_type
        FROM (
            SELECT
                hits.*, hit.rule AS rule,
                {_whole_number('hit."index"')} AS index_number,
                {_whole_number('hit."count"')} AS key_count,
                known.state AS known_state, known.item AS known_item, known.item_type AS known_type,
                known.content = hash(hits.size_bytes, hits.etag) AS is_same
            FROM ({hits_sql(groupings, where=where)}) AS hits
            LEFT JOIN (
                SELECT key, state, item_type, {CONTENT} AS content, hash(item_key) AS item FROM known_here
            ) AS known USING (key)
        )
    """


# What becomes of each group as a whole. Reports come before completeness: what is registered cannot grow. One
# that is to be registered again must be at rest, though: else each night would register what came until then.
FATE: Final = """
    CASE
        WHEN large IS NOT NULL THEN 'too_large'
        WHEN NOT is_whole THEN 'incomplete'
        WHEN registered > registered_so OR one_item <> other_item THEN 'registered_otherwise'
        WHEN registered > 0 AND files > registered THEN 'grown'
        WHEN registered > 0 AND known_files > files THEN 'file_missing'
        WHEN registered > 0 AND same < files AND NOT getvariable('registers_again') THEN 'changed'
        WHEN registered > 0 AND same = files AND getvariable('full_pass') THEN 'full_pass'
        WHEN registered > 0 AND same = files THEN 'registered'
        WHEN coalesce(newest > getvariable('newest'), false) THEN 'too_young'
        WHEN NOT coalesce(files = declared AND files = most_declared, false)
            AND (unread IS NOT NULL OR NOT coalesce(newest <= quiet_before, false)) THEN 'incomplete'
        WHEN registered > 0 THEN 'changed'
        WHEN failed = 0 THEN 'new'
        WHEN getvariable('full_pass') THEN 'full_pass'
        WHEN same < files OR known_files <> files THEN 'changed_since_failure'
        WHEN is_quarantined THEN 'quarantined'
        ELSE 'failed_before'
    END
"""

DETAIL: Final = """
    CASE reason
        WHEN 'too_large' THEN 'such as ' || large
        WHEN 'registered_otherwise' THEN format('{} of its {} files', registered, files)
        WHEN 'grown' THEN format('{} {} more than the {} registered', files - registered,
            if(files - registered = 1, 'file', 'files'), registered)
        WHEN 'file_missing' THEN format('{} of {} files', known_files - files, known_files)
        WHEN 'changed' THEN format('{} of {} files, such as {}', files - same, files, a_changed)
        WHEN 'too_young' THEN 'its newest file is of ' || strftime(newest, '%Y-%m-%d %H:%M:%S UTC')
        WHEN 'incomplete' THEN CASE
            WHEN NOT is_whole THEN 'the narrower prefix of this run may leave files of it out'
            WHEN unread IS NOT NULL THEN format('{} may belong to it, and cannot be read yet', unread)
            WHEN bad_count IS NOT NULL
            THEN format('the count "{}" in its keys cannot be read as a number of files', bad_count)
            WHEN declared <> most_declared THEN 'its files declare different counts'
            WHEN declared IS NOT NULL THEN format('has {} of {} files', files, declared)
            ELSE 'waiting for quiet: its newest file is of ' || strftime(newest, '%Y-%m-%d %H:%M:%S UTC')
        END
    END
"""


def _unread_sql(groupings: Sequence[Grouping], now: datetime) -> str:
    """Return the query of the series to which a file that is unreadable now may belong, and one such file.

    A file of another user or half uploaded may be readable later, and a series is mostly in one folder.
    """
    if all(grouping.rule.by != "series_uid" for grouping in groupings):
        return "SELECT NULL::VARCHAR AS item_key, NULL::VARCHAR AS unread WHERE false"
    by_uid = by_rule(groupings, [str(g.rule.by == "series_uid").lower() for g in groupings])
    is_young = f"last_modified > {quiet_before_sql(groupings, now)}"
    return f"""
        SELECT item_key, min(unread) AS unread
        FROM (SELECT item_key, {FOLDER} AS folder FROM decidable WHERE passed_over IS NULL AND {by_uid})
        JOIN (
            SELECT {FOLDER} AS folder, min(key) AS unread FROM decidable
            WHERE passed_over = 'unreadable_header' AND (may_pass OR coalesce({is_young}, false))
            GROUP BY ALL
        ) USING (folder)
        GROUP BY item_key
    """


def fates_sql(groupings: Sequence[Grouping], now: datetime) -> str:
    """Return the query of `fates`: item_key, a number for it, type, reason and detail of each group."""
    return f"""
        WITH groups AS (
            SELECT
                item_key, any_value(rule) AS rule, any_value(item_type) AS item_type,
                count(*) AS files, max(last_modified) AS newest,
                min(key) FILTER (size_bytes > getvariable('maximum_size')) AS large,
                bool_and(is_whole) AS is_whole,
                min(declared) AS declared, max(declared) AS most_declared, min(bad_count) AS bad_count,
                count(*) FILTER (known_state = 'registered') AS registered,
                count(*) FILTER (known_state = 'registered' AND known_type = item_type) AS registered_so,
                count(*) FILTER (known_state <> 'registered' AND known_type = item_type) AS failed,
                min(known_item) FILTER (known_state = 'registered') AS one_item,
                max(known_item) FILTER (known_state = 'registered') AS other_item,
                max(known_item) FILTER (known_type = item_type) AS known_item,
                count(*) FILTER (is_same AND known_type = item_type) AS same,
                min(key) FILTER (NOT is_same) AS a_changed,
                coalesce(bool_or(known_state = 'quarantined'), false) AS is_quarantined
            FROM decidable WHERE rule IS NOT NULL AND passed_over IS NULL
            GROUP BY item_key
        ), known_groups AS (
            SELECT item_type, hash(item_key) AS known_item, count(*) AS known_files
            FROM known WHERE item_type IN {GROUPED} GROUP BY ALL
        ), unread_files AS ({_unread_sql(groupings, now)}), decided AS (
            SELECT *, {quiet_before_sql(groupings, now)} AS quiet_before, {FATE} AS reason
            FROM groups
            LEFT JOIN known_groups USING (item_type, known_item)
            LEFT JOIN unread_files USING (item_key)
        )
        SELECT
            item_key, row_number() OVER (ORDER BY item_key) AS item_number, item_type, reason,
            {DETAIL} AS detail
        FROM decided
    """


REGISTER: Final = f"SELECT {PLAN_COLUMNS} FROM {{plan}} WHERE action IN ('register', 'retry')"

# Where only groups are sent they stand in order in the plan already, and looking costs far less than sorting.
IS_IN_ORDER: Final = f"""
    SELECT bool_and(
        key_before IS NULL OR item_key > key_before OR item_key = key_before AND position > position_before
    )
    FROM (
        SELECT
            item_key, position, lag(item_key) OVER () AS key_before, lag(position) OVER () AS position_before
        FROM ({REGISTER})
    )
"""

# The same where every file is an item; sorting each key once, not twice, takes a third less.
REGISTER_SINGLE: Final = """
    SELECT *, key AS item_key, 0::INTEGER AS position FROM (
        SELECT key, size_bytes, last_modified, etag, item_type FROM {plan}
        WHERE action IN ('register', 'retry') ORDER BY key
    )
"""

# An item's first file stands for it; all its files have one action and one reason.
SUMMARY: Final = """
    SELECT
        action, item_type, reason, count(*)::BIGINT, sum(size_bytes)::BIGINT,
        min(key || coalesce(' (' || detail || ')', ''), {examples}) FILTER (coalesce(position, 0) = 0),
        (count(*) FILTER (position = 0))::BIGINT
    FROM {plan}
    GROUP BY action, item_type, reason
    ORDER BY action, count(*) DESC, reason, item_type
"""

# By what it is registered as: by the rules of then a group may have had another key.
MISSING: Final = """
    WITH left_over AS (SELECT key, item_type FROM {plan} WHERE reason = 'file_missing'),
    short AS (
        SELECT DISTINCT left_over.item_type AS planned_type, known.item_type, known.item_key
        FROM left_over JOIN known USING (key) WHERE known.state = 'registered'
    )
    SELECT planned_type, count(*)::BIGINT
    FROM known JOIN short USING (item_type, item_key) ANTI JOIN left_over USING (key)
    GROUP BY planned_type
"""

HOLD: Final = """
    SELECT
        plan.* EXCLUDE (action, reason, detail),
        CASE WHEN problem.reason IS NULL THEN plan.action ELSE 'hold' END AS action,
        coalesce(problem.reason, plan.reason) AS reason,
        CASE WHEN problem.reason IS NULL THEN plan.detail ELSE problem.detail END AS detail
    FROM {plan} AS plan
    LEFT JOIN problems AS problem
        ON problem.item_key = plan.item_key AND plan.action IN ('register', 'retry')
"""
