"""Read the pages of S3's ListObjectsV2: every key as the store has it, at a thirtieth of botocore's cost.

botocore signs, sends, follows redirects and tries again; only the reading of the answer is ours. Its own
takes 100 ms for a page of 1,000 keys, because it makes Python objects of every element. `xml_pages` says
how it is done here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from cloud_sync.objects.model import Page
from cloud_sync.objects.rows import LISTING_SCHEMA, no_rows
from cloud_sync.objects.xml_pages import XmlPage, iso_times, unescaped, url_decoded, valid_utf8

if TYPE_CHECKING:
    from collections.abc import Mapping

PAGE = "CloudSyncPage"
"""Under this name the bytes of a page stand in botocore's answer."""
ROOT, END = b"<ListBucketResult", b"</ListBucketResult>"
ROOT_WITHIN = 300
EMPTY_ANSWER = ROOT + b"/>"


def keep_pages(client: Any) -> None:
    """Make a boto3 client hand out the pages of its listings as bytes, unread, under the name `PAGE`.

    The name with the wildcard comes before botocore's own handlers, one of which reads every answer only to
    see that it is not an error; the check in `_take_page` tells as much.
    """
    client.meta.events.register("before-parse.*.ListObjectsV2", _take_page, unique_id=PAGE)


def stay_in_region(client: Any) -> None:
    """Make a boto3 client fail in a wrong region, as reading of objects does, instead of going on in another.

    Else a wrong setting passes every check and every listing, and shows with the first failed object.
    """
    client.meta.events.register("before-call.s3", _call_it_redirected, unique_id="stay in region")


def _call_it_redirected(context: dict[str, Any], **_: Any) -> None:
    # botocore goes elsewhere once a call and no more.
    if redirect := context.get("s3_redirect"):
        redirect["redirected"] = True


def _take_page(response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: Any) -> None:
    body = response_dict["body"]
    if ROOT in body[:ROOT_WITHIN] and (body.rstrip().endswith((END, EMPTY_ANSWER))):
        customized_response_dict[PAGE] = body
        response_dict["body"] = EMPTY_ANSWER


def read_page(answer: Mapping[str, Any]) -> Page:
    """Read the page in an answer of a client that keeps pages.

    Raises:
        ValueError: It is not a page of a listing, or not one that can be read without doubt.
    """
    if PAGE not in answer:
        raise ValueError("the answer is not a listing")
    try:
        return _Reader(answer[PAGE]).page()
    except IndexError:
        raise ValueError("an element of the page has no end") from None


class _Reader:
    """Reads one page."""

    def __init__(self, body: bytes) -> None:
        self._xml = XmlPage(body, "Contents")
        self._is_encoded = self._xml.text("EncodingType") == "url"

    def page(self) -> Page:
        """Return what the page holds."""
        more = self._xml.text("IsTruncated") == "true"
        token = self._xml.text("NextContinuationToken") if more else None
        if more and not token:
            raise ValueError("the page is not the last, and does not say how to go on")
        return Page(self._rows(), self._prefixes(), token)

    def _rows(self) -> pa.RecordBatch:
        xml = self._xml
        count = len(xml.entries)
        if not count:
            return no_rows()
        keys, sizes, times = (xml.elements(name) for name in ("Key", "Size", "LastModified"))
        if not len(keys) == len(sizes) == len(times) == count:
            raise ValueError("an object has no key, size or time")
        columns = [
            self._decoded(xml.column(keys, "Key")),
            xml.column(sizes, "Size").cast(pa.int64()),
            iso_times(xml.column(times, "LastModified")),
            xml.etags(xml.elements("ETag"), "ETag"),
        ]
        return pa.RecordBatch.from_arrays(columns, schema=LISTING_SCHEMA)

    def _prefixes(self) -> tuple[str, ...]:
        folded = self._xml.elements("CommonPrefixes")
        if not len(folded):
            return ()
        # The page's own prefix is an element of the same name, but not behind a <CommonPrefixes>.
        prefixes = self._xml.elements("Prefix")
        inside = prefixes[np.isin(prefixes - 1, folded)]
        if len(inside) != len(folded):
            raise ValueError("a common prefix is empty")
        return tuple(self._decoded(self._xml.column(inside, "Prefix")).to_pylist())

    def _decoded(self, texts: pa.StringArray) -> pa.StringArray:
        """Undo what the store did to keys, so that XML can carry them."""
        return valid_utf8(url_decoded(texts) if self._is_encoded else unescaped(texts))
