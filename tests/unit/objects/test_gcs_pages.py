"""Pages of Google Cloud Storage: every key exactly, a tag that changes with the content; else an error."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud_sync.objects.gcs_pages import TornAnswer, read_object, read_page
from cloud_sync.objects.model import StoredObject
from cloud_sync.objects.rows import LISTING_SCHEMA

from .gcs_json import KIND, item, page_json

AT = datetime(2026, 11, 20, 8, tzinfo=UTC)
KEY = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
OBJECT = StoredObject("raw/é.jpg", 5, AT, "XrY7u+Ae7tCTyyK7j1rNww==")


def read(body: bytes) -> list[StoredObject]:
    return [StoredObject(**row) for row in read_page(body).rows.to_pylist()]


def page_of(*items: Any, **more: Any) -> bytes:
    return json.dumps({"kind": KIND, "items": items, **more}).encode()


@settings(max_examples=200, deadline=None)
@given(keys=st.lists(KEY, max_size=8), is_ascii=st.booleans(), indent=st.sampled_from([None, 2]))
def test_every_object_is_read_as_it_was_written(*, keys: list[str], is_ascii: bool, indent: int | None):
    objects = [StoredObject(key, len(key), AT, f"etag{number}") for number, key in enumerate(keys)]

    assert read(page_json(objects, is_ascii=is_ascii, indent=indent)) == objects


@settings(max_examples=50, deadline=None)
@given(prefixes=st.lists(KEY, max_size=5), token=st.one_of(st.none(), KEY))
def test_common_prefixes_and_the_token(prefixes: list[str], token: str | None):
    page = read_page(page_json([OBJECT], prefixes=prefixes, token=token))

    assert (page.prefixes, page.next_token) == (tuple(prefixes), token)


def test_an_empty_page_is_a_page():
    page = read_page(page_json([]))

    assert page.rows.schema == LISTING_SCHEMA
    assert (page.rows.num_rows, page.prefixes, page.next_token) == (0, (), None)


@pytest.mark.parametrize(
    ("missing", "etag"),
    [
        ([], OBJECT.etag),
        (["md5Hash"], "AAAAAA=="),
        (["md5Hash", "crc32c"], "1700000000000000"),
        (["md5Hash", "crc32c", "generation"], ""),
    ],
)
def test_what_tells_that_the_content_changed(missing: list[str], etag: str):
    said = {name: value for name, value in item(OBJECT).items() if name not in missing}

    assert read(page_of(said))[0].etag == etag
    assert read_object(json.dumps(said).encode()).etag == etag


def test_a_change_of_metadata_changes_nothing():
    said = item(OBJECT) | {"etag": "CAI=", "metageneration": "2", "updated": "2026-11-24T08:00:00.000Z"}

    assert read(page_of(said)) == [OBJECT]
    assert read_object(json.dumps(said).encode()) == OBJECT


def test_times_are_kept_to_the_microsecond_in_utc():
    said = item(OBJECT) | {"timeCreated": "2026-11-20T09:00:00.123456+01:00"}

    assert read(page_of(said))[0].last_modified == AT.replace(microsecond=123456)
    assert read_object(json.dumps(said).encode()).last_modified == AT.replace(microsecond=123456)


@pytest.mark.parametrize("missing", ["name", "size", "timeCreated"])
def test_an_object_without_what_a_listing_needs_is_refused(missing: str):
    said = {name: value for name, value in item(OBJECT).items() if name != missing}

    with pytest.raises(ValueError, match=missing):
        read_page(page_of(said))
    with pytest.raises(ValueError, match=missing):
        read_object(json.dumps(said).encode())


@pytest.mark.parametrize("wrong", [{"size": "many"}, {"size": ""}, {"timeCreated": "yesterday"}])
def test_a_size_or_time_that_is_none_is_refused(wrong: dict[str, str]):
    said = item(OBJECT) | wrong

    with pytest.raises(ValueError, match="no proper size or time"):
        read_page(page_of(said))
    with pytest.raises(ValueError, match="no proper size or time"):
        read_object(json.dumps(said).encode())


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b"<html>Sign in to the hotel's network</html>",
        b'{"kind": "storage#object", "name": "a"}',
        b'{"error": {"code": 200}}',
        page_json([OBJECT]) + b"x",
        page_json([OBJECT]).replace("é".encode(), b"\xe9"),
        page_json([OBJECT], is_ascii=True).replace(b"\\u00e9", b"\\ud800"),
    ],
)
def test_what_is_no_page_is_refused(body: bytes):
    with pytest.raises(ValueError):  # noqa: PT011 (each has a text of its own)
        read_page(body)


def test_a_page_that_ends_anywhere_in_the_middle_is_refused():
    body = page_json([OBJECT, OBJECT], prefixes=["raw/"], token="t")

    for length in range(len(body)):
        with pytest.raises(TornAnswer):
            read_page(body[:length])
