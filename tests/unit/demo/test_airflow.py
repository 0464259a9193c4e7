"""Airflow's environment: nothing of the user's own Airflow or cloud accounts, everything on loopback."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from demo.airflow import POOL, Sources, airflow_environment, part_commands, write_environment
from demo.places import PROJECT, Places, Secrets, load_secrets
from demo.servers import base_environment
from demo.settings import Settings


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(tmp_path)


@pytest.fixture
def secrets(places: Places) -> Secrets:
    return load_secrets(places.secrets)


def test_what_the_user_has_set_for_other_work_is_left_behind(
    places: Places, secrets: Secrets, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AIRFLOW__CORE__FOO", "AIRFLOW_CONN_X", "AWS_PROFILE", "ENCORD_SSH_KEY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "mine")
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("LANG", "C.UTF-8")
    environment = airflow_environment(Settings(), places, secrets, Sources())
    assert "mine" not in environment.values()
    assert "PYTHONDONTWRITEBYTECODE" not in environment
    assert environment["LANG"] == "C.UTF-8"


def test_the_code_of_this_checkout_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "cloud_sync.py").write_text("raise AssertionError('another one')")
    code = "import cloud_sync, cloud_sync_airflow as plugin; print(cloud_sync.__file__, plugin.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=base_environment(),
        cwd="/",
        capture_output=True,
        text=True,
        check=True,
    )
    core, plugin = map(Path, done.stdout.split())
    assert core.is_relative_to(PROJECT / "include")
    assert plugin.is_relative_to(PROJECT / "plugins")


def test_the_connections_are_those_that_the_integration_names(places: Places, secrets: Secrets) -> None:
    environment = airflow_environment(Settings(), places, secrets, Sources())
    s3 = json.loads(environment["AIRFLOW_CONN_DEMO_S3"])
    encord = json.loads(environment["AIRFLOW_CONN_DEMO_ENCORD"])
    assert (s3["conn_type"], s3["extra"]["endpoint_url"]) == ("aws", "http://127.0.0.1:18333")
    assert (encord["conn_type"], encord["host"]) == ("encord", "http://127.0.0.1:18081")
    assert encord["password"] == secrets.encord_ssh_key
    assert encord["extra"] == {"encord_integration": "Demo bucket"}


def test_folders_and_further_variables_are_the_callers(
    places: Places, secrets: Secrets, tmp_path: Path
) -> None:
    sources = Sources(dags=tmp_path / "d", integrations=tmp_path / "i")
    extra = {"AIRFLOW__CORE__PARALLELISM": "2"}
    environment = airflow_environment(Settings(), places, secrets, sources, extra)
    assert environment["AIRFLOW__CORE__DAGS_FOLDER"] == str(tmp_path / "d")
    assert environment["AIRFLOW__CLOUD_SYNC__INTEGRATIONS_FOLDER"] == str(tmp_path / "i")
    assert environment["AIRFLOW__CLOUD_SYNC__STATE_FOLDER"] == str(tmp_path / "state")
    assert environment["AIRFLOW__CORE__PARALLELISM"] == "2"


def test_the_pool_of_upload_jobs_is_set(places: Places, secrets: Secrets) -> None:
    environment = airflow_environment(Settings(), places, secrets, Sources())
    assert environment["AIRFLOW__CLOUD_SYNC__POOL"] == POOL


def test_everybody_signs_in_and_nobody_from_outside_gets_there(places: Places, secrets: Secrets) -> None:
    environment = airflow_environment(Settings(), places, secrets, Sources())
    assert environment["AIRFLOW__API__HOST"] == "127.0.0.1"
    assert "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS" not in environment
    passwords = Path(environment["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"])
    assert passwords.stat().st_mode & 0o777 == 0o600
    assert json.loads(passwords.read_text()) == {"admin": secrets.airflow_password}
    assert len(environment["AIRFLOW__API_AUTH__JWT_SECRET"]) >= 64


def test_a_shell_that_reads_the_file_speaks_to_this_stack(places: Places, secrets: Secrets) -> None:
    extra = {"AIRFLOW__CORE__FOO": "a 'quoted' $value"}
    environment = airflow_environment(Settings(), places, secrets, Sources(), extra)
    write_environment(environment, places)
    assert places.airflow_environment.stat().st_mode & 0o777 == 0o600
    command = f". {places.airflow_environment}; command -v python; env -0"
    shell = {"PATH": "/usr/bin:/bin"}
    done = subprocess.run(["/bin/sh", "-c", command], env=shell, capture_output=True, text=True, check=True)
    python, _, variables = done.stdout.partition("\n")
    assert Path(python).parent == Path(sys.executable).parent
    found = dict(one.split("=", 1) for one in variables.split("\0") if one)
    airflow = {name: value for name, value in environment.items() if name.startswith("AIRFLOW_")}
    assert {name: found.get(name) for name in airflow} == airflow


def test_no_secret_shows_in_a_command(places: Places, secrets: Secrets) -> None:
    environment = airflow_environment(Settings(), places, secrets, Sources())
    text = repr(part_commands(environment, places))
    for secret in (secrets.postgres_password, secrets.airflow_password, secrets.s3_secret_access_key):
        assert secret not in text
