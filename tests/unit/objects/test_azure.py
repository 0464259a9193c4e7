"""A container that is asked over a wire: what is asked for, what is left out, and what fails."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud_sync.objects.attempts import ATTEMPTS, Attempts
from cloud_sync.objects.azure import AzureObjectStore, open_azure
from cloud_sync.objects.azure_signing import AzureSign
from cloud_sync.objects.errors import ObjectStoreError
from cloud_sync.objects.model import StoredObject
from cloud_sync.objects.wire import Answer

from .azure_xml import blob_xml, folder_xml, page_xml
from .fake_store import as_utf16

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

AT = datetime(2026, 11, 20, 8, tzinfo=UTC)
HEADERS = {"Last-Modified": "Fri, 20 Nov 2026 08:00:00 GMT", "ETag": '"0x8D"', "Content-Length": "10"}


class Container:
    """A wire to a container in memory.

    Args:
        keys: What is in it.
        page_size: Entries a page, at most.
        order: By what it orders keys.
        headers: Of every object.
    """

    def __init__(
        self,
        keys: Sequence[str] = (),
        page_size: int = 2,
        order: Callable[[str], Any] = str,
        headers: Mapping[str, str] = HEADERS,
    ) -> None:
        self.keys = sorted(keys, key=order)
        self.page_size = page_size
        self.headers = headers
        self.asked: list[dict[str, str]] = []
        self.reads: list[tuple[Any, ...]] = []
        self.failures: list[Exception] = []
        self.body: bytes | None = None

    def whole(self, url: str, headers: Mapping[str, str], **_: Any) -> bytes:
        query = dict(parse_qsl(urlsplit(url).query, keep_blank_values=True))
        self.asked.append(query)
        if self.failures:
            raise self.failures.pop()
        if self.body is not None:
            return self.body
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        first = int(query.get("marker", "at-0").removeprefix("at-"))
        matching = [key for key in self.keys if key.startswith(prefix)]
        entries = list(dict.fromkeys(self.folded(key, prefix, delimiter) for key in matching))
        most = min(self.page_size, int(query["maxresults"]))
        shown = entries[first : first + most]
        written = [
            folder_xml(key) if is_folder else blob_xml(StoredObject(key, 5, AT, "0x8D"))
            for key, is_folder in shown
        ]
        return page_xml(written, marker=f"at-{first + most}" if first + most < len(entries) else "")

    @staticmethod
    def folded(key: str, prefix: str, delimiter: str) -> tuple[str, bool]:
        name, found, _ = key[len(prefix) :].partition(delimiter) if delimiter else (key, "", "")
        return (prefix + name + delimiter, True) if found else (key, False)

    def head(self, key: str, **_: Any) -> Answer:
        self.reads.append(("head", key))
        return Answer(int(self.headers["Content-Length"]), self.headers, b"")

    def start(self, key: str, first: int, length: int, **_: Any) -> Answer:
        self.reads.append(("start", key, first, length))
        return Answer(10, self.headers, b"0123456789"[first : first + length])


def store_of(container: Container) -> AzureObjectStore:
    sign = AzureSign(
        "https://account.blob.core.windows.net/media", lambda method, url, headers: (url, headers)
    )
    return AzureObjectStore("media", sign, container, Attempts(sleep=lambda _: None))  # type: ignore[arg-type]


def listed(store: AzureObjectStore, **asked: Any) -> tuple[list[str], list[str]]:
    keys: list[str] = []
    prefixes: list[str] = []
    page = store.page(**asked)
    while True:
        keys += page.rows["key"].to_pylist()
        prefixes += page.prefixes
        if page.next_token is None:
            return keys, prefixes
        assert page.rows.num_rows or page.prefixes or "after" not in asked
        page = store.page(asked["prefix"], token=page.next_token, delimiter=asked.get("delimiter", ""))


NAMES = st.text(st.sampled_from("ab/-0é\uffee\U0001f600\n:"), min_size=1, max_size=4)


@settings(max_examples=200, deadline=None)
@given(
    keys=st.sets(NAMES, max_size=12),
    after=NAMES,
    prefix=st.sampled_from(["", "a", "a/"]),
    page_size=st.integers(1, 4),
    order=st.sampled_from([str, as_utf16]),
)
def test_what_is_behind_a_key_is_listed_whatever_the_order(
    *, keys: set[str], after: str, prefix: str, page_size: int, order: Callable[[str], Any]
):
    store = store_of(Container(list(keys), page_size, order))

    found, _ = listed(store, prefix=prefix, after=after)

    assert found == [key for key in sorted(keys, key=order) if key.startswith(prefix) and key > after]


def test_folders_behind_a_key_and_the_one_that_it_stands_in():
    store = store_of(Container(["a/x", "b/x", "b/y", "b0", "c/x", "d"]))

    assert listed(store, prefix="", after="b/x", delimiter="/") == (["b0", "d"], ["b/", "c/"])


def test_a_page_is_asked_for_as_it_should_be():
    container = Container(["a", "b", "c"])
    store = store_of(container)

    first = store.page("", delimiter="/", limit=1)
    store.page("", token=first.next_token, delimiter="/")

    always = {"restype": "container", "comp": "list", "include": "metadata", "delimiter": "/"}
    assert container.asked == [
        always | {"maxresults": "1"},
        always | {"maxresults": "5000", "marker": "at-1"},
    ]


def test_a_listing_that_would_never_end_is_refused():
    container = Container()
    container.body = page_xml([], marker="again")
    store = store_of(container)

    token = store.page("").next_token
    with pytest.raises(ObjectStoreError, match="never end"):
        store.page("", token=token)
    with pytest.raises(ObjectStoreError, match="never end"):
        store.page("", after="a")


def test_an_answer_that_is_no_listing_is_a_failure_by_name():
    container = Container()
    container.body = b"<html>Log in</html>"

    with pytest.raises(ObjectStoreError, match="account URL") as caught:
        store_of(container).page("raw/")
    assert (caught.value.reason, caught.value.transient) == ("other", False)
    assert str(caught.value).startswith("container media, prefix 'raw/': ")


@pytest.mark.parametrize("length", [0, 120, -30])
def test_half_a_page_is_asked_for_again(length: int):
    container = Container()
    container.body = page_xml([blob_xml(StoredObject("a", 5, AT, "0x8D"))])[:length]

    with pytest.raises(ObjectStoreError, match="listing ends in the middle") as caught:
        store_of(container).page("raw/")
    assert (caught.value.reason, caught.value.transient) == ("unreachable", True)
    assert str(caught.value).startswith("container media, prefix 'raw/': ")
    assert len(container.asked) == ATTEMPTS


def test_of_a_listing_only_the_container_can_be_missing():
    container = Container()
    container.failures = [ObjectStoreError("gone.", reason="missing")]

    with pytest.raises(ObjectStoreError, match="container does not exist") as caught:
        store_of(container).check_access()
    assert caught.value.reason == "no_bucket"


def test_a_busy_store_is_asked_again_but_not_for_ever():
    container = Container(["a"])
    busy = ObjectStoreError("busy.", reason="unreachable", transient=True)
    container.failures = [busy] * (ATTEMPTS - 1)

    assert store_of(container).page("").rows.num_rows == 1

    container.asked.clear()
    container.failures = [busy] * 2 * ATTEMPTS
    with pytest.raises(ObjectStoreError, match="busy"):
        store_of(container).page("")
    assert len(container.asked) == ATTEMPTS


def test_an_object_is_read_in_parts():
    container = Container()
    store = store_of(container)

    assert store.read_range("a", 2, 3) == b"234"
    assert store.read_start("a", 4) == (10, b"0123")
    assert store.read_range("a", 2, 0) == store.read_tail("a", 0) == b""
    assert container.reads == [("start", "a", 2, 3), ("start", "a", 0, 4)]


@pytest.mark.parametrize(("length", "first"), [(3, 7), (10, 0), (100, 0)])
def test_the_end_of_an_object_takes_two_requests(length: int, first: int):
    container = Container()

    assert store_of(container).read_tail("a", length) == b"0123456789"[first:]
    assert container.reads == [("head", "a"), ("start", "a", first, min(length, 10))]


def test_the_end_of_an_empty_object_takes_one_request():
    container = Container(headers=HEADERS | {"Content-Length": "0"})

    assert store_of(container).read_tail("a", 5) == b""
    assert container.reads == [("head", "a")]


def test_what_the_store_says_of_an_object():
    assert store_of(Container()).head("a b") == StoredObject("a b", 10, AT, "0x8D")


@pytest.mark.parametrize("mark", [{"x-ms-resource-type": "directory"}, {"x-ms-meta-hdi_isfolder": "true"}])
def test_a_folder_is_no_object(mark: dict[str, str]):
    with pytest.raises(ObjectStoreError) as caught:
        store_of(Container(headers=HEADERS | mark)).head("dir")
    assert caught.value.reason == "missing"


def test_an_object_without_a_time_is_a_failure_by_name():
    with pytest.raises(ObjectStoreError, match="has no time"):
        store_of(Container(headers={"Content-Length": "10"})).head("a")


def test_opening_makes_no_request_and_shows_no_secret():
    store = open_azure("media", account_url="https://account.blob.core.windows.net/?sv=1&sig=canary")

    assert (store.bucket, store.where) == ("media", "container media")
    assert "canary" not in repr(store)
    assert "canary" not in repr(vars(store))
    url, _ = store._sign("GET", "a", {})
    assert url == "https://account.blob.core.windows.net/media/a?sv=1&sig=canary"
