"""The name that was probably meant, for remedies."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `Did you mean ...?` with the known name that is most alike, or nothing if none is."""
    spellings = {plain(each): each for each in known}
    near = difflib.get_close_matches(plain(name), spellings, n=1)
    return f"Did you mean {spellings[near[0]]}?" if near else ""


def one_of(names: Iterable[str]) -> str:
    """Return names as a choice: `a, b or c`."""
    return _listed(names, "or")


def all_of(names: Iterable[str]) -> str:
    """Return names as a list: `a, b and c`."""
    return _listed(names, "and")


def _listed(names: Iterable[str], word: str) -> str:
    *first, last = names
    return f"{', '.join(first)} {word} {last}" if first else last


def plain(name: str) -> str:
    """Return a name in lower case and with `_` between its words."""
    return name.strip().lower().replace("-", "_").replace(" ", "_")
