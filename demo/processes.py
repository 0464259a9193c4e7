"""Processes that are never lost: each is written down before it does anything, and ended by that record.

A process runs in a session of its own. A session's id is the id of its first process, and the kernel
gives that number to nobody else while any member lives, so the members can be found and ended even when
the first process is gone. Together with the start time this tells our processes from others for sure;
names are never looked at.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import psutil

from cloud_sync.errors import CloudSyncError
from cloud_sync.run_folder import RunFolder

# The child waits here until its record is on disk. If this process dies before, the child reads the end
# of the pipe and never becomes the server. `exec` keeps the process id and the start time.
GATE = 'read -r _ || exit 75; exec "$@" </dev/null'
TABLE = "processes.json"
SAME_START_S = 1.0
LAST_LINES = 15
POLL_S = 0.1


class StoppingError(CloudSyncError):
    """Nothing more is done, because the stack is being ended."""


class ProcessEndedError(CloudSyncError):
    """A process that should run has ended, or did not become ready; carries the last lines of its log."""


@dataclass(frozen=True, slots=True)
class Command:
    """A process to start.

    Attributes:
        name: What it is called in messages; also the name of its log.
        argv: Program and arguments; the program by its full path.
        env: The whole environment, secrets included: it is never printed.
        cwd: Working directory.
        stop_first: Which processes end before others: those with the higher number first.
        stop_signal: What asks it to end.
        grace_s: Seconds until it is killed after that.
        user_id: Run it as this user and that user's group; only root can.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(repr=False)
    cwd: Path
    stop_first: int = 0
    stop_signal: signal.Signals = signal.SIGTERM
    grace_s: float = 15
    user_id: int | None = None


@dataclass(frozen=True, slots=True)
class ProcessRecord:
    """What is written down about a process: enough to end it, and to tell it from a stranger.

    Attributes:
        pid: Process id, which is also the id of its session.
        started_at: Start time as the kernel knows it, UTC epoch in seconds.
    """

    name: str
    pid: int
    started_at: float
    stop_first: int
    stop_signal: int
    grace_s: float
    log: str

    @classmethod
    def of(cls, command: Command, pid: int, log: Path) -> Self:
        """Describe a process that was started a moment ago."""
        return cls(
            name=command.name,
            pid=pid,
            started_at=psutil.Process(pid).create_time(),
            stop_first=command.stop_first,
            stop_signal=int(command.stop_signal),
            grace_s=command.grace_s,
            log=str(log),
        )

    def leader(self) -> psutil.Process | None:
        """Return the process itself if it still runs, and is the one that was started."""
        return _same_process(self.pid, self.started_at)

    def is_running(self) -> bool:
        """Tell whether the process itself still runs."""
        return self.leader() is not None

    def members(self) -> list[psutil.Process]:
        """Return every living process of the session, and every descendant of its first process."""
        found: dict[int, psutil.Process] = {}
        if leader := self.leader():
            found[self.pid] = leader
            with contextlib.suppress(psutil.Error):
                found |= {child.pid: child for child in leader.children(recursive=True)}
        elif psutil.pid_exists(self.pid) and not _is_only_a_number(self.pid):
            return []  # the number is a stranger's now, so nobody of our session is left
        for process in psutil.process_iter():
            if process.pid not in found and _session_of(process.pid) == self.pid:
                found[process.pid] = process
        return [process for process in found.values() if not _has_ended(process)]


class ProcessTable:
    """The records of all processes of one stack, in `processes.json`.

    Every change is one atomic, flushed replace. Safe to use from several threads.
    """

    def __init__(self, root: Path) -> None:
        self._folder = RunFolder(root)
        self._lock = threading.Lock()

    def records(self) -> list[ProcessRecord]:
        """Return what is written down, oldest first."""
        if not self._folder.exists(TABLE):
            return []
        return [ProcessRecord(**entry) for entry in self._folder.read_json(TABLE)["processes"]]

    def add(self, record: ProcessRecord) -> None:
        """Write a process down."""
        with self._lock:
            self._write([*self.records(), record])

    def remove(self, record: ProcessRecord) -> None:
        """Forget a process, which has ended."""
        with self._lock:
            self._write([other for other in self.records() if other != record])

    def clear(self) -> None:
        """Forget all processes, which have ended."""
        with self._lock:
            self._write([])

    def _write(self, records: Iterable[ProcessRecord]) -> None:
        content: dict[str, Any] = {"processes": [asdict(record) for record in records]}
        self._folder.write_json(TABLE, content)


class Supervisor:
    """Starts the processes of one stack, notices when one ends, and ends them all.

    Args:
        root: Folder of the stack; holds `processes.json` and `logs/`.
    """

    def __init__(self, root: Path) -> None:
        self.logs = root / "logs"
        self.table = ProcessTable(root)
        self.stopping = threading.Event()
        self._started: dict[str, tuple[ProcessRecord, subprocess.Popen[bytes]]] = {}
        self._killed: set[str] = set()
        self._lock = threading.Lock()

    def start(self, command: Command) -> ProcessRecord:
        """Start a process, written down before it does anything.

        Raises:
            StoppingError: The stack is being ended.
            ProcessEndedError: The process cannot be started.
        """
        self.logs.mkdir(parents=True, exist_ok=True)
        log = self.logs / f"{command.name}.log"
        with self._lock:  # so that nothing starts after `stop` looked at what runs
            if self.stopping.is_set():
                raise StoppingError("not started: the demo is being ended.", where=command.name)
            if command.name not in self._killed:  # else it goes on with its log
                log.unlink(missing_ok=True)
            process = _spawn(command, log)
            record = ProcessRecord.of(command, process.pid, log)
            self.table.add(record)
            self._started[command.name] = (record, process)
        assert process.stdin is not None  # noqa: S101 (opened as a pipe)
        with contextlib.suppress(BrokenPipeError), process.stdin as gate:
            gate.write(b"go\n")
        return record

    def run(self, command: Command, timeout_s: float) -> None:
        """Run a process to its end.

        Raises:
            ProcessEndedError: It ended with an error, or not in time; carries the last lines of its log.
        """
        record = self.start(command)
        process = self._started[command.name][1]
        self._wait(lambda: process.poll() is not None, record, timeout_s, "did not finish")
        with self._lock:
            del self._started[command.name]
        self.table.remove(record)
        if process.returncode:
            raise _ended(record, process.returncode)

    def wait_until(
        self,
        ready: Callable[[], bool],
        record: ProcessRecord,
        timeout_s: float,
        *,
        interval_s: float = POLL_S,
    ) -> None:
        """Wait until a process is ready, looking every `interval_s`.

        Raises:
            ProcessEndedError: It, or another process of the stack, ended; or it is not ready in time.
        """

        def checked() -> bool:
            self.check()
            return ready()

        self._wait(checked, record, timeout_s, "is not ready", interval_s)

    def kill(self, name: str) -> None:
        """Kill a process and all it started, as a crash of its machine does, and forget it.

        It may be started again then. Nothing is asked to end, so nothing can clean up.
        """
        with self._lock:
            record, process = self._started.pop(name)
            self._killed.add(name)
        while members := record.members():
            for member in members:
                with contextlib.suppress(psutil.NoSuchProcess):
                    member.kill()
            process.poll()
        process.wait()
        self.table.remove(record)

    def check(self) -> None:
        """Notice a process that has ended.

        Raises:
            ProcessEndedError: Names the process; carries its exit code and the last lines of its log.
        """
        with self._lock:
            started = list(self._started.values())
        for record, process in started:
            if (code := process.poll()) is not None and not self.stopping.is_set():
                raise _ended(record, code)

    def stop(self) -> None:
        """End every process of the stack; returns when none is left."""
        self.stopping.set()
        with self._lock:
            started = [process for _, process in self._started.values()]
        end_all(self.table.records(), reap=lambda: [process.poll() for process in started])
        self.table.clear()

    def _wait(
        self,
        done: Callable[[], bool],
        record: ProcessRecord,
        timeout_s: float,
        late: str,
        interval_s: float = POLL_S,
    ) -> None:
        deadline = time.monotonic() + timeout_s
        while not done():
            if self.stopping.wait(interval_s):
                raise StoppingError("the demo is being ended.", where=record.name)
            if time.monotonic() > deadline:
                raise ProcessEndedError(
                    f"{late} after {timeout_s:g} s.{_last_lines(Path(record.log))}",
                    where=record.name,
                    remedy=f"\nThe whole log: {record.log}",
                )


def end_all(records: list[ProcessRecord], reap: Callable[[], object] = lambda: None) -> int:
    """End every process of these records that still runs, and all they started.

    Those with the highest `stop_first` go first; each gets its signal, its grace, then SIGKILL.

    Args:
        records: What was written down when they were started.
        reap: Collects ended children of this process, so that they do not look alive.

    Returns:
        How many processes were found running.
    """
    found = 0
    for stage in sorted({record.stop_first for record in records}, reverse=True):
        stage_records = [record for record in records if record.stop_first == stage]
        members = {record: record.members() for record in stage_records}
        found += sum(len(processes) for processes in members.values())
        for record, processes in members.items():
            _ask_to_end(record, processes)
        _wait_and_kill(members, reap)
    return found


def _ask_to_end(record: ProcessRecord, members: list[psutil.Process]) -> None:
    # The first process ends its own children in good order; without it each member is asked itself.
    leader = record.leader()
    for process in [leader] if leader else members:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(record.stop_signal)


def _wait_and_kill(members: Mapping[ProcessRecord, list[psutil.Process]], reap: Callable[[], object]) -> None:
    deadlines = {record: time.monotonic() + record.grace_s for record in members}
    living = dict(members)
    while living:
        reap()
        for record, known in list(living.items()):
            # Once the first process is gone, what it left behind has no reason to go on.
            late = time.monotonic() > deadlines[record] or not record.is_running()
            left = {process for process in [*known, *record.members()] if not _has_ended(process)}
            if late:
                for process in left:
                    with contextlib.suppress(psutil.NoSuchProcess):
                        process.kill()
            if not left:
                del living[record]
        if living:
            time.sleep(POLL_S)


def _spawn(command: Command, log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as output:
        try:
            return subprocess.Popen(
                ["/bin/sh", "-c", GATE, command.name, *command.argv],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(command.env),
                cwd=command.cwd,
                start_new_session=True,
                user=command.user_id,
                extra_groups=None if command.user_id is None else (),
            )
        except OSError as error:
            raise ProcessEndedError(f"cannot be started: {error}.", where=command.name) from error


def _ended(record: ProcessRecord, code: int) -> ProcessEndedError:
    how = f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"
    return ProcessEndedError(
        f"ended unexpectedly with {how}.{_last_lines(Path(record.log))}",
        where=record.name,
        remedy=f"\nThe whole log: {record.log}",
    )


def _last_lines(log: Path) -> str:
    try:
        lines = log.read_text(errors="replace").rstrip().splitlines()[-LAST_LINES:]
    except OSError:
        return ""
    return " Its last lines:\n  " + "\n  ".join(lines) if lines else " It wrote nothing."


def _same_process(pid: int, started_at: float) -> psutil.Process | None:
    try:
        process = psutil.Process(pid)
        is_same = abs(process.create_time() - started_at) <= SAME_START_S
    except psutil.NoSuchProcess:
        return None
    return process if is_same and not _has_ended(process) else None


def _has_ended(process: psutil.Process) -> bool:
    """Tell whether a process is gone for good, its sockets closed.

    A process whose first thread has ended looks like a zombie while the others still run.
    """
    try:
        if not process.is_running():
            return True
        return bool(process.status() == psutil.STATUS_ZOMBIE and process.num_threads() <= 1)
    except psutil.NoSuchProcess:
        return True


def _is_only_a_number(pid: int) -> bool:
    try:
        return _has_ended(psutil.Process(pid))
    except psutil.NoSuchProcess:
        return True


def _session_of(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except OSError:
        return None
