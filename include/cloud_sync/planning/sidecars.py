"""Sidecars: `<key>.metadata.json` beside an object, or beside the folder of a group."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from cloud_sync.encord_limits import MAX_CLIENT_METADATA_BYTES
from cloud_sync.errors import StorageError
from cloud_sync.planning.metadata import BadMetadata, Description
from cloud_sync.planning.model import ObjectReader, is_of_one_object

MAX_SIDECAR_BYTES: Final = MAX_CLIENT_METADATA_BYTES + 1_000_000
"""White space and video metadata come on top of the client metadata; a larger file is not read."""

BYTES_AT_ONCE: Final = 64_000_000
WHOLE_FORM: Final = frozenset(("clientMetadata", "videoMetadata", "title"))


@dataclass(frozen=True, slots=True)
class WantedSidecar:
    """A sidecar to read.

    Attributes:
        key: Its key.
        size_bytes: Its size; None if it stands where nothing was listed, so that it may not be there.
    """

    key: str
    size_bytes: int | None


def read_sidecars(
    reader: ObjectReader, pool: Executor, wanted: Sequence[WantedSidecar]
) -> Iterator[Description | BadMetadata | None]:
    """Yield what each sidecar says, or why it says nothing, in order; memory is bounded by `BYTES_AT_ONCE`.

    One that was not listed and is not there is None.

    Raises:
        StorageError: The store failed, or refused whoever asks.
    """
    part: list[WantedSidecar] = []
    part_bytes = 0
    for one in wanted:
        most_bytes = MAX_SIDECAR_BYTES if one.size_bytes is None else one.size_bytes
        if part and part_bytes + most_bytes > BYTES_AT_ONCE:
            yield from pool.map(lambda each: _read(reader, each), part)
            part, part_bytes = [], 0
        part.append(one)
        part_bytes += most_bytes
    yield from pool.map(lambda each: _read(reader, each), part)


def _read(reader: ObjectReader, wanted: WantedSidecar) -> Description | BadMetadata | None:
    name = f"sidecar {wanted.key}"
    too_large = BadMetadata(f"{name} is larger than {MAX_SIDECAR_BYTES:,} bytes")
    if wanted.size_bytes is not None and wanted.size_bytes > MAX_SIDECAR_BYTES:
        return too_large
    try:
        most_bytes = MAX_SIDECAR_BYTES + 1 if wanted.size_bytes is None else wanted.size_bytes
        data = reader.read_range(wanted.key, 0, most_bytes)
        return parse_sidecar(data) if len(data) <= MAX_SIDECAR_BYTES else too_large
    except BadMetadata as error:
        return BadMetadata(f"{name} {error}")
    except StorageError as error:
        if not is_of_one_object(error):
            raise
        if wanted.size_bytes is None and getattr(error, "reason", None) == "missing":
            return None
        return BadMetadata(f"{name} cannot be read: {error.message.rstrip('.')}")


def parse_sidecar(data: bytes) -> Description:
    """Read a sidecar: either just the client metadata, or an object with the parts of `WHOLE_FORM`.

    It is of the second form if it has the name clientMetadata or videoMetadata.

    Raises:
        BadMetadata: It is neither; the message completes "the sidecar ...".
    """
    try:
        content = msgspec.json.decode(data.removeprefix(b"\xef\xbb\xbf"))
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadMetadata(f"is not JSON: {str(error) or 'it is nested too deeply'}") from None
    if not isinstance(content, dict):
        raise BadMetadata("is not a JSON object")
    if not content.keys() & {"clientMetadata", "videoMetadata"}:
        return Description(client_metadata=content)
    if unknown := sorted(content.keys() - WHOLE_FORM):
        raise BadMetadata(f"has the unknown name {unknown[0]!r} beside clientMetadata or videoMetadata")
    title = content.get("title")
    if title is not None and (not isinstance(title, str) or not title.strip()):
        raise BadMetadata("has a title that is no text")
    return Description(
        client_metadata=_object(content, "clientMetadata") or {},
        video_metadata=_object(content, "videoMetadata"),
        title=title,
    )


def _object(content: dict[str, Any], name: str) -> dict[str, Any] | None:
    value = content.get(name)
    if value is not None and not isinstance(value, dict):
        raise BadMetadata(f"has a {name} that is no JSON object")
    return value
