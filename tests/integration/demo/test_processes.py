"""Real processes: written down before they begin, ended whole, whatever happened to their owner."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from demo import processes as module
from demo.processes import (
    Command,
    ProcessEndedError,
    ProcessRecord,
    StoppingError,
    Supervisor,
    end_all,
)

ENVIRONMENT = {"PATH": os.environ["PATH"]}
STUBBORN = "trap '' TERM; echo ready; while :; do sleep 0.2; done"
WITH_CHILD = "sleep 300 & echo ready; wait"


def shell(name: str, script: str, cwd: Path, *, grace_s: float = 5, stop_first: int = 0) -> Command:
    argv = ("/bin/sh", "-c", script)
    return Command(name, argv, ENVIRONMENT, cwd, grace_s=grace_s, stop_first=stop_first)


def wait_for(condition: Callable[[], bool], timeout_s: float = 10) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "did not come about"
        time.sleep(0.02)


def is_gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    supervisor = Supervisor(tmp_path)
    yield supervisor
    supervisor.stop()


def start_ready(supervisor: Supervisor, command: Command) -> ProcessRecord:
    record = supervisor.start(command)
    supervisor.wait_until(lambda: "ready" in Path(record.log).read_text(), record, 10)
    return record


def test_a_process_is_written_down_as_what_it_becomes(supervisor: Supervisor, tmp_path: Path) -> None:
    record = start_ready(supervisor, shell("server", "echo ready; exec sleep 300", tmp_path))
    assert supervisor.table.records() == [record]
    leader = record.leader()
    assert leader is not None
    assert leader.cmdline() == ["sleep", "300"]
    assert os.getsid(record.pid) == record.pid


def test_stopping_ends_the_process_and_its_children(supervisor: Supervisor, tmp_path: Path) -> None:
    record = start_ready(supervisor, shell("parent", WITH_CHILD, tmp_path))
    wait_for(lambda: len(record.members()) == 2)
    members = record.members()
    supervisor.stop()
    assert all(is_gone(process) for process in members)
    assert supervisor.table.records() == []


def test_one_that_ignores_the_signal_is_killed_after_its_grace(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    record = start_ready(supervisor, shell("stubborn", STUBBORN, tmp_path, grace_s=0.5))
    began = time.monotonic()
    supervisor.stop()
    assert 0.5 <= time.monotonic() - began < 5
    assert not record.is_running()


def test_children_are_ended_when_their_parent_is_gone(supervisor: Supervisor, tmp_path: Path) -> None:
    record = start_ready(supervisor, shell("parent", WITH_CHILD, tmp_path))
    wait_for(lambda: len(record.members()) == 2)
    members = record.members()
    os.kill(record.pid, signal.SIGKILL)
    wait_for(lambda: not record.is_running())
    (orphan,) = record.members()
    assert orphan in members
    supervisor.stop()
    assert is_gone(orphan)


def test_a_child_in_a_session_of_its_own_is_ended_too(supervisor: Supervisor, tmp_path: Path) -> None:
    script = f"import subprocess, sys; c = subprocess.Popen(['sleep', '300'], start_new_session=True); print('ready', flush=True); c.wait()"  # noqa: F541, E501
    command = Command("runaway", (sys.executable, "-c", script), ENVIRONMENT, tmp_path, grace_s=2)
    record = start_ready(supervisor, command)
    members = record.members()
    assert len(members) == 2
    supervisor.stop()
    assert all(is_gone(process) for process in members)


def test_those_that_depend_on_others_end_first(supervisor: Supervisor, tmp_path: Path) -> None:
    script = "trap 'echo {0} >> order; exit' TERM; echo ready; while :; do sleep 0.05; done"
    for name, rank in (("database", 0), ("scheduler", 2), ("service", 1)):
        start_ready(supervisor, shell(name, script.format(name), tmp_path, stop_first=rank))
    supervisor.stop()
    assert (tmp_path / "order").read_text().split() == ["scheduler", "service", "database"]


def test_one_that_ends_is_reported_with_the_end_of_its_log(supervisor: Supervisor, tmp_path: Path) -> None:
    script = "seq 1 40; echo the reason >&2; exit 3"
    record = supervisor.start(shell("server", script, tmp_path))
    with pytest.raises(ProcessEndedError) as caught:
        supervisor.wait_until(lambda: False, record, 10)
    text = str(caught.value)
    assert text.startswith("server: ended unexpectedly with exit code 3. Its last lines:\n")
    assert "the reason" in text
    assert f"The whole log: {record.log}" in text
    assert "\n  5\n" not in text


def test_another_one_that_ends_is_reported_as_well(supervisor: Supervisor, tmp_path: Path) -> None:
    healthy = start_ready(supervisor, shell("healthy", "echo ready; exec sleep 300", tmp_path))
    supervisor.start(shell("dying", "kill -9 $$", tmp_path))
    with pytest.raises(
        ProcessEndedError, match=r"dying: ended unexpectedly with signal SIGKILL\. It wrote nothing"
    ):
        supervisor.wait_until(lambda: False, healthy, 10)


def test_one_that_does_not_become_ready_is_reported(supervisor: Supervisor, tmp_path: Path) -> None:
    record = supervisor.start(shell("slow", "echo still loading; exec sleep 300", tmp_path))
    with pytest.raises(ProcessEndedError, match=r"slow: is not ready after 0\.3 s\.(.|\n)*still loading"):
        supervisor.wait_until(lambda: False, record, 0.3)


def test_one_that_runs_to_its_end_is_forgotten(supervisor: Supervisor, tmp_path: Path) -> None:
    supervisor.run(shell("migrate", "exit 0", tmp_path), timeout_s=10)
    assert supervisor.table.records() == []
    supervisor.check()
    with pytest.raises(ProcessEndedError, match="migrate: ended unexpectedly with exit code 7"):
        supervisor.run(shell("migrate", "exit 7", tmp_path), timeout_s=10)


def test_nothing_starts_once_the_stack_is_being_ended(supervisor: Supervisor, tmp_path: Path) -> None:
    supervisor.stop()
    with pytest.raises(StoppingError, match="late: not started"):
        supervisor.start(shell("late", "true", tmp_path))


def test_a_program_that_does_not_exist_is_reported(supervisor: Supervisor, tmp_path: Path) -> None:
    record = supervisor.start(Command("ghost", ("/no/such/program",), ENVIRONMENT, tmp_path))
    with pytest.raises(
        ProcessEndedError, match=r"ghost: ended unexpectedly with exit code 127(.|\n)*no/such"
    ):
        supervisor.wait_until(lambda: False, record, 10)


def test_a_child_whose_owner_dies_before_it_is_written_down_does_nothing(tmp_path: Path) -> None:
    process = module._spawn(shell("server", "touch began", tmp_path), tmp_path / "log")
    assert process.stdin is not None
    process.stdin.close()  # what the kernel does when the owner is killed
    assert process.wait(10) == 75
    assert not (tmp_path / "began").exists()


OWNER = """
import os, sys
from pathlib import Path
from demo.processes import Command, Supervisor
root = Path(sys.argv[1])
supervisor = Supervisor(root)
for name in ("one", "two"):
    script = "sleep 300 & echo ready; wait"
    record = supervisor.start(Command(name, ("/bin/sh", "-c", script), {"PATH": os.environ["PATH"]}, root))
    supervisor.wait_until(lambda: "ready" in Path(record.log).read_text(), record, 10)
os.kill(os.getpid(), 9)
"""


def test_what_a_killed_owner_left_is_found_and_ended(tmp_path: Path) -> None:
    owner = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(OWNER), str(tmp_path)], check=False, timeout=30
    )
    assert owner.returncode == -signal.SIGKILL
    heir = Supervisor(tmp_path)
    left = [process for record in heir.table.records() for process in record.members()]
    assert len(left) == 4
    assert end_all(heir.table.records()) == 4
    assert all(is_gone(process) for process in left)
    heir.stop()
    assert heir.table.records() == []


def test_a_killed_process_is_gone_with_all_it_started_and_may_be_started_again(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    command = shell("server", WITH_CHILD, tmp_path)
    first = start_ready(supervisor, command)
    members = first.members()
    assert len(members) == 2
    supervisor.kill("server")
    assert all(map(is_gone, members))
    assert supervisor.table.records() == []
    supervisor.check()
    second = supervisor.start(command)
    assert supervisor.table.records() == [second]
    wait_for(lambda: Path(second.log).read_text().count("ready") == 2)  # its log goes on
