"""Tell a file that was cut off by the mark that should stand at its end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

TAIL_BYTES: Final = 4096
"""Where a whole file's end mark may stand: writers add padding and small trailers after it."""

END_MARKS: Final[Mapping[str, bytes]] = {"image/jpeg": b"\xff\xd9", "image/png": b"IEND\xaeB`\x82"}


def has_end_mark(mime: str) -> bool:
    """Tell whether files of this type end with a mark, so that their tail is worth reading."""
    return mime in END_MARKS


def is_whole(mime: str, tail: bytes) -> bool:
    """Tell whether a file's last `TAIL_BYTES` bytes hold its end mark; True for types without one."""
    return END_MARKS.get(mime, b"") in tail
