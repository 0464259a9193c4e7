"""Include and exclude patterns: the rules of .gitignore, as one regular expression for SQL."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Collection, Sequence
from itertools import repeat

from pathspec.patterns.gitignore import GitIgnorePatternError
from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

from cloud_sync.errors import ConfigError

# pathspec names a group to tell a folder from a file. One expression may name a group only once.
NAMED_GROUP = re.compile(r"\(\?P<\w+>")

# RE2 knows these classes, the regular expressions of pathspec do not, so they would match otherwise.
POSIX_CLASS = re.compile(r"\[:")

# Expressions that RE2 is sure to know if Python does: literals, classes, groups, repetition. The usual ones
# are such, so that a DAG file whose integrations have some is parsed without the import of DuckDB.
_LITERAL = r"[^\\\[\](){}|*+?^$.\x00-\x1f\ud800-\udfff]"
_ESCAPE = r"\\[dwsDWSnrtfv!-/:-@\[-^`{-~]"
_CLASS = rf"\[(?!\^?\])\^?(?:[^\\\[\]\x00-\x1f\ud800-\udfff]|{_ESCAPE})+\]"
_TIMES = r"\{([0-9]{1,2})(?:,([0-9]{0,2}))?\}"
_REPEAT = rf"(?:[*+?]|{_TIMES})\??(?![*+?{{])"
PLAIN_REGEX = re.compile(
    rf"(?:(?:{_LITERAL}|\.|{_ESCAPE}|{_CLASS}|\))(?:{_REPEAT})?"
    r"|\((?:\?:|\?P<[a-zA-Z_][a-zA-Z0-9_]*>)?(?!\?)|[|^$]|\\b)*",
    re.ASCII,
)
REGEX_REMEDY = "Write it without lookaround and backreferences, such as '(?P<group>.+)_(?P<index>[0-9]+)'."
# JavaScript, Java and .NET name groups so.
OTHER_DIALECT_REMEDY = (
    "Write (?P<name>...) instead of (?<name>...), and the rest without lookaround and backreferences."
)

PLAIN_CHARACTERS = 1000
# RE2 multiplies the numbers of repetitions that stand inside each other, and takes no more than this.
MOST_REPEATED = 1000
# It refuses what is too large with repetitions written out: one character here is up to ten of its steps.
MOST_CHARACTERS_REPEATED = 10_000


def patterns_to_regex(patterns: Sequence[str], *, where: str) -> str | None:
    """Join patterns into one RE2 expression that matches a key if any of them does; None without any.

    Raises:
        ConfigError: A pattern is malformed; names it and `where` it stands.
    """
    return "|".join(f"(?:{_to_regex(pattern, where)})" for pattern in patterns) or None


def _to_regex(pattern: str, where: str) -> str:
    if POSIX_CLASS.search(pattern):
        raise _malformed(pattern, "holds a character class such as [:alpha:]", where)
    try:
        regex, include = GitIgnoreSpecPattern.pattern_to_regex(pattern)
        if regex is None or not include:
            raise _malformed(pattern, "matches nothing", where)
        re.compile(regex)
    except (GitIgnorePatternError, re.error) as error:
        raise _malformed(pattern, f"is malformed: {error}", where) from None
    return NAMED_GROUP.sub("(?:", regex)


def _malformed(pattern: str, fault: str, where: str) -> ConfigError:
    return ConfigError(
        f"the pattern {pattern!r} {fault}.",
        where=where,
        remedy="Write it as in a .gitignore file, such as '*.mp4' or 'raw/**'.",
    )


@functools.cache
def compiled_regex(pattern: str) -> re.Pattern[str]:
    """Compile a regular expression of an integration file for use in Python and, as it is written, in SQL.

    Keys are matched by RE2, as DuckDB has it: fast, and never slow on a malicious key, but without
    lookaround and backreferences. Titles and metadata take their parts of a key out in Python. So an
    expression has to mean the same to both; the dot matches every character, a new line too.

    Raises:
        ConfigError: It is malformed, or one of the two does not know it.
    """
    if POSIX_CLASS.search(pattern):
        raise _no_regex("it holds a character class such as [:alpha:]")
    try:
        compiled = re.compile(pattern, re.ASCII | re.DOTALL)
    except (re.error, OverflowError, RecursionError) as error:
        fault = str(error) or "it is nested too deeply"
        raise _no_regex(
            fault, OTHER_DIALECT_REMEDY if "unknown extension ?<" in fault else REGEX_REMEDY
        ) from None
    if not _is_plain(pattern) and (refusal := _refusal_of_re2(pattern)):
        raise _no_regex(refusal)
    return compiled


def _is_plain(pattern: str) -> bool:
    """Tell whether RE2 is sure to know an expression that Python knows."""
    times = [int(most or least or 1) for least, most in re.findall(_TIMES, pattern)]
    repeated = math.prod(map(max, times, repeat(1)))
    return (
        len(pattern) <= PLAIN_CHARACTERS
        and repeated <= MOST_REPEATED
        and repeated * len(pattern) <= MOST_CHARACTERS_REPEATED
        and PLAIN_REGEX.fullmatch(pattern) is not None
    )


def _refusal_of_re2(pattern: str) -> str | None:
    import duckdb

    try:
        with duckdb.connect() as engine:
            engine.execute("SELECT regexp_matches('', $1, 's')", [pattern]).fetchall()
    except duckdb.Error as error:
        return str(error).partition("Error: ")[2] or str(error)
    return None


def _no_regex(fault: str, remedy: str = REGEX_REMEDY) -> ConfigError:
    return ConfigError(f"cannot be used as a regular expression: {fault}.", remedy=remedy)


def names_by_number(pattern: re.Pattern[str], *, wanted: Collection[str]) -> tuple[str, ...]:
    """Return a name for each capture of an expression, in order: its own if wanted, else `_<number>`.

    So no two names are equal to DuckDB, in which case does not matter, whatever a user calls the others.
    """
    names = {number: name for name, number in pattern.groupindex.items() if name in wanted}
    return tuple(names.get(number, f"_{number}") for number in range(1, pattern.groups + 1))
