"""A unit: one item to be, as a manifest describes it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit


@dataclass(frozen=True, slots=True)
class FileSpec:
    """One file of a unit.

    Attributes:
        url: Its object URL.
        title: Its name; for a unit of one file that of the unit.
        supplied: Its media metadata in snake case; if there is any, the file is not read.
    """

    url: str
    title: str
    supplied: dict[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the form in which the database keeps it; its items are the arguments of this class."""
        return {"url": self.url, "title": self.title, "supplied": self.supplied}


@dataclass(frozen=True, slots=True)
class UnitSpec:
    """One item to be.

    Attributes:
        item_type: Encord's word for it (`video`).
        files: Its files, in order; exactly one unless it is a group or a series.
        title: Its name.
        client_metadata: The user's own data.
    """

    item_type: str
    files: tuple[FileSpec, ...]
    title: str
    client_metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def urls(self) -> tuple[str, ...]:
        """The object URLs, in order."""
        return tuple(file.url for file in self.files)


class UnitError(Exception):
    """A unit that cannot be registered; the text is what the user reads."""


def file_name(url: str) -> str:
    """Return the file name in an object URL: the default title."""
    try:
        path = urlsplit(url).path
    except ValueError:  # an IPv6 host that is none, as in https://[bad/a.mp4: fetching it will say so
        path = url.partition("?")[0].partition("#")[0]
    return PurePosixPath(unquote(path)).name or url
