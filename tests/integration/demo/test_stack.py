"""The servers of a stack: really up, really gone; the lock; taken ports."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import psycopg2
import pytest

from cloud_sync.errors import ConfigError
from demo import stack as module
from demo.airflow import airflow_url
from demo.airflow_api import AirflowApi
from demo.content import BUCKET
from demo.media import bucket_content
from demo.places import PROJECT, Places, load_secrets
from demo.processes import ProcessRecord, Supervisor
from demo.servers import (
    create_cluster,
    create_database,
    find_postgres,
    postgres_command,
    s3_client,
    s3_command,
    s3_is_ready,
    scratch_folder,
)
from demo.settings import Settings
from demo.stack import BusyError, Stack, end_stack, ending, locked, running_settings, start_stack


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """A stack of which nothing runs yet."""
    settings, places = Settings.on_free_ports(), Places(tmp_path / "demo")
    places.make_fresh()
    secrets = load_secrets(places.secrets)
    stack = Stack(
        settings=settings,
        places=places,
        secrets=secrets,
        supervisor=Supervisor(places.root),
        api=AirflowApi(airflow_url(settings), "admin", "x"),
        content=bucket_content(),
        environment={},
    )
    with ending(stack):
        yield stack


def taken(settings: Settings) -> list[int]:
    found = []
    for use in settings.port_uses():
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", use.port)) == 0:
                found.append(use.port)
    return found


def test_postgres_is_really_up_and_really_gone(stack: Stack) -> None:
    postgres = find_postgres(stack.places)
    create_cluster(postgres, stack.secrets)
    record = stack.supervisor.start(postgres_command(stack.settings, postgres))
    stack.supervisor.wait_until(lambda: create_database(stack.settings, stack.secrets), record, 30)
    login = {
        "host": "127.0.0.1",
        "port": stack.settings.postgres_port,
        "dbname": "airflow",
        "user": "airflow",
    }
    connection = psycopg2.connect(**login, password=stack.secrets.postgres_password)
    with connection, connection.cursor() as cursor:
        cursor.execute("select count(*) from pg_stat_activity where pid = pg_backend_pid()")
        assert cursor.fetchone() == (1,)
    with pytest.raises(psycopg2.OperationalError, match="password"):
        psycopg2.connect(**login, password="wrong")
    members = record.members()
    assert len(members) > 3

    stack.stop()  # with a connection open

    assert taken(stack.settings) == []
    assert not any(process.is_running() for process in members)
    assert not scratch_folder(stack.places).exists()
    assert stack.supervisor.table.records() == []


def test_root_in_a_closed_folder_still_gets_a_database(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() == 0:
        monkeypatch.setattr("demo.servers._reachable_by_all", lambda path: False)
    postgres = find_postgres(stack.places)
    create_cluster(postgres, stack.secrets)
    record = stack.supervisor.start(postgres_command(stack.settings, postgres))
    stack.supervisor.wait_until(lambda: create_database(stack.settings, stack.secrets), record, 30)
    if os.geteuid() == 0:
        assert postgres.programs.is_relative_to(scratch_folder(stack.places))


def test_the_s3_server_holds_exactly_the_content_and_is_really_gone(stack: Stack) -> None:
    module._start_storage(stack, lambda message: None)
    found = {}
    for page in stack.s3().get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
        found |= {item["Key"]: item["Size"] for item in page["Contents"]}
    assert found == {medium.key: len(medium.body) for medium in stack.content.everything()}
    assert len(taken(stack.settings)) >= 8

    stack.stop()

    assert taken(stack.settings) == []
    assert not list(Path("/tmp").glob(f"seaweedfs-*-{stack.settings.s3_internal_port}.sock"))  # noqa: S108


def test_the_s3_server_refuses_other_secrets(stack: Stack) -> None:
    record = stack.supervisor.start(s3_command(stack.settings, stack.places, stack.secrets, (BUCKET,)))
    client = stack.s3()
    stack.supervisor.wait_until(lambda: s3_is_ready(client, (BUCKET,)), record, 30)
    others = load_secrets(stack.places.root / "others")
    assert not s3_is_ready(s3_client(stack.settings, others), (BUCKET,))


def test_a_lane_that_fails_ends_the_others_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(stack: Stack, progress: module.Progress) -> None:
        raise ConfigError("cannot start.", where="dataset-service")

    monkeypatch.setattr(module, "_start_dataset_service", refuse)
    settings = Settings.on_free_ports()
    with pytest.raises(ConfigError, match="dataset-service: cannot start"):
        start_stack(tmp_path / "demo", settings)
    assert taken(settings) == []
    assert running_settings(tmp_path / "demo") is None
    assert end_stack(tmp_path / "demo") == 0


def test_a_taken_port_is_told_before_anything_starts(tmp_path: Path) -> None:
    settings = Settings.on_free_ports()
    with socket.socket() as other:
        other.bind(("127.0.0.1", settings.s3_port))
        other.listen()
        with pytest.raises(ConfigError) as caught:
            start_stack(tmp_path / "demo", settings)
    assert f"Port {settings.s3_port}, wanted by SeaweedFS: S3, is taken by " in str(caught.value)
    assert f"(process {os.getpid()})" in str(caught.value)
    assert "CLOUD_SYNC_DEMO_S3_PORT=" in str(caught.value)
    assert not (tmp_path / "demo" / "processes.json").exists() or end_stack(tmp_path / "demo") == 0


def test_a_stack_counts_as_running_when_all_of_it_does_and_is_ready(stack: Stack) -> None:
    root = stack.places.root
    module._describe(stack, ready=True)
    assert running_settings(root) is None
    record = ProcessRecord("me", os.getpid(), psutil.Process().create_time(), 0, 15, 1, "/nowhere.log")
    stack.supervisor.table.add(record)
    assert running_settings(root) == stack.settings
    module._describe(stack, ready=False)
    assert running_settings(root) is None
    module._describe(stack, ready=True)
    stack.supervisor.table.add(replace(record, started_at=record.started_at - 60))
    assert running_settings(root) is None
    stack.supervisor.table.clear()


def test_only_one_at_a_time_and_the_other_is_named(tmp_path: Path) -> None:
    places = Places(tmp_path)
    with locked(places), pytest.raises(BusyError, match=f"process {os.getpid()} is busy"), locked(places):
        pass
    with locked(places):
        pass


def command_line(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "demo", *arguments]
    return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False, timeout=60)


def test_nothing_to_end_and_nothing_to_tell(tmp_path: Path) -> None:
    for root in (tmp_path / "never-used", tmp_path):
        assert command_line("down", "--root", str(root)).stdout == "Nothing is running.\n"
        told = command_line("status", "--root", str(root))
        assert (told.returncode, told.stdout) == (1, "Nothing is running.\n")


def test_a_wrong_setting_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOUD_SYNC_DEMO_S3_PORT", "eighty")
    done = command_line("run", "--root", str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.strip() == (
        "error: CLOUD_SYNC_DEMO_S3_PORT: 'eighty' is not a whole number. Give digits only."
    )
    assert not (tmp_path / "processes.json").exists()
