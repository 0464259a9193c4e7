"""Pages of a listing: every key exactly, whatever XML or percent-encoding did to it; else an error."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud_sync.objects.model import StoredObject
from cloud_sync.objects.s3_pages import PAGE, keep_pages, read_page

from .s3_xml import answer, page_xml

AT = datetime(2026, 11, 20, 8, tzinfo=UTC)
# XML carries no control characters, so unencoded pages have none; both carry everything else.
TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12)
ANY_KEY = st.one_of(
    TEXT, st.sampled_from(["a\nb", "a\r", "\x01", "%", "%4", "%zz", "a%20b", "+ +", "&amp;", "<&>"])
)
ETAG = st.sampled_from(["", "0123456789abcdef", "abc-12", "&quot;", "a&b"])


def objects_of(keys: list[str], etags: list[str]) -> list[StoredObject]:
    return [StoredObject(key, len(key), AT, etag) for key, etag in zip(keys, etags, strict=False)]


def read(body: bytes) -> list[StoredObject]:
    return [StoredObject(**row) for row in read_page(answer(body)).rows.to_pylist()]


@settings(max_examples=200, deadline=None)
@given(
    keys=st.lists(ANY_KEY, max_size=8),
    etags=st.lists(ETAG, min_size=8, max_size=8),
    is_encoded=st.booleans(),
    quote=st.sampled_from(["&quot;", '"', "&#34;"]),
    gap=st.sampled_from(["", "\n  "]),
    continues=st.sampled_from([None, "t"]),
)
def test_every_object_is_read_as_it_was_written(
    *, keys: list[str], etags: list[str], is_encoded: bool, quote: str, gap: str, continues: str | None
):
    keys = [key for key in keys if is_encoded or "\x01" not in key]
    objects = objects_of(keys, etags)

    body = page_xml(objects, is_encoded=is_encoded, quote=quote, gap=gap, continues=continues)

    assert read(body) == objects


@settings(max_examples=50, deadline=None)
@given(prefixes=st.lists(ANY_KEY, max_size=5), token=st.one_of(st.none(), TEXT))
def test_common_prefixes_and_the_token(prefixes: list[str], token: str | None):
    page = read_page(answer(page_xml(objects_of(["a"], [""]), prefixes=prefixes, token=token)))

    assert page.prefixes == tuple(prefixes)
    assert page.next_token == token
    assert page.rows.num_rows == 1


def test_an_empty_page():
    page = read_page(answer(b"<ListBucketResult/>"))

    assert (page.rows.num_rows, page.prefixes, page.next_token) == (0, (), None)


@pytest.mark.parametrize("time", ["2026-11-20T08:00:00Z", "2026-11-20T08:00:00.000000999Z"])
def test_times_in_other_precisions(time: str):
    body = page_xml(objects_of(["a"], ["e"])).replace(b"2026-11-20T08:00:00.000Z", time.encode())

    assert read(body) == objects_of(["a"], ["e"])


@pytest.mark.parametrize(
    "change",
    [
        (b"<Size>1</Size>", b""),
        (b"<Size>1</Size>", b"<Size>many</Size>"),
        (b"<Key>a</Key>", b"<Key>%FF</Key>"),
        (b"<Key>a</Key>", b""),
        (b"2026-11-20T08:00:00.000Z", b"yesterday"),
        (b"<IsTruncated>false<", b"<IsTruncated>true<"),
        (b"</Size></Contents></ListBucketResult>", b""),
    ],
)
def test_a_page_that_cannot_be_read_without_doubt_is_refused(change: tuple[bytes, bytes]):
    body = page_xml(objects_of(["a"], ["e"]))
    assert change[0] in body

    with pytest.raises(ValueError, match=r"."):
        read_page(answer(body.replace(*change)))


@settings(max_examples=300, deadline=None)
@given(cut=st.integers(0, 900), junk=st.binary(max_size=20))
def test_any_bytes_end_in_a_page_or_in_a_value_error(cut: int, junk: bytes):
    body = page_xml(objects_of(["a", "b<", "é"], ["e", "", "f"]), prefixes=["p/"], token="t")

    try:
        read_page(answer(body[:cut] + junk + body[cut:]))
        read_page(answer(body[:cut] + junk))
    except ValueError:
        pass


class Body:
    """What urllib3 gives botocore."""

    def __init__(self, body: bytes) -> None:
        self.body = body

    def stream(self, *_: Any, **__: Any) -> list[bytes]:
        return [self.body]


def client_that_receives(body: bytes) -> Any:
    client = boto3.client("s3", region_name="eu-west-2", aws_access_key_id="a", aws_secret_access_key="b")
    keep_pages(client)
    client.meta.events.register(
        "before-send.s3.ListObjectsV2",
        lambda request, **_: AWSResponse(request.url, 200, {}, Body(body)),
    )
    return client


def test_a_client_hands_out_the_page_unread():
    # A control character is no XML: had botocore read the page, there would be an error.
    body = page_xml(objects_of(["a"], ["e"])).replace(b"<Name>media", b"<Name>\x01")

    received = client_that_receives(body).list_objects_v2(Bucket="media")

    assert received[PAGE] == body
    assert read_page(received).rows.num_rows == 1


def test_an_answer_that_is_no_listing_is_refused():
    with pytest.raises(ValueError, match="not a listing"):
        read_page(client_that_receives(b"<html><body>Log in</body></html>").list_objects_v2(Bucket="media"))
