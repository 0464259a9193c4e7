"""Read an upload specification: the product document's JSON, or the SDK's typed form of it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue
from pydantic.alias_generators import to_snake

from cloud_sync.dataset_service.entries import NOT_YET_SUPPORTED, READERS
from cloud_sync.dataset_service.refusals import InvalidRequest

if TYPE_CHECKING:
    from cloud_sync.dataset_service.config import Limits
    from cloud_sync.dataset_service.units import UnitSpec

FLAGS = ("skip_duplicate_urls", "upsert_metadata")
HALF_A_CHARACTER = "half a character (a lone surrogate)"
WHITESPACE = re.compile(r"\s")


@dataclass(frozen=True, slots=True)
class Manifest:
    """What one upload job is to do, in the order of the manifest."""

    units: tuple[UnitSpec, ...]
    skip_duplicate_urls: bool
    upsert_metadata: bool


def read_manifest(content: JsonValue, limits: Limits, *, typed: bool) -> Manifest:
    """Read a manifest.

    Args:
        content: The decoded JSON.
        limits: What is too much.
        typed: True for the SDK's `DataUploadItems`, whose keys are in camel case and whose empty
            lists are always sent.

    Raises:
        InvalidRequest: It is not as the product document says; names the place and the reason.
    """
    if not isinstance(content, dict):
        raise InvalidRequest("The upload specification is not a JSON object.")
    keys = {to_snake(key): value for key, value in content.items()} if typed else content
    flags = {name: _flag(keys.get(name), name) for name in FLAGS}
    units: list[UnitSpec] = []
    for key, entries in keys.items():
        if key not in FLAGS and not (typed and entries == []):
            units += _entries(key, entries, limits, typed=typed)
    if not units:
        raise InvalidRequest("The upload specification holds no items.", remedy=f"Use {_known_keys()}.")
    if len(units) > limits.units_per_job:
        raise InvalidRequest(
            f"The upload specification holds {len(units)} items; the limit is {limits.units_per_job}.",
            remedy="Split it.",
        )
    return Manifest(tuple(units), **flags)


def url_problem(url: str, limits: Limits) -> str | None:
    """Say what is wrong with the form of an object URL, or None.

    This concerns one unit only, so that a job that ignores errors can go on without it.
    """
    if WHITESPACE.search(url):
        return f"Object URLs must not contain any whitespace: {url}"
    if len(url.encode()) > limits.url_bytes:
        return f"The object URL is longer than {limits.url_bytes} bytes: {url[:200]}..."
    return None


def _entries(key: str, entries: JsonValue, limits: Limits, *, typed: bool) -> list[UnitSpec]:
    if key in NOT_YET_SUPPORTED:
        raise InvalidRequest("is not supported by this dataset service yet.", where=key)
    if key not in READERS:
        raise InvalidRequest("is not a known top-level key.", where=key, remedy=f"Use {_known_keys()}.")
    if not isinstance(entries, list):
        raise InvalidRequest("is not a list.", where=key)
    read = READERS[key]
    specs = []
    for position, entry in enumerate(entries):
        place = f"{key}[{position}]"
        spec = read(entry, place, typed=typed)
        _within_limits(spec, place, limits)
        specs.append(spec)
    return specs


def _within_limits(spec: UnitSpec, place: str, limits: Limits) -> None:
    if not _is_text(spec.title, *spec.urls, *(file.title for file in spec.files)):
        raise InvalidRequest(
            f"has {HALF_A_CHARACTER} in a title or an object URL.", where=place, remedy="Correct the text."
        )
    # Only that of the unit: the files of a group are named by their URLs, and nobody could shorten those.
    if len(spec.title) > limits.title_characters:
        raise InvalidRequest(
            f"has a title of more than {limits.title_characters} characters.",
            where=place,
            remedy="Shorten it.",
        )
    if limits.files_per_unit is not None and len(spec.files) > limits.files_per_unit:
        raise InvalidRequest(
            f"has {len(spec.files)} files; the limit is {limits.files_per_unit}.",
            where=place,
            remedy="Split it.",
        )
    # Most items have little metadata: only then is it worth measuring.
    if spec.client_metadata and _size_bytes(spec.client_metadata, place) > limits.client_metadata_bytes:
        raise InvalidRequest(
            f"has client metadata of more than {limits.client_metadata_bytes} bytes.", where=place
        )


def _is_text(*texts: str) -> bool:
    """Tell whether texts can be stored and sent at all, which those with lone surrogates cannot."""
    try:
        "".join(texts).encode()
    except UnicodeEncodeError:
        return False
    return True


def _size_bytes(client_metadata: dict[str, Any], place: str) -> int:
    """Return the size of JSON text without any byte that could be left out.

    Raises:
        InvalidRequest: It holds what no JSON text and no database can: NaN, or half a character.
    """
    try:
        text = json.dumps(client_metadata, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return len(text.encode())
    except UnicodeEncodeError:
        fault, remedy = HALF_A_CHARACTER, "Correct the text."
    except ValueError:
        fault, remedy = "NaN or Infinity", "Write null instead."
    raise InvalidRequest(f"has {fault} in client metadata.", where=place, remedy=remedy)


def _flag(value: JsonValue, name: str) -> bool:
    if value is None:
        return False
    if not isinstance(value, bool):
        raise InvalidRequest("is neither true nor false.", where=name)
    return value


def _known_keys() -> str:
    return ", ".join([*READERS, *FLAGS])
