"""One sync on each provider's storage: listed, registered by the right URLs, and never twice."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from demo.airflow_api import DagRun
from demo.content import BUCKET
from tests.e2e.conftest import Bench
from tests.e2e.storages import BAD, CONTAINER, GOOD, PREFIX, PROVIDERS, dataset_of, integration_of
from tests.e2e.test_sync import csv_rows, urls_in
from tests.servers import azurite_command


@pytest.fixture(scope="module")
def first(bench: Bench) -> Mapping[str, DagRun]:
    """The first run on each storage, all at the same time."""
    return run_all(bench)


@pytest.fixture(scope="module")
def second(bench: Bench, first: Mapping[str, DagRun]) -> Mapping[str, DagRun]:
    """The second run on each storage."""
    return run_all(bench)


def run_all(bench: Bench) -> Mapping[str, DagRun]:
    """Run every storage's DAG and return the runs at their end."""
    runs = {each: bench.start(integration_of(each)) for each in bench.storages.by_provider}
    return {provider: bench.end(run) for provider, run in runs.items()}


@pytest.fixture(params=PROVIDERS)
def provider(request: pytest.FixtureRequest) -> str:
    """Each provider; Azure is skipped where Azurite is not installed, and fails in CI."""
    if request.param == "azure":
        azurite_command()
    return str(request.param)


def base_of(bench: Bench, provider: str) -> str:
    """Return what the object URLs of a storage begin with."""
    connection = bench.storages[provider].connection
    if provider == "gcs":
        return f"gs://{CONTAINER}/{PREFIX}"
    if provider == "azure":
        return f"{connection['host']}/{CONTAINER}/{PREFIX}"
    return f"{connection['extra']['endpoint_url']}/{BUCKET}/{provider}/{PREFIX}"


def test_the_good_objects_are_registered_by_their_urls(
    bench: Bench, first: Mapping[str, DagRun], provider: str
) -> None:
    report = bench.report(first[provider])
    assert first[provider].state == "success"
    assert (report.verdict, report.registered, report.failed) == ("ok_with_quarantine", len(GOOD), 1)
    assert report.listed_objects == len(GOOD) + 1
    base = base_of(bench, provider)
    registered = urls_in(bench.storages.service.client(), dataset_of(provider))
    assert registered == sorted(f"{base}{name}" for name in GOOD.values())


def test_the_failing_object_is_in_the_csv_with_its_cause(
    bench: Bench, first: Mapping[str, DagRun], provider: str
) -> None:
    (row,) = csv_rows(bench.run_folder(first[provider]))
    assert row["object_url"] == f"{base_of(bench, provider)}{BAD}"
    assert row["failure_class"] in {"corrupt", "wrong_type"}
    assert row["reason"]


def test_the_second_run_registers_nothing(bench: Bench, second: Mapping[str, DagRun], provider: str) -> None:
    report = bench.report(second[provider])
    assert second[provider].state == "success"
    assert (report.manifests, report.registered, report.failed) == (0, 0, 0)
    assert report.already_registered == len(GOOD)
