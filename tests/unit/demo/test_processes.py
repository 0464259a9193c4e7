"""Which process a record means: the one that was started, and no other with its number."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import psutil

from demo.processes import Command, ProcessRecord, ProcessTable, end_all


def record_of(pid: int, *, started_at: float | None = None) -> ProcessRecord:
    began = psutil.Process(pid).create_time() if started_at is None else started_at
    return ProcessRecord("me", pid, began, 0, signal.SIGTERM, 1.0, "/nowhere.log")


def test_the_same_number_and_start_time_is_the_process() -> None:
    leader = record_of(os.getpid()).leader()
    assert leader is not None
    assert leader.pid == os.getpid()


def test_the_same_number_with_another_start_time_is_a_stranger_who_is_left_alone() -> None:
    stranger = record_of(os.getpid(), started_at=psutil.Process().create_time() - 60)
    assert not stranger.is_running()
    assert stranger.members() == []
    assert end_all([stranger]) == 0


def test_a_number_that_nobody_has_is_nobody() -> None:
    nobody = record_of(2**30, started_at=1.0)
    assert nobody.members() == []


def test_records_survive_on_disk(tmp_path: Path) -> None:
    first, second = record_of(os.getpid()), record_of(os.getppid())
    table = ProcessTable(tmp_path)
    assert table.records() == []
    table.add(first)
    table.add(second)
    assert ProcessTable(tmp_path).records() == [first, second]
    table.remove(first)
    assert ProcessTable(tmp_path).records() == [second]
    table.clear()
    assert json.loads((tmp_path / "processes.json").read_text()) == {"processes": []}


def test_a_command_does_not_show_its_environment(tmp_path: Path) -> None:
    command = Command("name", ("/bin/true",), {"PASSWORD": "hunter2"}, tmp_path)
    assert "hunter2" not in repr(command)
