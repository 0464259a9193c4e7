"""SIGKILL of every process that a run needs, one after the other, each started again at once."""

from __future__ import annotations

import contextlib
import logging
import random
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property

import psutil

from cloud_sync.run_folder import RunFolder
from demo.airflow import part_commands
from demo.airflow_api import DagRun
from demo.processes import Command
from tests.e2e.conftest import Bench
from tests.faults.sync import job_statuses

WORKER = "worker"
TASK = "task"
DATASET_SERVICE = "dataset service"
PARTS = ("triggerer", "api-server", "scheduler", "dag-processor", WORKER, TASK, DATASET_SERVICE)
"""The scheduler dies with the executor's processes below it, as its container or service unit would."""
WITH_TASKS = frozenset({"scheduler", WORKER, TASK, DATASET_SERVICE})
"""Whose death can come between a request to Encord and its answer."""
WITH_ONE_TASK = frozenset({WORKER, TASK})

STEPS = (
    "listing/index.json",
    "plan.json",
    "manifests/index.json",
    "jobs/*.json",
    "outcomes/*.json",
    "retries/1/*",
)
"""What a run writes as it goes on. A kill comes some time after its start or one of these, so that kills are
spread over the whole run however slow the machine is, and however long the run stood still after a kill."""
AFTER_A_STEP_S = 3.0
"""The longest time after it. Behind the last step a run takes longer than that to its end."""
STEP_S = 120.0
LIFE_S = 3.0
"""The longest time that a task may live after it was chosen."""
NEXT_TASK_S = 120.0
WORKER_TITLE = "airflow worker -- LocalExecutor:"
TASK_TITLE = "airflow worker -- "

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Kill:
    """A process that was killed.

    Attributes:
        part: One of `PARTS`.
        at: When.
        while_sending: How many manifests were just being sent to Encord and lost their sender or receiver: at
            most one where a single task is lost.
    """

    part: str
    at: datetime
    while_sending: int

    def __str__(self) -> str:
        """Say what the log of a test needs."""
        sending = f", {self.while_sending} manifests being sent" if self.while_sending else ""
        return f"{self.part} at {self.at:%H:%M:%S.%f}{sending}"


@dataclass(frozen=True)
class Killer:
    """Kills what a run needs.

    Attributes:
        bench: Where everything runs.
        run: The run.
        chance: Where its moments come from.
    """

    bench: Bench
    run: DagRun
    chance: random.Random

    def kill_each_part(self) -> list[Kill]:
        """Kill each part once, in a random order and at random moments from now on."""
        parts = self.chance.sample(PARTS, len(PARTS))
        moments = sorted(
            (self.chance.randrange(-1, len(STEPS)), self.chance.uniform(0, AFTER_A_STEP_S)) for _ in parts
        )
        came_at: dict[int, float] = {}
        kills = []
        for part, (step, after_s) in zip(parts, moments, strict=True):
            self._wait_for(step)
            came_at.setdefault(step, time.monotonic())
            time.sleep(max(0.0, came_at[step] + after_s - time.monotonic()))
            kills.append(self._kill(part))
            log.warning("Killed %s", kills[-1])
            self._start_again(part)
        return kills

    def _wait_for(self, step: int) -> None:
        """Wait until the run has come to a step; -1 is its start."""
        deadline = time.monotonic() + STEP_S
        while step >= 0 and not self._folder.names(STEPS[step]):
            assert time.monotonic() < deadline, f"no {STEPS[step]}"
            time.sleep(0.05)

    def _kill(self, part: str) -> Kill:
        if part in (WORKER, TASK):
            self._kill_below_the_executor(part)
        elif part == DATASET_SERVICE:
            self.bench.slow_service.kill()
        else:
            self.bench.stack.supervisor.kill(part)
        statuses = [status for status, _ in job_statuses(self._folder).values()]
        most = 1 if part in WITH_ONE_TASK else len(statuses)
        sending = min(statuses.count("submitting"), most) if part in WITH_TASKS else 0
        return Kill(part, datetime.now(UTC), sending)

    def _start_again(self, part: str) -> None:
        if part == DATASET_SERVICE:
            self.bench.slow_service.start()
        elif part in self._commands:
            self.bench.stack.supervisor.start(self._commands[part])

    def _kill_below_the_executor(self, part: str) -> None:
        """Kill the process of a task, or the executor's process above it, at some moment of its life."""
        deadline = time.monotonic() + NEXT_TASK_S
        longest_s = LIFE_S
        while time.monotonic() < deadline:
            if tasks := self._tasks():
                task = self.chance.choice(tasks)
                with contextlib.suppress(psutil.NoSuchProcess):
                    victim = task if part == TASK else task.parent()
                    time.sleep(self.chance.uniform(0, longest_s))
                    if victim is not None and task.is_running() and task.status() != psutil.STATUS_ZOMBIE:
                        victim.kill()
                        return
                longest_s /= 2  # it has ended by itself
            time.sleep(0.05)
        raise AssertionError("no task ran")

    def _tasks(self) -> list[psutil.Process]:
        """Return the processes of running tasks that are still watched over."""
        (scheduler,) = [one for one in self.bench.stack.supervisor.table.records() if one.name == "scheduler"]
        titles: dict[psutil.Process, str] = {}
        parents: dict[psutil.Process, int] = {}
        for process in scheduler.members():
            with contextlib.suppress(psutil.NoSuchProcess):
                titles[process], parents[process] = " ".join(process.cmdline()), process.ppid()
        workers = {process.pid for process, title in titles.items() if title.startswith(WORKER_TITLE)}
        return [
            process
            for process, parent in parents.items()
            if parent in workers and titles[process].startswith(TASK_TITLE) and process.pid not in workers
        ]

    @cached_property
    def _folder(self) -> RunFolder:
        return RunFolder(self.bench.run_folder(self.run))

    @cached_property
    def _commands(self) -> dict[str, Command]:
        stack = self.bench.stack
        return {command.name: command for command in part_commands(stack.environment, stack.places)}
