"""The benchmarks of listing: the pages that the responder gives hold each key once, as the stores' own do."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from benchmarks.listing_responder import answer, camera_keys
from benchmarks.measure import Measurement, table
from cloud_sync.objects import azure_pages, gcs_pages, s3_pages
from cloud_sync.objects.model import Page

KEYS = camera_keys(400)
DAYS = sorted({f"{key.rpartition('/')[0]}/" for key in KEYS if key.startswith("raw/camera-03/")})


@dataclass(frozen=True)
class Api:
    """How to ask for pages of one API and to read them."""

    name: str
    read: Callable[[bytes], Page]
    token: str
    limit: str
    always: Mapping[str, str]

    def pages(self, prefix: str, limit: int, **query: str) -> list[Page]:
        """Return all pages of a prefix."""
        source = importlib.import_module(f"benchmarks.{self.name}_pages").pages_of(KEYS)
        asked = {**self.always, "prefix": prefix, self.limit: str(limit), **query}
        found = [self.read(b"".join(source.page(asked)))]
        while token := found[-1].next_token:
            found.append(self.read(b"".join(source.page(asked | {self.token: token}))))
        return found


APIS = [
    Api("s3", lambda body: s3_pages.read_page({s3_pages.PAGE: body}), "continuation-token", "max-keys", {}),
    Api("gcs", gcs_pages.read_page, "pageToken", "maxResults", {"fields": "some"}),
    Api("gcs", gcs_pages.read_page, "pageToken", "maxResults", {}),
    Api("azure", azure_pages.read_page, "marker", "maxresults", {}),
]


def keys_of(pages: list[Page]) -> list[str]:
    return [key for page in pages for key in page.rows["key"].to_pylist()]


@pytest.mark.parametrize("api", APIS, ids=lambda api: f"{api.name} {dict(api.always)}")
@pytest.mark.parametrize("prefix", ["", "raw/camera-03/", "raw/camera-0", "nothing/"])
def test_all_pages_together_hold_each_key_once_in_order(api: Api, prefix: str) -> None:
    pages = api.pages(prefix, limit=7)
    assert keys_of(pages) == [key for key in KEYS if key.startswith(prefix)]
    assert all(page.rows.num_rows <= 7 for page in pages)


@pytest.mark.parametrize("api", APIS, ids=lambda api: f"{api.name} {dict(api.always)}")
def test_a_level_has_its_folders_once_and_no_keys_below_them(api: Api) -> None:
    pages = api.pages("raw/camera-03/", limit=7, delimiter="/")
    assert [name for page in pages for name in page.prefixes] == DAYS
    assert keys_of(pages) == []


@pytest.mark.parametrize("api", APIS, ids=lambda api: f"{api.name} {dict(api.always)}")
def test_no_object_is_of_the_future(api: Api) -> None:
    """s5cmd leaves such objects out."""
    times = [time for page in api.pages("", 1000) for time in page.rows["last_modified"].to_pylist()]
    assert max(times) < datetime(2026, 1, 1, tzinfo=UTC)


def test_asked_for_a_head_the_responder_knows_the_bucket_and_no_object() -> None:
    pages: Any = None
    assert answer(pages, b"HEAD /bench HTTP/1.1")[0].startswith(b"HTTP/1.1 200")
    assert answer(pages, b"HEAD /bench/raw/a.jpg HTTP/1.1")[0].startswith(b"HTTP/1.1 404")


def test_who_did_a_tenth_of_the_work_is_compared_by_what_it_did() -> None:
    tenth = Measurement("a tenth", 10.0, 10.0, 1.0, 100)
    ours = Measurement("ours", 4.0, 4.0, 1.0, 1000)
    assert table([tenth, ours], base="a tenth", by_result=True).splitlines()[-1].endswith("| 25.00 |")
    assert table([tenth, ours], base="a tenth").splitlines()[-1].endswith("| 2.50 |")
