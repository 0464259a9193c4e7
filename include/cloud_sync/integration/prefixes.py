"""What a prefix can be, and what about it is probably a mistake."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from cloud_sync.integration.addresses import Address, folder_of
from cloud_sync.integration.fields import FieldError, shortened

ALL_BELOW: Final = frozenset({"*", "**", "**/*", "*.*", "**/*.*"})
"""Patterns that say no more than the prefix in front of them."""
DOUBTFUL: Final = (
    (re.compile(r"/"), "begins with a slash, and keys mostly do not"),
    (re.compile(r"\.{1,2}/"), "begins like a path on a disk, and keys mostly do not"),
    (re.compile(r"\s|.*\s$", re.DOTALL), "begins or ends with whitespace, and keys mostly do not"),
    (re.compile(r".*\\", re.DOTALL), "has a backslash, and keys mostly have slashes"),
    (
        re.compile(r".*(?:\?|\[.*\]|\{.*,.*\})", re.DOTALL),
        "looks like a pattern, and is taken as text: patterns belong into select.include",
    ),
)
"""What some keys have, but mostly is not meant."""


def check_prefix(prefix: str, provider: str | None, bucket: str | None) -> None:
    """Refuse what is no prefix of keys.

    Args:
        prefix: What the file says.
        provider: The provider; None if the file says none that there is.
        bucket: The bucket; None if it is wrong.

    Raises:
        FieldError: Says what to write instead.
    """
    folder = folder_of(prefix)
    address = Address.of(prefix)
    if address and address.bucket:
        instead = address.as_fields(without={"provider": provider, "bucket": bucket})
        raise FieldError(f"a prefix begins behind the bucket: write {instead}.")
    if folder == prefix:
        return
    if "*" not in (start := prefix.rstrip("*")) and start:
        raise FieldError(
            f"a prefix is no pattern: write `prefix: {start}`, which takes all that begins with it."
        )
    instead = f"write `prefix: {folder}`" if folder else "leave it out"
    if prefix.removeprefix(folder) in ALL_BELOW:
        raise FieldError(f"a prefix is no pattern: {instead}, which takes all that is below.")
    raise FieldError(
        f"a prefix is no pattern: {instead}, and put it into select.include: [{shortened(prefix)}]."
    )


def doubts_of(prefix: str) -> Iterator[str]:
    """Yield what is probably not meant by a prefix that can be, each as a sentence without its end."""
    for pattern, told in DOUBTFUL:
        if pattern.match(prefix):
            yield told
