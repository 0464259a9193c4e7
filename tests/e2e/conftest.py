"""One stack for all end-to-end tests, with a folder of integrations of its own: good, failing and broken."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from cloud_sync.run_folder import safe_name
from demo.airflow import Sources
from demo.airflow_api import DagRun, TaskInstance
from demo.content import BUCKET
from demo.report import RunReport
from demo.servers import base_environment, s3_url
from demo.settings import Settings
from demo.stack import Stack, running_stack
from tests.e2e.storages import Storages, running_storages
from tests.fault_rounds import SEEDS, once_a_seed
from tests.servers import DatasetService, S3Server, running_dataset_service

PROJECT = Path(__file__).parents[2]
DEMO_FILE = PROJECT / "include" / "integrations" / "demo.yaml"
POLICY = Path(__file__).parent / "policy"
"""Holds the cluster policy of the tests' Airflow."""
RUN_TIMEOUT_S = 240
REFUSED_SECRET = "not-the-secret-of-this-store"
BROKEN_FILE = "name: broken\nstorage:\n  provider: s3\n  conection_id: demo_s3\n"


pytest_generate_tests = once_a_seed


def killed_name(seed: int) -> str:
    """Return the name of the integration, and of the dataset, of a run whose processes are killed."""
    return f"killed-{seed}"


# What differs from demo.yaml in each integration: section -> field -> value.
VARIANTS: dict[str, dict[str, dict[str, Any]]] = {
    "unknown-dataset": {"target": {"dataset": "No Such Dataset"}},
    "missing-bucket": {"storage": {"bucket": "no-such-bucket"}},
    "refused-credentials": {"storage": {"connection_id": "e2e_refused_s3"}},
    "missing-connection": {"storage": {"connection_id": "no_such_connection"}},
    "missing-encord-connection": {"target": {"connection_id": "no_such_encord"}},
    "rsa-key": {"target": {"connection_id": "e2e_rsa_encord"}},
    "linked": {"target": {"dataset": "Without a folder"}, "upload": {"items_per_manifest": 50}},
    "uploads": {"storage": {"prefix": "uploads/"}, "target": {"dataset": "Uploads"}},
    "cleared": {"storage": {"prefix": "cleared/"}, "target": {"dataset": "Cleared"}},
    "sharded": {
        "storage": {"prefix": "sharded/", "listing_shards": 3},
        "target": {"dataset": "Sharded"},
    },
    "strict": {
        "storage": {"prefix": "strict/"},
        "target": {"dataset": "Strict"},
        "upload": {"ignore_errors": False},
        "retry": {"first_wait": "1s"},
    },
    "approved": {
        "storage": {"prefix": "approved/"},
        "target": {"dataset": "Approved"},
        "approval": {"new_count": 1},
    },
    "unanswered": {
        "storage": {"prefix": "approved/"},
        "target": {"dataset": "Unanswered"},
        "approval": {"new_count": 1, "wait": "1m"},
    },
    "leaving": {
        "storage": {"prefix": "leaving/"},
        "target": {"dataset": "Leaving"},
        "approval": {"removed_count": 1},
        "changes": {"removed": "unlink", "moved": "register"},
    },
    "again": {
        "storage": {"prefix": "again/"},
        "target": {"dataset": "Again"},
        "approval": {"changed_count": 1},
        "changes": {"changed": "register_again"},
    },
    "bulk": {
        "storage": {"prefix": "bulk/"},
        "target": {"connection_id": "e2e_slow_encord", "dataset": "Bulk", "encord_integration": None},
        "upload": {"items_per_manifest": 4000, "jobs_in_flight": 1},
    },
    "ended": {
        "storage": {"prefix": "bulk/"},
        "target": {"connection_id": "e2e_slow_encord", "dataset": "Ended", "encord_integration": None},
        "upload": {"items_per_manifest": 4000, "jobs_in_flight": 1},
    },
    "killed": {
        "storage": {"prefix": "bulk/"},
        "target": {"connection_id": "e2e_slow_encord", "dataset": "Killed", "encord_integration": None},
        "upload": {"items_per_manifest": 4000, "jobs_in_flight": 1},
    },
}
# Many small jobs at once, what they make is linked, and a bad file costs a manifest, which comes again in a
# retry round: so a kill can hit each step of a run.
VARIANTS |= {
    killed_name(seed): {
        "storage": {"prefix": "kills/"},
        "target": {
            "connection_id": "e2e_slow_encord",
            "dataset": killed_name(seed),
            "encord_integration": None,
        },
        "upload": {"items_per_manifest": 1000, "jobs_in_flight": 2, "ignore_errors": False},
        "retry": {"rounds": 1, "first_wait": "1s", "items_per_manifest": 100},
    }
    for seed in SEEDS
}
# So that the death of a scheduler, triggerer or worker is noticed while a test waits.
SOON_NOTICED = {
    "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "2",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "12",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "3",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "15",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
    "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "2",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "10",
    # While the API server starts, tasks ask for it often and are patient.
    "AIRFLOW__WORKERS__EXECUTION_API_RETRIES": "15",
    "AIRFLOW__WORKERS__EXECUTION_API_RETRY_WAIT_MAX": "2",
}


@dataclass(frozen=True)
class Bench:
    """The stack, and how the tests drive it."""

    stack: Stack
    slow_service: DatasetService = field(repr=False)
    rsa_key: str = field(repr=False)
    storages: Storages = field(repr=False)

    def start(self, name: str, conf: dict[str, Any] | None = None) -> DagRun:
        """Trigger `sync__<name>`."""
        api, dag_id = self.stack.api, f"sync__{name}"
        run = api.trigger(dag_id, conf)
        api.unpause(dag_id)
        return run

    def upload(self, **form: Any) -> DagRun:
        """Trigger `upload_manifest` for the integration `uploads`, wait for its end and return it."""
        run = self.stack.api.trigger("upload_manifest", {"integration": "uploads", **form})
        self.stack.api.unpause("upload_manifest")
        return self.end(run)

    def retry(self, **form: Any) -> DagRun:
        """Trigger `retry_failures`, wait for its end and return it."""
        run = self.stack.api.trigger("retry_failures", form)
        self.stack.api.unpause("retry_failures")
        return self.end(run)

    def end(self, run: DagRun, timeout_s: float = RUN_TIMEOUT_S) -> DagRun:
        """Wait for a run's end and return it."""
        return self.stack.api.wait_for_run(run, timeout_s, each_poll=lambda _: self.stack.check())

    def run(self, name: str, conf: dict[str, Any] | None = None) -> DagRun:
        """Trigger `sync__<name>`, wait for its end and return it."""
        return self.end(self.start(name, conf))

    def run_folder(self, run: DagRun) -> Path:
        """Return the run folder of a run."""
        by_hand = {"upload_manifest": "_uploads", "retry_failures": "_retries"}
        name = by_hand.get(run.dag_id, run.dag_id.removeprefix("sync__"))
        return self.stack.places.state / "runs" / name / safe_name(run.run_id)

    def report(self, run: DagRun) -> RunReport:
        """Return the report of a run."""
        return RunReport.read(self.run_folder(run))

    def tasks(self, run: DagRun) -> dict[str, list[TaskInstance]]:
        """Return the task instances of a run by task id."""
        by_id: dict[str, list[TaskInstance]] = {}
        for task in self.stack.api.task_instances(run):
            by_id.setdefault(task.task_id, []).append(task)
        return by_id

    def log(self, run: DagRun, task_id: str) -> str:
        """Return the log of the last try of a task."""
        return "\n".join(self.stack.api.log(run, self.tasks(run)[task_id][0]))

    def url(self, key: str) -> str:
        """Return the object URL of a key of the demo's bucket."""
        from cloud_sync.objects.urls import ObjectUrls, UrlStyle

        return ObjectUrls("s3", BUCKET, UrlStyle.PATH, endpoint_url=s3_url(self.stack.settings)).build(key)


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Run the stack, and a second dataset service with a single slow worker."""
    root = tmp_path_factory.mktemp("e2e")
    integrations = root / "integrations"
    write_integrations(integrations)
    settings = Settings.on_free_ports()
    rsa_key = new_rsa_key()
    secrets = prepared_secrets(root / "stack")
    s3 = S3Server(s3_url(settings), secrets.s3_access_key_id, secrets.s3_secret_access_key)
    with (
        running_dataset_service(root / "slow", s3, [BUCKET], workers=1) as slow,
        running_storages(root / "storages", integrations, s3) as storages,
    ):
        connections = {
            "AIRFLOW_CONN_E2E_REFUSED_S3": aws(settings, secrets.s3_access_key_id, REFUSED_SECRET),
            "AIRFLOW_CONN_E2E_RSA_ENCORD": encord(slow, rsa_key),
            "AIRFLOW_CONN_E2E_SLOW_ENCORD": encord(slow, slow.private_key),
            **storages.environment,
            "PYTHONPATH": os.pathsep.join([base_environment()["PYTHONPATH"], str(POLICY)]),
            **SOON_NOTICED,
        }
        sources = Sources(integrations=integrations)
        with running_stack(root / "stack", settings, sources=sources, extra_environment=connections) as stack:
            prepare_datasets(stack, slow)
            storages.fill()
            yield Bench(stack, slow, rsa_key, storages)


def prepared_secrets(root: Path) -> Any:
    """Make the stack's secrets before it starts, since the second dataset service needs them."""
    from demo.places import Places, load_secrets

    return load_secrets(Places(root).secrets)


def prepare_datasets(stack: Stack, slow: DatasetService) -> None:
    """Make the datasets that the variants name."""
    from encord.orm.dataset import StorageLocation

    stack.encord().create_dataset("Without a folder", StorageLocation.AWS, create_backing_folder=False)
    for title in ("Cleared", "Sharded", "Uploads", "Strict", "Approved", "Unanswered", "Leaving", "Again"):
        stack.encord().create_dataset(title, StorageLocation.AWS, create_backing_folder=True)
    for title in ("Bulk", "Killed", "Ended"):
        slow.client().create_dataset(title, StorageLocation.AWS, create_backing_folder=True)


def write_integrations(folder: Path) -> None:
    """Write demo.yaml, its variants and a broken file."""
    folder.mkdir()
    base = yaml.safe_load(DEMO_FILE.read_text())
    (folder / "demo.yaml").write_text(DEMO_FILE.read_text())
    for name, changes in VARIANTS.items():
        variant = {**base, "name": name}
        for section, fields in changes.items():
            variant[section] = {**variant.get(section, {}), **fields}
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(variant))
    (folder / "broken.yaml").write_text(BROKEN_FILE)


def new_rsa_key() -> str:
    """Return a private key of the wrong kind."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()


def aws(settings: Settings, login: str, password: str) -> str:
    """Return a connection to the stack's S3 server."""
    extra = {"endpoint_url": s3_url(settings), "region_name": "us-east-1"}
    return json.dumps({"conn_type": "aws", "login": login, "password": password, "extra": extra})


def encord(service: DatasetService, key: str) -> str:
    """Return a connection to the second dataset service."""
    extra = {"encord_integration": service.encord_integration}
    return json.dumps({"conn_type": "encord", "host": service.url, "password": key, "extra": extra})


@pytest.fixture(scope="session")
def bulk_keys(bench: Bench) -> list[str]:
    """Put many small images under bulk/, and return their keys."""
    return put_images(bench, [f"bulk/{number // 500:02d}/frame {number:05d}.png" for number in range(4000)])


def put_images(bench: Bench, keys: list[str]) -> list[str]:
    """Put a small image under each key, and return the keys."""
    body = tiny_png()
    local = threading.local()

    def put(key: str) -> None:
        if not hasattr(local, "client"):
            local.client = bench.stack.s3()
        local.client.put_object(Bucket=BUCKET, Key=key, Body=body)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(put, keys))
    return keys


def tiny_png() -> bytes:
    """Return a real PNG of one pixel."""
    import io

    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (1, 1), "teal").save(buffer, "PNG")
    return buffer.getvalue()
