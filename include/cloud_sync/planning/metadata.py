"""Metadata of one item: where it comes from, how it is merged, what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from cloud_sync.encord_limits import MAX_CLIENT_METADATA_BYTES
from cloud_sync.json_values import is_finite
from cloud_sync.manifest.items import VideoMetadata

VIDEO_FIELDS: Final = VideoMetadata.__struct_fields__

# PostgreSQL's jsonb, in which Encord keeps client metadata, takes every character but this one.
ZERO_CHARACTER: Final = b"\\u0000"


class BadMetadata(Exception):  # noqa: N818 (a finding about an item, not a failure of the program)
    """Metadata that cannot be sent; the message says which and why."""


@dataclass(frozen=True, slots=True)
class Description:
    """What one source says of an item.

    Attributes:
        client_metadata: The user's own data.
        video_metadata: The fields of a video's metadata, unchecked; None if the source has none.
        title: Its title, if the source has one.
    """

    client_metadata: Mapping[str, Any] = field(default_factory=dict)
    video_metadata: Mapping[str, Any] | None = None
    title: str | None = None


def merge(descriptions: Iterable[Description]) -> Description:
    """Join what several sources say; later ones win, name by name in the client metadata."""
    client: dict[str, Any] = {}
    video, title = None, None
    for each in descriptions:
        client |= each.client_metadata
        video = each.video_metadata if each.video_metadata is not None else video
        title = each.title if each.title is not None else title
    return Description(client, video, title)


def encode_client_metadata(metadata: Mapping[str, Any]) -> str | None:
    """Return client metadata as JSON; None for none.

    Raises:
        BadMetadata: It is larger than Encord takes, or holds what JSON or Encord's database does not.
    """
    if not metadata:
        return None
    try:
        data = msgspec.json.encode(metadata)
    except TypeError as error:
        raise BadMetadata(f"client metadata that is not possible in JSON: {error}") from None
    # Such numbers are written as null, so few items have to be looked through.
    if b"null" in data and not is_finite(metadata):
        raise BadMetadata("client metadata holds a number that JSON does not know: NaN or infinity")
    if len(data) > MAX_CLIENT_METADATA_BYTES:
        raise BadMetadata(f"client metadata of {len(data):,} bytes: at most {MAX_CLIENT_METADATA_BYTES:,}")
    # A backslash before it makes it six harmless characters.
    if ZERO_CHARACTER in data.replace(b"\\\\", b""):
        raise BadMetadata("client metadata holds the character U+0000, which Encord cannot store")
    return data.decode()


def encode_video_metadata(metadata: Mapping[str, Any] | None, item_type: str) -> str | None:
    """Check video metadata and return it as JSON; None for none.

    Raises:
        BadMetadata: It is not complete, not plausible, or not a video's.
    """
    if metadata is None:
        return None
    if item_type != "video":
        raise BadMetadata(f"video metadata for an item of type {item_type}")
    if missing := [name for name in VIDEO_FIELDS if metadata.get(name) is None]:
        raise BadMetadata(f"video metadata lacks {', '.join(missing)}")
    # A table has 1280.0 where a column with empty cells holds whole numbers.
    whole = {name: int(v) if isinstance(v, float) and v.is_integer() else v for name, v in metadata.items()}
    try:
        video = msgspec.convert(whole, VideoMetadata)
    except msgspec.ValidationError as error:
        raise BadMetadata(f"video metadata: {error}") from None
    numbers = (video.fps, video.duration, video.width, video.height, video.file_size)
    if not all(0 < number < float("inf") for number in numbers):
        raise BadMetadata("video metadata with a number that is not above 0")
    if not video.mime_type.startswith("video/"):
        raise BadMetadata(f"video metadata with the type {video.mime_type!r}, which is no video's")
    return msgspec.json.encode(video).decode()
