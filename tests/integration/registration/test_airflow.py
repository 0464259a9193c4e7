"""The register task in Airflow's own task runner: it defers, its trigger polls, it comes back."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from cloud_sync.registration.model import read_outcome
from cloud_sync.run_folder import RunFolder
from demo.places import CODE, PROJECT
from tests.integration.registration.conftest import BUCKET
from tests.servers import program, running_dataset_service
from tests.unit.registration.keys import ed25519_key

DAG_FILE = '''
import json, os
from airflow.sdk import DAG
from cloud_sync.integration import Integration
from cloud_sync_airflow.operators.register import RegisterOperator
from cloud_sync_airflow.operators.stage import StageOperator
from cloud_sync_airflow.retry import CloudSyncRetryPolicy

INTEGRATION = Integration.model_validate_json(os.environ["TEST_INTEGRATION"]).model_dump(mode="json")


class Prepare(StageOperator):
    """Leaves what the build stage would: a target, a manifest and the index."""

    def execute(self, context):
        from cloud_sync.manifest.model import ManifestIndex, write_index
        from cloud_sync.registration.model import write_target
        from cloud_sync.registration.target import resolve_target
        from cloud_sync_airflow.hooks.encord import EncordHook
        from tests.unit.registration.fakes import write_manifest

        folder = self.run_folder(context)
        self.freeze_integration(folder, Integration.model_validate(INTEGRATION))
        hook = EncordHook("encord_test")
        target = resolve_target(
            hook.get_conn(), dataset="Streets", encord_integration=hook.encord_integration, folder=None,
            integration_name="streets",
        )
        write_target(folder, target)
        entry = write_manifest(folder, 0, *json.loads(os.environ["TEST_URLS"]))
        write_index(folder, ManifestIndex((entry,), shards=1))
        return [0]


with DAG("register_streets", schedule=None, default_args={"retries": 0}) as dag:
    shards = Prepare(task_id="prepare", integration=INTEGRATION)
    RegisterOperator.partial(
        task_id="register", integration=INTEGRATION, hold_s=0, first_poll_s=0.2,
        map_index_template="{{ task.label }}", retry_policy=CloudSyncRetryPolicy(),
    ).expand(shard=shards.output)

if __name__ == "__main__":
    run = dag.test()
    print(json.dumps([[ti.task_id, ti.map_index, str(ti.state), ti.rendered_map_index]
                      for ti in run.get_task_instances()]))
'''


@pytest.fixture
def service(tmp_path, s3):
    busy = {"fault": "refuse", "path": "data-upload-jobs/", "status": 503, "times": 2}
    with running_dataset_service(tmp_path / "service", s3, [BUCKET], faults=[busy]) as service:
        service.client().create_dataset("Streets", 4)
        yield service


@pytest.fixture
def environment(tmp_path, service, s3):
    integration = {
        "name": "streets",
        "storage": {"provider": "s3", "connection_id": "aws", "bucket": BUCKET},
        "target": {"connection_id": "encord_test", "dataset": "Streets"},
    }
    connection = {
        "conn_type": "encord",
        "host": service.url,
        "password": service.private_key.replace("\n", "\\n"),
        "extra": {"encord_integration": service.encord_integration},
    }
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, (*CODE, PROJECT))),
        "AIRFLOW_HOME": str(tmp_path / "airflow"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(tmp_path / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CLOUD_SYNC__STATE_FOLDER": str(tmp_path / "state"),
        "AIRFLOW_CONN_ENCORD_TEST": json.dumps(connection),
        "TEST_INTEGRATION": json.dumps(integration),
        "TEST_URLS": json.dumps([s3.url(BUCKET, key) for key in ("0.jpg", "1.jpg", "bad.jpg")]),
    }


def run(command: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout + done.stderr


def test_the_task_defers_and_comes_back_and_shows_no_secret(tmp_path, environment, service):
    dag_file = tmp_path / "dags" / "register_streets.py"
    dag_file.parent.mkdir()
    dag_file.write_text(DAG_FILE)
    run([program("airflow"), "db", "migrate"], environment)
    run([program("airflow"), "dags", "reserialize"], environment)
    output = run([sys.executable, str(dag_file)], environment)
    states = {tuple(one) for one in json.loads(output[output.rindex("[[") : output.rindex("]]") + 2])}
    assert states == {("prepare", -1, "success", None), ("register", 0, "success", "shard 0")}
    assert "UploadJobTrigger" in output
    (root,) = (tmp_path / "state" / "runs" / "streets").iterdir()
    outcome = read_outcome(RunFolder(root), 0)
    assert (outcome.status, outcome.done, outcome.failed) == ("done", 2, 1)
    files = [path for path in (*root.rglob("*"), *(tmp_path / "airflow").rglob("*")) if path.is_file()]
    texts = [output, *(path.read_bytes().decode(errors="replace") for path in files)]
    for line in service.private_key.splitlines()[1:-1]:
        assert not [text for text in texts if line in text]


def test_the_test_button_of_the_connection_form(open_desk, monkeypatch):
    """As Airflow's API server does it: the form's values as a connection in the environment."""
    from airflow.models.connection import Connection

    service = open_desk().service
    typed = {"host": service.url, "password": service.private_key.replace("\n", "")}

    def press(**changes):
        form = Connection(conn_id="typed", conn_type="encord", **{**typed, **changes})
        monkeypatch.setenv("AIRFLOW_CONN_TYPED", form.get_uri())
        return form.test_connection()

    title = service.encord_integration
    good, message = press(extra={"encord_integration": title})
    assert (good, message) == (
        True,
        f"Connected to {service.url}. The user sees 1 Encord integrations; it has {title!r}.",
    )
    good, message = press(extra={"encord_integration": "test store"})
    assert not good
    assert "Near titles: 'test storage'" in message
    good, message = press(password=ed25519_key())
    assert not good
    assert "does not accept the SSH key" in message
