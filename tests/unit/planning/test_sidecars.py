"""Sidecars: both forms, everything that is none of them, and bounded reading."""

from __future__ import annotations

import contextlib
import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_sync.errors import StorageError
from cloud_sync.objects.errors import ObjectStoreError
from cloud_sync.planning.metadata import BadMetadata, Description
from cloud_sync.planning.sidecars import MAX_SIDECAR_BYTES, WantedSidecar, parse_sidecar, read_sidecars
from tests.unit.failures.fakes import FakeStore


@pytest.mark.parametrize(
    ("content", "description"),
    [
        ({}, Description()),
        ({"camera": 1, "title": "x"}, Description({"camera": 1, "title": "x"})),
        ({"clientMetadata": {"a": 1}}, Description({"a": 1})),
        ({"clientMetadata": None, "title": "x"}, Description(title="x")),
        ({"videoMetadata": {"fps": 1}, "title": "x"}, Description({}, {"fps": 1}, "x")),
    ],
)
def test_the_two_forms(content, description):
    assert parse_sidecar(json.dumps(content).encode()) == description
    assert parse_sidecar(b"\xef\xbb\xbf" + json.dumps(content).encode()) == description


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "is not JSON: Input data was truncated"),
        (b"{", "is not JSON"),
        (b'{"a": 1,}', "is not JSON"),
        (b'{"a": NaN}', "is not JSON"),
        (b"\xff\xfe{\0}\0", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"[]", "is not a JSON object"),
        (b'"text"', "is not a JSON object"),
        (b'{"clientMetadata": []}', "has a clientMetadata that is no JSON object"),
        (b'{"videoMetadata": 1}', "has a videoMetadata that is no JSON object"),
        (b'{"clientMetadata": {}, "title": 1}', "has a title that is no text"),
        (b'{"clientMetadata": {}, "title": " "}', "has a title that is no text"),
        (b'{"clientMetadata": {}, "tilte": "x"}', "has the unknown name 'tilte'"),
    ],
)
def test_anything_else_is_bad_metadata(data, problem):
    with pytest.raises(BadMetadata) as caught:
        parse_sidecar(data)
    assert problem in str(caught.value)


@given(st.binary())
def test_any_bytes_are_a_description_or_bad_metadata(data):
    with contextlib.suppress(BadMetadata):
        assert isinstance(parse_sidecar(data), Description)


def read(store: FakeStore, *found: WantedSidecar) -> list[Description | str | None]:
    with ThreadPoolExecutor(8) as pool:
        said = list(read_sidecars(store, pool, found))
    return [str(one) if isinstance(one, BadMetadata) else one for one in said]


def test_each_answer_belongs_to_its_sidecar():
    store = FakeStore(
        {f"{n}": json.dumps({"n": n}).encode() for n in range(50)} | {"bad": b"x", "gone": "missing"}
    )
    found = [WantedSidecar(key, 10) for key in store.objects]
    answers = read(store, *found)
    assert answers[:50] == [Description({"n": n}) for n in range(50)]
    assert answers[50].startswith("sidecar bad is not JSON")
    assert answers[51] == "sidecar gone cannot be read: refused"


@pytest.mark.parametrize("refusal", ["connection", "no_bucket"])
@pytest.mark.parametrize("size_bytes", [10, None])
def test_a_refusal_of_whoever_asks_says_nothing_of_the_sidecar(refusal, size_bytes):
    store = FakeStore({"a": b"{}", "b": refusal})
    with pytest.raises(ObjectStoreError):
        read(store, WantedSidecar("a", 2), WantedSidecar("b", size_bytes))


def test_a_sidecar_that_is_too_large_is_not_read():
    store = FakeStore({"a": b"{}"})
    [answer] = read(store, WantedSidecar("a", MAX_SIDECAR_BYTES + 1))
    assert answer == "sidecar a is larger than 11,000,000 bytes"
    assert store.calls == []


def test_one_that_was_not_listed_may_not_be_there():
    store = FakeStore({"a": b'{"x": 1}', "locked": "forbidden", "large": b"x" * (MAX_SIDECAR_BYTES + 1)})
    assert read(store, *(WantedSidecar(key, None) for key in ("a", "none", "locked", "large"))) == [
        Description({"x": 1}),
        None,
        "sidecar locked cannot be read: refused",
        "sidecar large is larger than 11,000,000 bytes",
    ]


def test_no_more_bytes_are_read_at_once_than_bounded(monkeypatch):
    monkeypatch.setattr("cloud_sync.planning.sidecars.BYTES_AT_ONCE", 100)
    store = FakeStore({f"{n}": b"{}" for n in range(12)}, delay_s=0.01)
    assert len(read(store, *(WantedSidecar(key, 40) for key in store.objects))) == 12
    assert store.most_at_once <= 2


def test_a_store_that_fails_for_a_passing_reason_ends_the_stage():
    class Down(FakeStore):
        def read_range(self, key, start, length):
            raise ObjectStoreError("does not answer.", reason="transient", transient=True)

    with pytest.raises(StorageError, match="does not answer"):
        read(Down({}), WantedSidecar("a", 1))
