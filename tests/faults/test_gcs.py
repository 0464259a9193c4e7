"""A bucket of Google Cloud Storage behind a network that fails: nothing is lost, nobody presses the store."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from cloud_sync.errors import CloudSyncError
from cloud_sync.objects import attempts as attempts_module
from cloud_sync.objects import gcs, range_reader
from cloud_sync.objects.gcs import open_gcs
from cloud_sync.objects.listing import list_objects
from cloud_sync.run_folder import RunFolder
from tests.faults import proxy as proxy_module
from tests.faults.proxy import Fault, Refusal, at, running_proxy
from tests.servers import running_gcs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cloud_sync.objects.gcs import GcsObjectStore
    from tests.servers import GcsServer

SHARE = 0.3
MOST_ATTEMPTS = 5
MOST_AMPLIFICATION = 2
KEYS = [f"raw/camera-{number % 5}/{number:03d}.jpg" for number in range(200)]
KEYS_PER_PAGE = 10
LARGE_BYTES = 5_000
CALLS = {
    # So short an answer states its length, without which the proxy cannot halve it.
    "page": lambda store: store.page("raw/", limit=1),
    "head": lambda store: store.head(KEYS[0]),
    "start": lambda store: store.read_start(KEYS[0], 4),
    "range": lambda store: store.read_range(KEYS[0], 2, 5),
    "tail": lambda store: store.read_tail(KEYS[0], 4),
}
JSON_CALLS = ["page", "head"]
LASTING = [Fault.RESET, Fault.LOST_ANSWER, Fault.UNAVAILABLE, Fault.BAD_GATEWAY, Fault.CUT_BODY]
BUSY = [Fault.BUSY, Fault.BUSY_UNTIL]


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GcsServer]:
    """A bucket with many small objects."""
    with running_gcs(tmp_path_factory.mktemp("gcs"), ["faults", "large"]) as server:
        made = server.client().bucket("faults")
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda key: made.blob(key).upload_from_string(key), KEYS))
        server.client().bucket("large").blob(KEYS[0]).upload_from_string(bytes(LARGE_BYTES))
        yield server


def store_behind(url: str, server: GcsServer, name: str = "faults") -> GcsObjectStore:
    return open_gcs(name, credentials=server.credentials(), endpoint_url=url)


def test_three_faults_in_ten_requests_lose_no_key(bucket, tmp_path, monkeypatch, seed):
    monkeypatch.setattr(gcs, "KEYS_PER_PAGE", KEYS_PER_PAGE)
    monkeypatch.setattr(range_reader, "LONGEST_PAUSE_S", 0.1)
    with running_proxy(bucket.endpoint_url) as plain:
        list_objects(store_behind(plain.url, bucket), "", RunFolder(tmp_path))
    with running_proxy(bucket.endpoint_url, seed=seed, faults=at(SHARE)) as proxy:
        listing = list_objects(store_behind(proxy.url, bucket), "", RunFolder(tmp_path))

    assert (listing.objects, listing.total_bytes) == (len(KEYS), sum(map(len, KEYS)))
    assert proxy.counts
    assert proxy.too_early() == []
    assert len(proxy.requests) < MOST_AMPLIFICATION * len(plain.requests), proxy.counts


def test_a_bucket_that_goes_on_failing_is_asked_five_times_at_most(bucket):
    def attempts(call: str, fault: Fault) -> int:
        with running_proxy(bucket.endpoint_url, refusals=[Refusal("", fault=fault)]) as proxy:
            with pytest.raises(CloudSyncError) as caught:
                CALLS[call](store_behind(proxy.url, bucket))
            assert (caught.value.transient, caught.value.reason) == (True, "unreachable"), (call, fault)
            return len(proxy.requests)

    calls = [(call, fault) for call in CALLS for fault in LASTING]
    calls += [(call, Fault.CUT_JSON) for call in JSON_CALLS]
    # They wait most of the time.
    with ThreadPoolExecutor(len(calls)) as pool:
        counts = list(pool.map(attempts, *zip(*calls, strict=True)))
    assert set(counts) == {MOST_ATTEMPTS}


@pytest.mark.parametrize("fault", BUSY)
@pytest.mark.parametrize("call", CALLS)
def test_a_busy_bucket_is_left_alone_as_long_as_it_asks(bucket, call, fault):
    with running_proxy(bucket.endpoint_url, refusals=[Refusal("", fault=fault, times=1)]) as proxy:
        CALLS[call](store_behind(proxy.url, bucket))
        assert proxy.counts == {fault: 1}
        assert proxy.too_early() == []


@pytest.mark.parametrize(
    ("call", "fault"),
    [*((call, Fault.CUT_BODY) for call in CALLS), *((call, Fault.CUT_JSON) for call in JSON_CALLS)],
)
def test_an_answer_that_is_cut_is_asked_for_again(bucket, call, fault):
    with running_proxy(bucket.endpoint_url, refusals=[Refusal("GET ", fault=fault, times=1)]) as proxy:
        found = CALLS[call](store_behind(proxy.url, bucket))
        assert proxy.counts == {fault: 1}
        assert found == CALLS[call](store_behind(bucket.endpoint_url, bucket))


@pytest.mark.parametrize(
    "call", [*(CALLS[name] for name in JSON_CALLS), lambda store: store.read_start(KEYS[0], LARGE_BYTES)]
)
def test_an_answer_that_trickles_is_given_up_in_time(bucket, call, monkeypatch):
    monkeypatch.setattr(attempts_module, "CALL_WITHIN_S", 1.0)
    monkeypatch.setattr(proxy_module, "PIECES", 1000)
    monkeypatch.setattr(proxy_module, "SLOW_BODY_S", 100.0)
    with running_proxy(bucket.endpoint_url, refusals=[Refusal("GET ", fault=Fault.SLOW_BODY)]) as proxy:
        store = store_behind(proxy.url, bucket, "large")
        began_s = time.monotonic()
        with pytest.raises(CloudSyncError, match="did not come in time") as caught:
            call(store)
        assert time.monotonic() - began_s < 5
        assert (caught.value.transient, bool(caught.value.remedy)) == (True, True)
