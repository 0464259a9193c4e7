"""Permanent failures end at once; transient ones are tried again when asked, spread out."""

from __future__ import annotations

from datetime import timedelta

import pytest
from airflow.sdk import DAG, BaseOperator
from airflow.sdk.definitions.retry_policy import RetryAction

from cloud_sync.errors import ConfigError, EncordError, StorageError
from cloud_sync.retry_after import LONGEST_PAUSE_S
from cloud_sync_airflow.retry import CloudSyncRetryPolicy

POLICY = CloudSyncRetryPolicy(first_delay_s=30, longest_delay_s=900)


def seconds(decision) -> float:
    return decision.retry_delay / timedelta(seconds=1)


@pytest.mark.parametrize("error", [ConfigError("no such dataset", where="x"), EncordError("refused")])
def test_a_permanent_error_fails_at_once_with_its_line(error):
    decision = POLICY.evaluate(error, try_number=1, max_tries=4)
    assert (decision.action, decision.reason) == (RetryAction.FAIL, str(error))


@pytest.mark.parametrize(("try_number", "longest_s"), [(1, 30), (2, 60), (3, 120), (6, 900), (500, 900)])
def test_the_wait_doubles_up_to_its_limit_with_jitter(try_number, longest_s):
    error = StorageError("disk", transient=True)
    waits = {seconds(POLICY.evaluate(error, try_number, 4)) for _ in range(50)}
    assert min(waits) >= longest_s / 2
    assert max(waits) <= longest_s
    assert len(waits) > 1


@pytest.mark.parametrize("asked_s", [200, LONGEST_PAUSE_S])
def test_the_wait_that_was_asked_for_is_kept(asked_s):
    error = EncordError("busy", transient=True, retry_after_s=asked_s)
    decision = POLICY.evaluate(error, try_number=1, max_tries=4)
    assert decision.action is RetryAction.RETRY
    assert asked_s <= seconds(decision) <= asked_s + 3


def test_other_exceptions_follow_the_tasks_own_settings():
    assert POLICY.evaluate(KeyError("x"), try_number=1, max_tries=4).action is RetryAction.DEFAULT


def test_it_survives_its_own_serialization():
    assert CloudSyncRetryPolicy.deserialize(POLICY.serialize()) == POLICY


def test_a_dag_with_it_survives_airflows_serialization():
    from airflow.serialization.serialized_objects import DagSerialization

    with DAG("with_policy", schedule=None) as dag:
        BaseOperator(task_id="plain", retries=4, retry_policy=POLICY)
        BaseOperator.partial(task_id="mapped", retries=4, retry_policy=POLICY).expand(doc=["a", "b"])
    assert dag.get_task("mapped").retry_policy == POLICY
    read = DagSerialization.from_dict(DagSerialization.to_dict(dag))
    assert read.get_task("plain").has_retry_policy
    assert read.get_task("mapped").retries == 4
