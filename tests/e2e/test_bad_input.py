"""What is wrong fails at once, with one clear line, and sends nothing."""

from __future__ import annotations

import pytest

from tests.e2e.conftest import Bench

# integration -> the task that fails, and what its error says: place, problem, remedy
FAILURES = {
    "unknown-dataset": ("plan", ["No Such Dataset", "Correct the name"]),
    "missing-bucket": ("list", ["no-such-bucket", "the bucket does not exist", "Check `bucket`"]),
    "refused-credentials": ("list", ["secret key", "connection"]),
    "missing-connection": ("list", ["connection no_such_connection", "does not exist", "Add it"]),
    "missing-encord-connection": ("plan", ["connection no_such_encord", "does not exist", "Add it"]),
    "rsa-key": ("plan", ["connection e2e_rsa_encord", "RSA", "ssh-keygen -t ed25519"]),
}


@pytest.mark.parametrize("name", FAILURES)
def test_a_wrong_setting_fails_at_once_and_sends_nothing(bench: Bench, name: str) -> None:
    task_id, said = FAILURES[name]
    run = bench.run(name)
    assert run.state == "failed"
    tasks = bench.tasks(run)
    failed = [task for each in tasks.values() for task in each if task.state == "failed"]
    assert [(task.task_id, task.try_number) for task in failed] == [(task_id, 1)]
    (line,) = [line for line in bench.log(run, task_id).splitlines() if "Task failed with exception" in line]
    for part in said:
        assert part in line
    assert not list(bench.run_folder(run).glob("manifests/*"))
    assert not list(bench.run_folder(run).glob("jobs/*"))


def test_a_broken_file_is_an_import_error_and_stops_nobody(bench: Bench) -> None:
    errors = bench.stack.api.import_errors()
    assert set(errors) == {"integration_errors.py"}
    (text,) = errors.values()
    for part in ("broken.yaml", "line 4", "storage.conection_id", "Did you mean connection_id?"):
        assert part in text
    assert not bench.stack.api.has_dag("sync__broken")
    assert bench.stack.api.has_dag("sync__demo")
