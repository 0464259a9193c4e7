"""The proxy itself: what it does to requests, and that it does nothing to signatures."""

from __future__ import annotations

import http.client
import time
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import httpx
import pytest

from tests.faults.conftest import BUCKET, GOOD
from tests.faults.proxy import RETRY_AFTER_S, Fault, Refusal, at, running_proxy
from tests.faults.sync import STAGES


def test_a_sync_through_two_proxies_without_faults_is_a_plain_sync(plain_sync):
    assert plain_sync.tries == len(STAGES)
    assert {request.status for request in plain_sync.encord.requests} == {200}
    # 416 is what a store says when it is asked for the first bytes of an empty object.
    assert {request.status for request in plain_sync.store.requests} <= {200, 206, 416}
    assert plain_sync.store.requests


def test_the_same_seed_gives_the_same_faults():
    def faults(seed):
        with running_proxy("http://127.0.0.1:1", seed=seed, faults=at(0.5)) as proxy:
            return [proxy.decide("GET", f"/{n % 3}/{n}")[0] for n in range(200)]

    assert faults(1) == faults(1) != faults(2)
    assert 70 < sum(fault is not None for fault in faults(1)) < 130
    assert set(faults(1)) == {None, *Fault}


@pytest.mark.parametrize("fault", list(Fault))
def test_each_fault_is_what_it_says(bench, fault):
    refusal = Refusal("healthz", fault=fault, times=1)
    with (
        running_proxy(bench.service.url, refusals=[refusal]) as proxy,
        httpx.Client(base_url=proxy.url, trust_env=False) as client,
    ):
        plain = httpx.get(f"{bench.service.url}/healthz", trust_env=False)
        started = time.time()
        seen = answer_or_error(client)
        if fault in {Fault.LATENCY, Fault.SLOW_BODY}:
            assert (seen.status_code, seen.content) == (200, plain.content)
        elif fault in {Fault.RESET, Fault.LOST_ANSWER, Fault.CUT_BODY}:
            assert isinstance(seen, httpx.TransportError)
        elif fault is Fault.CUT_JSON:
            assert (seen.status_code, seen.content) == (200, plain.content[: len(plain.content) // 2])
        elif fault is Fault.BAD_GATEWAY:
            assert (seen.status_code, seen.headers["content-type"]) == (502, "text/html")
        elif fault is Fault.UNAVAILABLE:
            assert (seen.status_code, "retry-after" in seen.headers) == (503, False)
        elif fault is Fault.BUSY:
            assert (seen.status_code, seen.headers["retry-after"]) == (429, str(RETRY_AFTER_S))
        else:
            assert seen.status_code == 429
            until = parsedate_to_datetime(seen.headers["retry-after"]).timestamp()
            assert started < until <= time.time() + RETRY_AFTER_S + 1
        assert answer_or_error(client).content == plain.content
        assert proxy.counts == {fault: 1}
        assert [one for one in proxy.too_early() if fault not in {Fault.BUSY, Fault.BUSY_UNTIL}] == []


def answer_or_error(client):
    try:
        return client.get("/healthz")
    except httpx.TransportError as error:
        return error


def test_a_request_during_the_wait_is_noticed():
    refusal = Refusal("", fault=Fault.BUSY)
    with running_proxy("http://127.0.0.1:1", refusals=[refusal]) as proxy:
        httpx.get(proxy.url, trust_env=False)
        assert proxy.too_early() == []
        time.sleep(0.1)
        httpx.get(proxy.url, trust_env=False)
        assert proxy.too_early() == [proxy.requests[1]]


def test_a_chunked_upload_arrives_whole(bench):
    with running_proxy(bench.service.url) as proxy:
        connection = http.client.HTTPConnection(urlsplit(proxy.url).netloc)
        connection.request("POST", "/healthz", iter([b"one", b"two"]), encode_chunked=True)
        assert connection.getresponse().status == 405  # the service read it and has no such method
        connection.close()


def test_a_signed_upload_and_a_wrong_secret_are_told_apart_behind_the_proxy(bench):
    import dataclasses

    from botocore.exceptions import ClientError

    with running_proxy(bench.s3.endpoint_url) as proxy:
        through = dataclasses.replace(bench.s3, endpoint_url=proxy.url)
        assert through.client().head_object(Bucket=BUCKET, Key=GOOD[0])["ContentLength"] > 0
        wrong = dataclasses.replace(through, secret_access_key="wrong")
        with pytest.raises(ClientError, match=r"SignatureDoesNotMatch|403"):
            wrong.client().list_objects_v2(Bucket=BUCKET)
