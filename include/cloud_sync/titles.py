"""Titles by template: `"{folder} {stem}"`, with fields that come from the key."""

from __future__ import annotations

import functools
import hashlib
import posixpath
from collections.abc import Collection, Mapping
from pathlib import PurePosixPath
from string import Formatter

from cloud_sync.encord_limits import MAX_TITLE_CHARACTERS

LONGEST_EXTENSION = 20

KEY_FIELDS = ("key", "name", "stem", "extension", "folder")
"""Fields of every template: the key, its last segment, that without its extension, the extension, and what
stands before the last slash."""

GROUP_FIELDS = ("group", "index")
"""Fields of a group's template: the group's own text, and the index of its first file."""

_DIGEST_CHARACTERS = 8


def check_template(template: str, fields: Collection[str]) -> str:
    """Return the template if it is well formed and names only these fields.

    Raises:
        ValueError: It is not; says what to write instead.
    """
    try:
        parts = list(Formatter().parse(template))
    except ValueError as error:
        raise ValueError(f"is no template ({error}): write a brace that is text twice, as {{{{") from None
    for _, field, form, conversion in parts:
        if field is not None and (field not in fields or form or conversion):
            raise ValueError(f"{{{field}}} is no field of a title here; there are: {', '.join(fields)}")
    return template


def fields_of_key(key: str) -> dict[str, str]:
    """Return the values of `KEY_FIELDS` for a key."""
    folder, _, name = key.rpartition("/")
    stem, extension = posixpath.splitext(name)
    return {"key": key, "name": name, "stem": stem, "extension": extension[1:], "folder": folder}


def render(template: str, fields: Mapping[str, str]) -> str | None:
    """Fill a template; fields without a value are empty, and a blank title is none."""
    text = "".join(
        [literal + fields.get(field, "") if field else literal for literal, field in _parts(template)]
    )
    return cut(text.strip()) or None


@functools.cache
def _parts(template: str) -> tuple[tuple[str, str | None], ...]:
    return tuple((literal, field) for literal, field, _, _ in Formatter().parse(template))


def cut(title: str) -> str:
    """Return a title that Encord accepts: one that is too long ends in a digest, which keeps it unique."""
    if len(title) <= MAX_TITLE_CHARACTERS:
        return title
    digest = hashlib.sha256(title.encode(errors="surrogatepass")).hexdigest()[:_DIGEST_CHARACTERS]
    return f"{title[: MAX_TITLE_CHARACTERS - len(digest) - 1]}-{digest}"


def short_title(key: str) -> str | None:
    """Return a title that Encord accepts for an object whose file name is too long to be one, else None.

    Encord takes the file name where no title is given, and refuses a whole manifest for one title that
    is too long.
    """
    name = PurePosixPath(key).name
    if len(name) <= MAX_TITLE_CHARACTERS:
        return None
    extension = PurePosixPath(name).suffix[:LONGEST_EXTENSION]
    return name[: MAX_TITLE_CHARACTERS - len(extension)] + extension
