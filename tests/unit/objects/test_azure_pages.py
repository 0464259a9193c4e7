"""Pages of Azure's listing: every key exactly, folders left out, whatever users called their metadata."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud_sync.objects.azure_pages import read_page
from cloud_sync.objects.model import StoredObject

from .azure_xml import blob_xml, folder_xml, page_xml

AT = datetime(2026, 11, 20, 8, tzinfo=UTC)
ANY_KEY = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12),
    st.sampled_from(["a\nb", "a\r", "\x01", "\uffff", "%", "a%20b", "+ +", "&amp;", "<Name>", "é\x01%é"]),
)
ETAG = st.sampled_from(["", "0x8DE28047A1B2C3D", "a&b"])
METADATA = st.sampled_from(
    [
        "",
        "<Metadata />",
        "<Metadata/>",
        '<Metadata Encrypted="true" />',
        {"label": "cat"},
        {"Blob": "x", "Name": "y", "Etag": "z", "Metadata": "<", "BlobPrefix": "1", "NextMarker": "m"},
        {"hdi_isfolder": "true"},
    ]
)
TIMES = st.integers(0, 4_000_000_000).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))


def stored(key: str, size_bytes: int = 5, at: datetime = AT, etag: str = "0x8D") -> StoredObject:
    return StoredObject(key, size_bytes, at, etag)


def read(body: bytes) -> list[StoredObject]:
    return [StoredObject(**row) for row in read_page(body).rows.to_pylist()]


@settings(max_examples=250, deadline=None)
@given(
    blobs=st.lists(st.tuples(ANY_KEY, TIMES, ETAG, METADATA, st.sampled_from(["", "file"])), max_size=8),
    folders=st.lists(ANY_KEY, max_size=3),
    has_properties=st.booleans(),
    gap=st.sampled_from(["", "\n  "]),
    is_turned=st.booleans(),
)
def test_every_blob_is_read_as_it_was_written(
    *, blobs: list[Any], folders: list[str], has_properties: bool, gap: str, is_turned: bool
):
    objects = [stored(key, index + 1, at, etag) for index, (key, at, etag, _, _) in enumerate(blobs)]
    written = [
        blob_xml(each, metadata=metadata, kind=kind, gap=gap)
        for each, (_, _, _, metadata, kind) in zip(objects, blobs, strict=True)
    ]
    folded = [folder_xml(folder, has_properties=has_properties) for folder in folders]

    page = read_page(page_xml(folded + written if is_turned else written + folded, gap=gap))

    assert [StoredObject(**row) for row in page.rows.to_pylist()] == objects
    assert page.prefixes == tuple(folders)
    assert page.next_token is None


def test_pages_of_alike_blobs_are_read_at_once_and_others_too():
    objects = [stored(f"raw/{number}", number, AT + timedelta(seconds=number)) for number in range(50)]
    alike = [blob_xml(each, md5="sQqNsWTgdUEFt6mb5y4/5Q==") for each in objects]

    assert read(page_xml(alike)) == objects
    assert read(page_xml([*alike[:49], blob_xml(objects[49])])) == objects


@pytest.mark.parametrize("marker", ["2!108!MDAwMDI4", "a&b<c", "raw/é"])
def test_the_marker_is_what_continues_the_listing(marker: str):
    assert read_page(page_xml([blob_xml(stored("a"))], marker=marker)).next_token == marker


def test_what_was_asked_for_is_not_taken_for_an_answer():
    asked = ["<Prefix>raw/</Prefix>", "<Marker>before</Marker>", "<Delimiter>/</Delimiter>"]

    page = read_page(page_xml([folder_xml("raw/a/")], asked=asked))

    assert (page.rows.num_rows, page.prefixes, page.next_token) == (0, ("raw/a/",), None)


def test_an_empty_page_may_have_others_behind_it():
    page = read_page(page_xml([], marker="m"))

    assert (page.rows.num_rows, page.prefixes, page.next_token) == (0, (), "m")


def test_what_stands_for_a_folder_is_no_object():
    blobs = [
        blob_xml(stored("dir", 0), kind="directory"),
        blob_xml(stored("dir/a"), kind="file"),
        blob_xml(stored("hadoop", 0), metadata={"owner": "x", "hdi_isfolder": "true"}),
        blob_xml(stored("hadoop/b"), metadata={"hdi_isfolder": "false"}),
        blob_xml(stored("content"), metadata={"hdi_isfolder": "true"}),
        blob_xml(stored("empty", 0)),
    ]

    assert [each.key for each in read(page_xml(blobs))] == ["dir/a", "hadoop/b", "content", "empty"]


WHOLE = page_xml([blob_xml(stored("a")), blob_xml(stored("b"))])


@pytest.mark.parametrize(
    "change",
    [
        (b"<Content-Length>5</Content-Length>", b""),
        (b"<Content-Length>5<", b"<Content-Length>many<"),
        (b"<Name>a</Name>", b""),
        (b"<Name>a</Name>", b"<Name>\xff</Name>"),
        (b"<Name>a</Name>", b'<Name Encoded="true">%FF</Name>'),
        (b"Fri, 20 Nov 2026", b"Fri, 20 Now 2026"),
        (b"Fri, 20 Nov 2026", b"Fri, 20 Nov 20x6"),
        (b"Fri, 20 Nov 2026", b"Fri, 32 Nov 2026"),
        (b"Fri, 20 Nov 2026", b"Fri, 00 Nov 2026"),
        (b"Fri, 20 Nov 2026 08:00:00 GMT", b"2026-11-20T08:00:00Z"),
        (b"08:00:00", b"24:00:00"),
        (b"08:00:00 GMT", b"08:00:00 EST"),
        (b"<NextMarker />", b""),
        (b"<NextMarker />", b"<NextMarker>x"),
        (b"</Blobs><NextMarker /></EnumerationResults>", b""),
        (b"</EnumerationResults>", b""),
        (b"EnumerationResults", b"ListBucketResult"),
    ],
)
def test_a_page_that_cannot_be_read_without_doubt_is_refused(change: tuple[bytes, bytes]):
    assert change[0] in WHOLE

    with pytest.raises(ValueError, match=r"."):
        read_page(WHOLE.replace(*change))


@pytest.mark.parametrize("answer", [b"", b"<", b"<html>Log in</html>", b"<EnumerationResults/>"])
def test_an_answer_that_is_no_listing_is_refused(answer: bytes):
    with pytest.raises(ValueError, match="not a listing"):
        read_page(answer)


@settings(max_examples=300, deadline=None)
@given(cut=st.integers(0, 1500), junk=st.binary(max_size=20))
def test_any_bytes_end_in_a_page_or_in_a_value_error(cut: int, junk: bytes):
    blobs = [
        blob_xml(stored("a"), metadata={"x": "y"}),
        blob_xml(stored("<\x01", etag=""), kind="directory"),
        folder_xml("p/", has_properties=True),
    ]
    body = page_xml(blobs, marker="m")

    for broken in (body[:cut] + junk + body[cut:], body[:cut] + junk, body[:cut] + body[cut + len(junk) :]):
        with contextlib.suppress(ValueError):
            read_page(broken)
