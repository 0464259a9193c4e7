"""A container of Azure behind a network that fails: nothing is lost, and the store is never pressed."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from cloud_sync.errors import CloudSyncError
from cloud_sync.objects import attempts as attempts_module
from cloud_sync.objects import azure, range_reader
from cloud_sync.objects.azure import open_azure
from cloud_sync.objects.listing import list_objects
from cloud_sync.run_folder import RunFolder
from tests.faults import proxy as proxy_module
from tests.faults.proxy import Fault, Refusal, at, running_proxy
from tests.servers import running_azurite

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cloud_sync.objects.azure import AzureObjectStore
    from tests.servers import AzureServer

CONTAINER = "faults"
SHARE = 0.3
MOST_ATTEMPTS = 5
MOST_AMPLIFICATION = 2
KEYS = [f"raw/{number:03d}.jpg" for number in range(300)]
CONTENT = b"content " * 10
KEYS_PER_PAGE = 10
CALLS = {
    "page": lambda store: store.page("raw/"),
    "head": lambda store: store.head(KEYS[0]),
    "start": lambda store: store.read_start(KEYS[0], 50),
    "range": lambda store: store.read_range(KEYS[0], 2, 5),
    "tail": lambda store: store.read_tail(KEYS[0], 4),
}
LASTING = [Fault.RESET, Fault.LOST_ANSWER, Fault.UNAVAILABLE, Fault.BAD_GATEWAY]
BUSY = [Fault.BUSY, Fault.BUSY_UNTIL]


@pytest.fixture(scope="module")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AzureServer]:
    """A container with many small blobs."""
    with running_azurite(tmp_path_factory.mktemp("azurite"), [CONTAINER]) as server:
        container = server.container(CONTAINER)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda key: container.upload_blob(key, CONTENT), KEYS))
        yield server


def store_behind(url: str, server: AzureServer) -> AzureObjectStore:
    # A signature holds the path, not the host.
    account_url = f"{url}/{server.account}"
    return open_azure(CONTAINER, account_url=account_url, credential=server.credential())


def host_of(server: AzureServer) -> str:
    return server.account_url.removesuffix(f"/{server.account}")


def test_three_faults_in_ten_requests_lose_no_key(azurite, tmp_path, monkeypatch, seed):
    monkeypatch.setattr(azure, "KEYS_PER_PAGE", KEYS_PER_PAGE)
    monkeypatch.setattr(range_reader, "LONGEST_PAUSE_S", 0.1)
    with running_proxy(host_of(azurite)) as plain:
        list_objects(store_behind(plain.url, azurite), "", RunFolder(tmp_path))
    kinds = [fault for fault in Fault if fault is not Fault.CUT_JSON]
    with running_proxy(host_of(azurite), seed=seed, faults=at(SHARE, *kinds)) as proxy:
        listing = list_objects(store_behind(proxy.url, azurite), "", RunFolder(tmp_path))

    assert listing.objects == len(KEYS)
    assert listing.total_bytes == len(KEYS) * len(CONTENT)
    assert proxy.counts
    assert proxy.too_early() == []
    assert len(proxy.requests) < MOST_AMPLIFICATION * len(plain.requests), proxy.counts


# The page and the two requests of a tail; tests/faults/test_network.py has the other reads, which are alike.
@pytest.mark.parametrize("call", ["page", "tail"])
def test_a_container_that_goes_on_failing_is_asked_five_times_at_most(azurite, call):
    def attempts(fault: Fault) -> int:
        with running_proxy(host_of(azurite), refusals=[Refusal("", fault=fault)]) as proxy:
            with pytest.raises(CloudSyncError) as caught:
                CALLS[call](store_behind(proxy.url, azurite))
            assert (caught.value.transient, caught.value.reason) == (True, "unreachable"), fault
            assert proxy.too_early() == [], fault
            return len(proxy.requests)

    with ThreadPoolExecutor(len(LASTING)) as pool:
        counts = list(pool.map(attempts, LASTING))
    assert max(counts) <= MOST_ATTEMPTS


@pytest.mark.parametrize("fault", BUSY)
@pytest.mark.parametrize("call", ["page", "tail"])
def test_a_busy_container_is_left_alone_as_long_as_it_asks(azurite, call, fault):
    with running_proxy(host_of(azurite), refusals=[Refusal("", fault=fault, times=1)]) as proxy:
        CALLS[call](store_behind(proxy.url, azurite))
        assert proxy.counts == {fault: 1}
        assert proxy.too_early() == []


@pytest.mark.parametrize("call", ["page", "start", "range", "tail"])
def test_an_answer_that_is_cut_is_asked_for_again(azurite, call):
    cut = [Refusal("GET ", fault=Fault.CUT_BODY, times=1)]
    with running_proxy(host_of(azurite), refusals=cut) as proxy:
        found = CALLS[call](store_behind(proxy.url, azurite))
        assert proxy.counts == {Fault.CUT_BODY: 1}
        assert found == CALLS[call](store_behind(host_of(azurite), azurite))


@pytest.mark.parametrize("call", ["page", "start"])
def test_an_answer_that_trickles_is_given_up_in_time(azurite, call, monkeypatch):
    monkeypatch.setattr(attempts_module, "CALL_WITHIN_S", 1.0)
    monkeypatch.setattr(proxy_module, "PIECES", 1000)
    monkeypatch.setattr(proxy_module, "SLOW_BODY_S", 100.0)
    with running_proxy(host_of(azurite), refusals=[Refusal("GET ", fault=Fault.SLOW_BODY)]) as proxy:
        store = store_behind(proxy.url, azurite)
        began_s = time.monotonic()
        with pytest.raises(CloudSyncError, match="did not come in time") as caught:
            CALLS[call](store)
        assert time.monotonic() - began_s < 5
        assert (caught.value.transient, bool(caught.value.remedy)) == (True, True)
