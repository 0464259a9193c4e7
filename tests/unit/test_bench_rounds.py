"""The benchmark of retry rounds: where it says that the time of a DAG run went."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks.bench_rounds import CASES, FAILING, Timing, added_table, timing
from cloud_sync.run_folder import RunFolder
from demo.airflow_api import DagRun, TaskInstance

HOUR = 1_795_485_600  # 2026-11-24T02:00:00Z


def moment(second: int) -> str:
    return f"2026-11-24T02:00:{second:02}Z"


def task(task_id: str, ended: int, map_index: int = -1) -> TaskInstance:
    return TaskInstance(task_id, map_index, "success", 1, None, ended_at=moment(ended))


def test_each_stage_counts_from_the_end_of_the_one_before(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.write_json("retries/1/index.json", {})
    os.utime(folder.path("retries/1/index.json"), (HOUR + 22, HOUR + 22))
    tasks = [
        *(task("build", 5), task("register", 12, 0), task("register", 20, 1)),
        *(task("retry_1.select", 40), task("retry_1.register", 43)),
        *(task("retry_2.select", 45), task("retry_2.register", 45), task("settle", 47)),
    ]
    run = DagRun("d", "r", "success", moment(0), moment(48))
    found = timing(run, tasks, folder, "Round 1: 2 items again, in 1 manifests\nSending after 17 s")
    assert found.seconds == {
        **{"list, plan, build": 5, "register": 15},
        **{"select 1": 2, "wait 1": 18, "register 1": 3},
        **{"select 2": 2, "wait 2": 0, "register 2": 0},
        "settle": 3,
    }
    assert (found.wall_s, found.pause_s, found.rest_s) == (48, 17, 23)


@pytest.mark.parametrize(("left_s", "wall_s"), [(3.0, 109.0), (23.0, 129.0)])
def test_what_rounds_add_does_not_depend_on_the_wait_that_was_drawn(left_s: float, wall_s: float) -> None:
    stages = {"list, plan, build": 8.0, "register": 90.0, "select 1": 2.0, "settle": 2.0}
    slow = Timing(wall_s + 20.0, {**stages, "register": 110.0}, left_s)
    timings = {
        CASES[0]: [Timing(105.0, {}, 0.0), Timing(115.0, {}, 0.0)],
        FAILING: [Timing(wall_s, stages, left_s), slow],
    }
    table = added_table(timings)
    assert "| no wait, 0 s | 106.0 (116.0) | 1.01 (1.05) | 5.0% (5.5%) |" in table
    assert "| the mean wait, 15 s | 119.0 (129.0) | 1.13 (1.17) | 15.8% (17.4%) |" in table
    assert "| the longest wait, 30 s | 134.0 (144.0) | 1.28 (1.31) | 28.3% (31.2%) |" in table
