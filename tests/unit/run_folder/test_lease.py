"""The lock in a bucket: one holder at a time, and none that is dead."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from cloud_sync.errors import StorageError
from cloud_sync.run_folder.bucket import Bucket
from cloud_sync.run_folder.lease import Lease
from tests.unit.places import in_memory

KEY = "commit.lock"


@pytest.fixture
def bucket() -> Bucket:
    return in_memory().files._bucket


def lease(bucket: Bucket, *, wait_s: float = 5, lasts_s: float = 60) -> Lease:
    return Lease(bucket, KEY, wait_s=wait_s, lasts_s=lasts_s)


def dead(bucket: Bucket, *, lasts_s: float) -> Lease:
    """Return a lease whose holder was killed: it is neither renewed nor given back."""
    one = lease(bucket, lasts_s=lasts_s)
    one._renew = lambda: None
    one._renewing = threading.Thread(target=one._renew)
    one.__enter__()
    return one


def test_one_at_a_time(bucket):
    inside = []

    def enter(number: int) -> None:
        with lease(bucket, wait_s=30):
            inside.append(number)
            assert inside == [number]
            time.sleep(0.001)
            inside.remove(number)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(enter, range(12)))


def test_who_waits_too_long_is_told_who_holds_it(bucket):
    with lease(bucket), pytest.raises(StorageError, match="is held by another task") as caught:
        lease(bucket, wait_s=0).__enter__()
    assert caught.value.transient
    with lease(bucket, wait_s=0):
        pass


def test_that_of_a_dead_process_is_taken_over_when_it_has_lasted(bucket, caplog):
    dead(bucket, lasts_s=0.2)
    with pytest.raises(StorageError):
        lease(bucket, wait_s=0).__enter__()
    with lease(bucket):
        assert "which has not been heard of for 0 s: taken over" in caplog.text


def test_that_of_one_dead_for_long_is_taken_over_at_once(bucket, monkeypatch):
    dead(bucket, lasts_s=60)
    bucket._ahead_s += 3600  # the store's clock says so
    with lease(bucket, wait_s=0):
        pass


@pytest.mark.parametrize("moved_by", [-86400, 86400])
def test_a_clock_of_this_machine_that_is_wrong_frees_nothing(bucket, monkeypatch, moved_by):
    now = time.time
    with lease(bucket):
        monkeypatch.setattr(time, "time", lambda: now() + moved_by)
        with pytest.raises(StorageError):
            lease(bucket, wait_s=0).__enter__()


def test_a_holder_that_is_slow_but_alive_keeps_it(bucket):
    with lease(bucket, lasts_s=0.4), pytest.raises(StorageError):
        lease(bucket, wait_s=1.2).__enter__()


def test_of_many_that_wait_for_a_dead_one_one_takes_over(bucket):
    dead(bucket, lasts_s=0.1)
    time.sleep(0.15)
    waiting = [lease(bucket) for _ in range(8)]
    bucket._ahead_s += 1
    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(lambda one: one._is_taken(), waiting))
    assert sum(taken) == 1


def test_one_that_lost_it_says_so_and_gives_back_nothing(bucket, caplog):
    late = dead(bucket, lasts_s=60)
    bucket._ahead_s += 3600
    with lease(bucket):
        bucket._ahead_s -= 3600
        late.__exit__()
        assert "was taken over by another task" in caplog.text
        with pytest.raises(StorageError):
            lease(bucket, wait_s=0).__enter__()


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"owner": "x", "lasts_s": "long"}'])
def test_an_object_that_is_no_lease_is_one_whose_holder_died(bucket, content):
    bucket.put(KEY, content, "")
    with pytest.raises(StorageError):
        lease(bucket, wait_s=0).__enter__()
    bucket._ahead_s += 3600
    with lease(bucket, wait_s=0):
        pass


def test_a_store_that_does_not_answer_at_the_end_costs_nothing_but_time(bucket, monkeypatch, caplog):
    def refuse(*_):
        raise StorageError("the store cannot be reached.", transient=True)

    with lease(bucket):
        monkeypatch.setattr(bucket, "swap", refuse)
    assert "is not given back, and ends by itself" in caplog.text
