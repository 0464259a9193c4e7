"""A sync behind a network and servers that fail three requests out of ten."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from cloud_sync.errors import CloudSyncError
from cloud_sync.objects.stores import open_s3
from cloud_sync.registration.client import EncordClient
from cloud_sync.registration.connection import Timeouts
from tests.faults.conftest import BUCKET, GOOD
from tests.faults.proxy import Fault, Refusal, at, running_proxy

SHARE = 0.3
MOST_ATTEMPTS = 5
MOST_AMPLIFICATION = 2
BUSY = (Fault.BUSY, Fault.BUSY_UNTIL)
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


def test_a_page_of_a_store_that_goes_on_failing_is_asked_for_five_times_at_most(bench):
    def attempts(fault: Fault) -> tuple[Fault, int]:
        with running_proxy(bench.s3.endpoint_url, refusals=[Refusal("", fault=fault)]) as proxy:
            with pytest.raises(CloudSyncError) as caught:
                bench.sync(store_url=proxy.url).store.page("")
            assert caught.value.transient, (fault, caught.value)
            assert proxy.too_early() == [], fault
            return fault, len(proxy.requests)

    failing = [fault for fault in FAILING if fault is not Fault.CUT_JSON]  # a store answers in XML
    with ThreadPoolExecutor(len(failing)) as pool:
        counts = dict(pool.map(attempts, failing))
    assert {fault: count for fault, count in counts.items() if count > MOST_ATTEMPTS} == {}


@pytest.mark.parametrize("fault", BUSY)
def test_a_listing_waits_as_long_as_a_busy_store_asks(bench, fault):
    with running_proxy(bench.s3.endpoint_url, refusals=[Refusal("", fault=fault, times=1)]) as proxy:
        bench.sync(store_url=proxy.url).store.page("")
        assert len(proxy.requests) == 2
        assert proxy.too_early() == []


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
