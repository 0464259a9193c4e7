"""What all tests share: a home for Airflow that is not the user's, and what each folder may do."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

LOOPBACK = ["127.0.0.1", "::1", "localhost"]
TESTS = Path(__file__).parent
MARKERS = {
    "unit": [pytest.mark.disable_socket],
    "integration": [pytest.mark.servers, pytest.mark.allow_hosts(LOOPBACK)],
    "faults": [pytest.mark.servers, pytest.mark.allow_hosts(LOOPBACK)],
    "e2e": [pytest.mark.servers, pytest.mark.e2e, pytest.mark.allow_hosts(LOOPBACK)],
}
# These end-to-end tests have a stack of their own, beside that of the others, so that both end together.
ON_THE_SECOND_STACK = (
    "test_approval.py",
    "test_kills.py",
    "test_leaving.py",
    "test_state_in_a_bucket.py",
    "test_storages.py",
)

# Airflow reads these once, when it is first imported: before any test module is. The reference
# keeps the folder until the last test has ended.
AIRFLOW_HOME = tempfile.TemporaryDirectory(prefix="airflow-home-")
os.environ["AIRFLOW_HOME"] = AIRFLOW_HOME.name
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"

# A busy machine is no defect of what is tested; benchmarks say how long things take.
settings.register_profile("patient", settings.default, deadline=None)
settings.load_profile("patient")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test by the folder it stands in."""
    for item in items:
        for marker in MARKERS.get(item.path.relative_to(TESTS).parts[0], ()):
            item.add_marker(marker)


class ByServers(LoadScopeScheduling):
    """Keeps the tests together that share servers: `--dist loadgroup` does nothing with pytest 9.2."""

    def _split_scope(self, nodeid: str) -> str:
        place = nodeid.partition("::")[0]
        _, folder, *rest = place.split("/")
        if folder == "e2e":
            return "second stack" if rest[-1] in ON_THE_SECOND_STACK else folder
        return f"{folder}/{rest[0]}" if folder == "integration" else place


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Return how tests are spread over processes."""
    return ByServers(config, log)
