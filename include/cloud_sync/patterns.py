"""Include and exclude patterns: the rules of .gitignore, as one regular expression for SQL."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pathspec.patterns.gitignore import GitIgnorePatternError
from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

from cloud_sync.errors import ConfigError

# pathspec names a group to tell a folder from a file. One expression may name a group only once.
NAMED_GROUP = re.compile(r"\(\?P<\w+>")

# RE2 knows these classes, the regular expressions of pathspec do not, so they would match otherwise.
POSIX_CLASS = re.compile(r"\[:")


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
