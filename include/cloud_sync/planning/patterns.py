"""Include and exclude patterns: the rules of .gitignore, as one regular expression for SQL."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pathspec.patterns.gitignore import GitIgnorePatternError
from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

from cloud_sync.errors import ConfigError

# pathspec names a group to tell a folder from a file. One expression may name a group only once.
NAMED_GROUP = re.compile(r"\(\?P<\w+>")


def patterns_to_regex(patterns: Sequence[str], *, where: str) -> str | None:
    """Join patterns into one RE2 expression that matches a key if any of them does; None without any.

    Raises:
        ConfigError: A pattern is malformed; names it and `where` it stands.
    """
    parts = []
    for pattern in patterns:
        try:
            regex, include = GitIgnoreSpecPattern.pattern_to_regex(pattern)
        except (GitIgnorePatternError, re.error) as error:
            raise ConfigError(
                f"the pattern {pattern!r} is malformed: {error}.",
                where=where,
                remedy="Write it as in a .gitignore file, such as '*.mp4' or 'raw/**'.",
            ) from None
        if regex is None or not include:
            raise ConfigError(
                f"the pattern {pattern!r} matches nothing.",
                where=where,
                remedy="Write it as in a .gitignore file, such as '*.mp4' or 'raw/**'.",
            )
        parts.append(f"(?:{NAMED_GROUP.sub('(?:', regex)})")
    return "|".join(parts) or None
