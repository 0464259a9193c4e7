"""A sync behind a network and servers that fail three requests out of ten."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from itertools import product

import pytest

from cloud_sync.errors import CloudSyncError
from cloud_sync.objects import attempts as attempts_module
from cloud_sync.objects.stores import open_s3
from cloud_sync.registration.client import EncordClient
from cloud_sync.registration.connection import Timeouts
from tests.faults import proxy as proxy_module
from tests.faults.conftest import BAD, BUCKET, GOOD
from tests.faults.proxy import Fault, Refusal, at, running_proxy

SHARE = 0.3
MOST_ATTEMPTS = 5
MOST_AMPLIFICATION = 2
BUSY = (Fault.BUSY, Fault.BUSY_UNTIL)
STORE_CALLS = {
    "page": lambda store: store.page(""),
    "head": lambda store: store.head(GOOD[0]),
    "start": lambda store: store.read_start(GOOD[0], 4096),
    "range": lambda store: store.read_range(GOOD[0], 9, 99_999),
    "tail": lambda store: store.read_tail(GOOD[0], 4096),
}
FAILING = [fault for fault in Fault if fault not in {Fault.LATENCY, Fault.SLOW_BODY}]


def test_three_faults_in_ten_requests_lose_nothing_and_register_nothing_twice(bench, plain_sync, seed):
    faults = at(SHARE)
    with (
        running_proxy(bench.s3.endpoint_url, seed=seed, faults=faults) as store,
        running_proxy(bench.service.url, seed=seed, faults=faults) as encord,
    ):
        sync = bench.asking_much(store, encord)
        sync.run_with_tries()
        bench.check(sync)
    assert store.counts
    assert encord.counts
    assert encord.too_early() == []
    assert store.too_early() == []
    for proxy, plain in ((store, plain_sync.store), (encord, plain_sync.encord)):
        assert len(proxy.requests) < MOST_AMPLIFICATION * len(plain.requests), proxy.counts


def client_of(proxy, key):
    return EncordClient(domain=proxy.url, ssh_private_key=key, timeouts=Timeouts(connect_s=2, request_s=5))


def test_a_call_that_goes_on_failing_is_attempted_five_times_at_most(bench):
    """Reads, which may be repeated; all faults side by side, since each waits."""

    def attempts(fault: Fault) -> tuple[Fault, int]:
        with running_proxy(bench.service.url, refusals=[Refusal("", fault=fault)]) as proxy:
            with pytest.raises(CloudSyncError) as caught:
                client_of(proxy, bench.service.private_key).check()
            assert caught.value.transient, (fault, caught.value)
            assert proxy.too_early() == [], fault
            return fault, len(proxy.requests)

    with ThreadPoolExecutor(len(FAILING)) as pool:
        counts = dict(pool.map(attempts, FAILING))
    assert {fault: count for fault, count in counts.items() if count > MOST_ATTEMPTS} == {}


@pytest.mark.parametrize("call", STORE_CALLS)
def test_a_store_that_goes_on_failing_is_asked_five_times_at_most(bench, call):
    def attempts(fault: Fault) -> tuple[Fault, int]:
        with running_proxy(bench.s3.endpoint_url, refusals=[Refusal("", fault=fault)]) as proxy:
            with pytest.raises(CloudSyncError) as caught:
                STORE_CALLS[call](bench.sync(store_url=proxy.url).store)
            assert caught.value.transient, (fault, caught.value)
            assert proxy.too_early() == [], fault
            return fault, len(proxy.requests)

    harmless = {Fault.CUT_JSON, *([Fault.CUT_BODY] if call == "head" else [])}  # XML; no body
    failing = [fault for fault in FAILING if fault not in harmless]
    with ThreadPoolExecutor(len(failing)) as pool:
        counts = dict(pool.map(attempts, failing))
    assert {fault: count for fault, count in counts.items() if count > MOST_ATTEMPTS} == {}


@pytest.mark.parametrize("call", STORE_CALLS)
def test_a_store_is_left_alone_as_long_as_it_asks_by_all_threads(bench, call):
    def ask(fault: Fault) -> None:
        busy = [Refusal("", fault=fault, times=1)]
        with running_proxy(bench.s3.endpoint_url, refusals=busy) as proxy, ThreadPoolExecutor(4) as pool:
            store = bench.sync(store_url=proxy.url).store
            first = pool.submit(STORE_CALLS[call], store)
            while not proxy.counts:
                time.sleep(0.01)
            time.sleep(0.2)  # the answer is there by now
            others = [pool.submit(STORE_CALLS[call], store) for _ in range(3)]
            plain = STORE_CALLS[call](bench.sync().store)
            results = [one.result() for one in (first, *others)]
            if call != "page":
                assert results == [plain] * 4
            assert len(proxy.requests) == 5
            assert proxy.too_early() == []

    with ThreadPoolExecutor(len(BUSY)) as pool:
        list(pool.map(ask, BUSY))


ONCE = [Fault.CUT_BODY, Fault.RESET, Fault.LOST_ANSWER, Fault.BAD_GATEWAY]
# The answer to a HEAD has no body.
CALLS_THAT_FAIL = [pair for pair in product(STORE_CALLS, ONCE) if pair != ("head", Fault.CUT_BODY)]


@pytest.mark.parametrize(("call", "fault"), CALLS_THAT_FAIL)
def test_a_store_that_fails_once_is_asked_once_more(bench, call, fault):
    with running_proxy(bench.s3.endpoint_url, refusals=[Refusal("", fault=fault, times=1)]) as proxy:
        STORE_CALLS[call](bench.sync(store_url=proxy.url).store)
        assert len(proxy.requests) == 2


def read_until_it_is_there(store, key):
    """Read as a run does: one call in some hundreds meets five faults in a row, and is made again later."""
    for _ in range(5):
        try:
            return store.read_start(key, 4096)
        except CloudSyncError as error:
            if not error.transient:
                raise
    raise AssertionError(f"{key} was not read in 25 attempts")


def test_three_faults_in_ten_reads_lose_nothing_and_cost_less_than_twice_the_requests(bench, seed):
    kinds = [fault for fault in Fault if fault is not Fault.CUT_JSON]
    keys = [*GOOD, *BAD] * 6
    plain = bench.sync().store
    with running_proxy(bench.s3.endpoint_url, seed=seed, faults=at(SHARE, *kinds)) as proxy:
        store = bench.sync(store_url=proxy.url).store
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda key: read_until_it_is_there(store, key), keys))
        assert proxy.too_early() == []
        assert proxy.counts
        assert len(proxy.requests) < MOST_AMPLIFICATION * len(keys), proxy.counts
    expected = {key: plain.read_start(key, 4096) for key in set(keys)}
    assert found == [expected[key] for key in keys]


@pytest.mark.parametrize("call", ["start", "range", "tail"])
def test_an_object_that_trickles_is_given_up_in_time(bench, call, monkeypatch):
    monkeypatch.setattr(attempts_module, "CALL_WITHIN_S", 4.0)
    monkeypatch.setattr(proxy_module, "PIECES", 1000)
    monkeypatch.setattr(proxy_module, "SLOW_BODY_S", 100.0)
    with running_proxy(bench.s3.endpoint_url, refusals=[Refusal("", fault=Fault.SLOW_BODY)]) as proxy:
        store = bench.sync(store_url=proxy.url).store
        began_s = time.monotonic()
        with pytest.raises(
            CloudSyncError, match=f"object '{GOOD[0]}': the answer did not come in time"
        ) as caught:
            STORE_CALLS[call](store)
        assert time.monotonic() - began_s < 20
        assert (caught.value.transient, bool(caught.value.remedy)) == (True, True)
        assert len(proxy.requests) == 1


@pytest.mark.parametrize("fault", [Fault.RESET, Fault.UNAVAILABLE, *BUSY])
def test_a_read_survives_a_fault_that_passes(bench, fault):
    with running_proxy(bench.service.url, refusals=[Refusal("", fault=fault, times=1)]) as proxy:
        assert client_of(proxy, bench.service.private_key).check() == 1
        assert len(proxy.requests) == 2
        assert proxy.too_early() == []


def test_what_is_refused_for_a_while_is_asked_again_when_the_while_is_over(bench):
    polls, starts = "GET .*data-upload-jobs/", "POST .*data-upload-jobs$"
    busy = [Refusal(path, fault=fault, times=1) for path in (polls, starts) for fault in BUSY]
    with running_proxy(bench.service.url, refusals=busy) as proxy:
        sync = bench.sync(domain=proxy.url, items_per_manifest=10)
        sync.run_with_tries()
        assert bench.check(sync).jobs == len(sync.folder.names("manifests/0*.json"))
        assert proxy.counts == dict.fromkeys(BUSY, 2)
        assert proxy.too_early() == []


def test_a_submission_whose_answer_is_lost_is_made_once_more_and_registers_nothing_twice(bench):
    start = Refusal("POST .*data-upload-jobs$", fault=Fault.LOST_ANSWER, times=1)
    with running_proxy(bench.service.url, refusals=[start]) as proxy:
        sync = bench.sync(domain=proxy.url, backing_folder=False, items_per_manifest=10)
        sync.run_with_tries()
        manifests = len(sync.folder.names("manifests/0*.json"))
        assert len(proxy.to("POST .*data-upload-jobs$")) == manifests + 1
        assert bench.check(sync).jobs == manifests + 1


@pytest.mark.parametrize("status", [401, 403, 404, 422])
def test_what_encord_refuses_for_good_is_asked_once(bench, status):
    with running_proxy(bench.service.url, refusals=[Refusal("", status)]) as proxy:
        client = client_of(proxy, bench.service.private_key)
        for call in (
            client.check,
            lambda: client.poll_upload_job("f", "j"),
            lambda: client.find_dataset("d"),
        ):
            before = len(proxy.requests)
            with pytest.raises(CloudSyncError) as caught:
                call()
            assert not caught.value.transient, caught.value
            assert caught.value.remedy
            assert len(proxy.requests) == before + 1


@pytest.mark.parametrize("status", [401, 403, 404, 422])
def test_a_submission_that_encord_refuses_for_good_is_made_once(bench, status):
    with running_proxy(bench.service.url) as proxy:
        sync = bench.sync(domain=proxy.url, items_per_manifest=10)
        sync.run("list", "plan", "build")
        proxy.refusals.append(Refusal("POST .*data-upload-jobs$", status))
        if status == 422:  # about this manifest's content, so the others are sent all the same
            sync.run("register")
        else:
            with pytest.raises(CloudSyncError) as caught:
                sync.run("register")
            assert not caught.value.transient
        manifests = len(sync.folder.names("manifests/0*.json"))
        posts = proxy.to("POST .*data-upload-jobs$")
        assert len(posts) == (manifests if status == 422 else 1)


@pytest.mark.parametrize("status", [401, 403, 404])
def test_what_the_store_refuses_for_good_is_asked_once(bench, status):
    with running_proxy(bench.s3.endpoint_url, refusals=[Refusal("", status)]) as proxy:
        key_id, secret = bench.s3.access_key_id, bench.s3.secret_access_key
        store = open_s3(BUCKET, endpoint_url=proxy.url, access_key_id=key_id, secret_access_key=secret)
        for call in (
            store.check_access,
            lambda: store.head(GOOD[0]),
            lambda: store.read_range(GOOD[0], 0, 9),
        ):
            before = len(proxy.requests)
            with pytest.raises(CloudSyncError) as caught:
                call()
            assert (caught.value.transient, bool(caught.value.remedy)) == (False, True)
            assert len(proxy.requests) == before + 1
