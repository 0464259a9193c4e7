"""What people see: plain lines in a pipe, each change once."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from demo.airflow_api import TaskInstance
from demo.narrator import Narrator, task_label, task_table


def task(
    task_id: str, state: str | None, map_index: int = -1, duration_s: float | None = None
) -> TaskInstance:
    return TaskInstance(task_id, map_index, state, 1, duration_s)


@pytest.fixture
def output() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def narrator(output: io.StringIO) -> Narrator:
    return Narrator(Console(file=output, highlight=False))


def test_in_a_pipe_each_change_of_a_task_is_one_line(narrator: Narrator, output: io.StringIO) -> None:
    with narrator.waiting_for("anything"):
        narrator.tasks([task("list", "running"), task("register", None, 0)])
        narrator.tasks([task("list", "running"), task("register", "scheduled", 0)])
        narrator.tasks([task("list", "success"), task("register", "deferred", 0)])
    told = [line.split(" s  ")[1] for line in output.getvalue().splitlines()]
    assert told == ["list: running", "list: success", "register[0]: deferred"]


def test_the_tasks_of_the_next_run_are_told_anew(narrator: Narrator, output: io.StringIO) -> None:
    narrator.tasks([task("list", "success")])
    narrator.forget_tasks()
    narrator.tasks([task("list", "success")])
    assert output.getvalue().count("list: success") == 2


def test_text_is_printed_as_it_is(narrator: Narrator, output: io.StringIO) -> None:
    narrator.say("a [bold] key.jpg :smile:")
    assert output.getvalue() == "a [bold] key.jpg :smile:\n"


def test_a_pipe_writes_no_control_codes(narrator: Narrator, output: io.StringIO) -> None:
    narrator.heading("Title")
    narrator.show(task_table([task("list", "success", duration_s=1.234)]))
    assert "\x1b" not in output.getvalue()
    assert "1.2 s" in output.getvalue()


def test_tasks_stand_in_the_order_in_which_they_began(narrator: Narrator, output: io.StringIO) -> None:
    first = TaskInstance("list", -1, "success", 1, 1.0, "2026-11-22T10:00:00Z")
    second = TaskInstance("build", -1, "running", 1, None, "2026-11-22T10:00:05Z")
    narrator.show(task_table([task("settle", None), second, task("register", None), first]))
    order = [line.split()[0] for line in output.getvalue().splitlines()]
    assert order[:2] == ["list", "build"]
    assert set(order[2:]) == {"settle", "register"}


def test_mapped_tasks_carry_their_number() -> None:
    assert (task_label(task("plan", None)), task_label(task("register", None, 3))) == ("plan", "register[3]")
