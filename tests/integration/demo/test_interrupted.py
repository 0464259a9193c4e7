"""Ctrl-C while the demo starts: it ends with 130, and nothing that it started is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from demo.places import PROJECT
from demo.processes import ProcessRecord
from demo.settings import Settings, variable
from demo.stack import end_stack, stack_processes

RECORDED_FIRST = 3  # the S3 server, PostgreSQL and the dataset service, at least two of them up
PATIENCE_S = 90


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """A folder for the demo, of which nothing runs when the test has ended, however it ended."""
    yield tmp_path / "demo"
    end_stack(tmp_path / "demo")


@pytest.fixture
def demo(root: Path, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """`python -m demo run` as a process of its own, as from a shell."""
    ports = {variable(name): str(value) for name, value in asdict(Settings.on_free_ports()).items()}
    process = subprocess.Popen(
        [sys.executable, "-m", "demo", "run", "--root", str(root)],
        cwd=PROJECT,
        env={**os.environ, **ports},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with process:
        yield process
        process.kill()


def records_until_the_end(demo: subprocess.Popen[str], root: Path) -> Iterator[set[ProcessRecord]]:
    """Yield all records that were ever seen, again and again, until the demo has ended."""
    seen: set[ProcessRecord] = set()
    deadline = time.monotonic() + PATIENCE_S
    while demo.poll() is None:
        assert time.monotonic() < deadline, "the demo has not ended"
        seen |= set(stack_processes(root))
        yield seen
        time.sleep(0.02)


def test_an_interrupted_demo_leaves_no_process(demo: subprocess.Popen[str], root: Path) -> None:
    interrupted = False
    seen: set[ProcessRecord] = set()
    running = 0
    for seen in records_until_the_end(demo, root):
        if not interrupted and len(seen) >= RECORDED_FIRST:
            running = sum(record.is_running() for record in seen)
            demo.send_signal(signal.SIGINT)
            interrupted = True
    output, _ = demo.communicate()
    assert demo.returncode == 130, output
    assert "Interrupted. Everything that was started has been ended." in output
    assert running >= RECORDED_FIRST - 1, "there was nothing to end"
    # By process id and start time; `members` also finds what a first process would have left behind.
    assert [record.name for record in seen if record.is_running() or record.members()] == []
    assert stack_processes(root) == []


def test_a_second_signal_does_not_cut_the_ending_short(demo: subprocess.Popen[str], root: Path) -> None:
    signals = iter([signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
    seen: set[ProcessRecord] = set()
    for seen in records_until_the_end(demo, root):
        if len(seen) >= RECORDED_FIRST and (number := next(signals, None)):
            demo.send_signal(number)
    assert demo.wait() == 130
    assert [record.name for record in seen if record.is_running() or record.members()] == []
