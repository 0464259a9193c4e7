"""What retry rounds add to a DAG run in which one object of a hundred fails for a passing reason.

    python -m benchmarks.bench_rounds [--objects 20000 50000] [--tries 2]

The same integration with and without such failures, in turn, each into a dataset of its own, in real Airflow
processes (those of the demo), with the defaults of the section `retry`, waits included. Objects fail because
they are gone from the store when their manifest is sent; they are put back when its upload job has ended.
"""

from __future__ import annotations

import argparse
import re
import tempfile
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import pairwise, product
from pathlib import Path
from statistics import median
from typing import Any

import yaml

from benchmarks.pictures import for_each, put_pictures
from cloud_sync.integration import Retry
from cloud_sync.manifest.model import index_name
from cloud_sync.registration.model import read_outcome
from cloud_sync.run_folder import RunFolder
from demo.airflow import Sources
from demo.airflow_api import DagRun, TaskInstance
from demo.content import BUCKET, BucketContent
from demo.report import key_of, run_folder_of
from demo.servers import ENCORD_INTEGRATION, REGION, s3_url
from demo.settings import Settings
from demo.stack import Stack, running_stack

OBJECTS = (20_000, 50_000)
WARM_UP = 500
FAILING_PER_HUNDRED = 1
MOST_ADDED = 0.3
CASES = ("no failures", "1 % fail once")
FAILING = CASES[1]
BEFORE_ROUNDS, AFTER_ROUNDS = ("list, plan, build", "register"), "settle"
LOOK_EVERY_S = 0.02
RUN_TIMEOUT_S = 3600
SENDING_AFTER = re.compile(r"Sending after (\d+) s")


@dataclass(frozen=True, slots=True)
class Timing:
    """Where the wall time of one DAG run went.

    Attributes:
        wall_s: From the start of the run to its end, as Airflow has them.
        seconds: Of it by stage. Each counts from the end of the one before, so Airflow's scheduling is in it.
        pause_s: Of the waits before the rounds, what was left when it was known what to send; whole seconds.
    """

    wall_s: float
    seconds: dict[str, float]
    pause_s: float

    @property
    def rest_s(self) -> float:
        """All but the retry rounds."""
        return sum(self.seconds[stage] for stage in (*BEFORE_ROUNDS, AFTER_ROUNDS))

    def with_wait_s(self, wait_s: float) -> float:
        """Return the wall time that it would have had with another wait before the first round."""
        # Looking at what failed is part of the wait.
        return self.wall_s - self.pause_s + max(0.0, wait_s - self.seconds["select 1"])


class Objects:
    """The objects of one size of run: small pictures below a prefix of their own."""

    def __init__(self, stack: Stack, count: int) -> None:
        self.prefix = f"{count}/"
        self.keys = [f"{self.prefix}camera-{number % 10}/{number:07}.jpg" for number in range(count)]
        self.failing = self.keys[:: 100 // FAILING_PER_HUNDRED]
        self._stack = stack

    def put(self, keys: Sequence[str]) -> None:
        """Put a picture under each of these keys."""
        put_pictures(self._store, keys)

    def remove(self, keys: Sequence[str]) -> None:
        """Take these objects away."""
        for_each(keys, self._store.delete_async)

    @cached_property
    def _store(self) -> Any:
        from obstore.store import S3Store

        return S3Store(
            BUCKET,
            endpoint=s3_url(self._stack.settings),
            region=REGION,
            access_key_id=self._stack.secrets.s3_access_key_id,
            secret_access_key=self._stack.secrets.s3_secret_access_key,
            client_options={"allow_http": True},
        )


@contextmanager
def failing_once(objects: Objects, folder: RunFolder) -> Iterator[None]:
    """Take the objects that are to fail away once they are listed; put each back when it has failed."""
    over = threading.Event()

    def work() -> None:
        while not folder.exists("listing/index.json"):
            if over.wait(LOOK_EVERY_S):
                return
        objects.remove(objects.failing)
        seen: set[str] = set()
        while not over.wait(LOOK_EVERY_S):
            for name in sorted(set(folder.names("outcomes/*.json")) - seen):
                seen.add(name)
                outcome = read_outcome(folder, int(Path(name).stem))
                assert outcome is not None
                objects.put([key_of(url) for error in outcome.unit_errors for url in error.urls])

    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(work)
        try:
            yield
        finally:
            over.set()
            working.result()


def timing(run: DagRun, tasks: Sequence[TaskInstance], folder: RunFolder, log: str) -> Timing:
    """Return where the time of a run went."""
    ended: dict[str, float] = {}
    for task in tasks:
        if task.ended_at:
            ended[task.task_id] = max(ended.get(task.task_id, 0.0), _epoch(task.ended_at))
    moments = [("start", _epoch(run.started_at))]
    moments += zip(BEFORE_ROUNDS, (ended["build"], ended["register"]), strict=True)
    for number in range(1, Retry().rounds + 1):
        select, register = ended[f"retry_{number}.select"], ended[f"retry_{number}.register"]
        chosen = folder.path(index_name(number))
        waited_from = chosen.stat().st_mtime if chosen.exists() else select
        moments += [(f"select {number}", waited_from), (f"wait {number}", select)]
        moments.append((f"register {number}", max(register, select)))
    moments.append((AFTER_ROUNDS, _epoch(run.ended_at)))
    seconds = {name: end - start for (_, start), (name, end) in pairwise(moments)}
    pause_s = sum(map(float, SENDING_AFTER.findall(log)))
    return Timing(moments[-1][1] - moments[0][1], seconds, pause_s)


class Bench:
    """The stack, and how runs of one size are made in it."""

    def __init__(self, stack: Stack, count: int) -> None:
        self.stack, self.objects = stack, Objects(stack, count)
        self.objects.put(self.objects.keys)

    def run(self, case: str, number: int) -> Timing:
        """Make one run and return where its time went; check that it did what it should."""
        from encord.orm.dataset import StorageLocation

        name = integration_name(len(self.objects.keys), case, number)
        self.stack.encord().create_dataset(name, StorageLocation.AWS, create_backing_folder=True)
        api, run_id = self.stack.api, f"run-{number}"
        folder = RunFolder(run_folder_of(self.stack.places.state, name, run_id))
        with failing_once(self.objects, folder) if case == FAILING else nullcontext():
            run = api.trigger(f"sync__{name}", run_id=run_id)
            api.unpause(f"sync__{name}")
            run = api.wait_for_run(run, RUN_TIMEOUT_S, each_poll=lambda _: self.stack.check())
        self._check(folder, failing=len(self.objects.failing) if case == FAILING else 0)
        tasks = api.task_instances(run)
        selects = [one for one in tasks if one.task_id.endswith(".select") and one.state == "success"]
        log = "\n".join(line for one in selects for line in api.log(run, one))
        return timing(run, tasks, folder, log)

    def _check(self, folder: RunFolder, failing: int) -> None:
        report = folder.read_json("report.json")
        assert (report["registered"], report["failed"]) == (len(self.objects.keys), 0), report
        assert [one["sent"] for one in report["retry_rounds"]] == [failing] * bool(failing), report


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--objects", type=int, nargs="+", default=OBJECTS, help="sizes of runs")
    parser.add_argument("--tries", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-rounds-") as scratch:
        root = Path(scratch)
        write_integrations(root / "integrations", {WARM_UP, *options.objects}, options.tries)
        sources = Sources(integrations=root / "integrations")
        empty = BucketContent(good=(), bad={}, held=(), skipped=())
        settings = Settings.on_free_ports()
        with running_stack(root / "stack", settings, sources=sources, content=empty) as stack:
            # The first run pays for what Airflow's processes load once; it does not count.
            Bench(stack, WARM_UP).run(FAILING, 0)
            for count in options.objects:
                measure(stack, count, options.tries)


def measure(stack: Stack, count: int, tries: int) -> None:
    """Measure one size of run and print it."""
    bench = Bench(stack, count)
    timings: dict[str, list[Timing]] = {case: [] for case in CASES}
    for number in range(1, tries + 1):
        for case in CASES[:: 1 if number % 2 else -1]:
            timings[case].append(bench.run(case, number))
    best = {case: min(of_case, key=lambda one: one.with_wait_s(0)) for case, of_case in timings.items()}
    failing = len(bench.objects.failing)
    print(f"\n{count:,} objects, of which {failing:,} fail. The best of {tries} tries each:\n")
    print(stage_table(best))
    print()
    print(added_table(timings), flush=True)


def stage_table(best: Mapping[str, Timing]) -> str:
    """Return where the time of the best run of each case went."""
    stages = list(best[FAILING].seconds)
    lines = [f"| case | {' | '.join(f'{stage} s' for stage in stages)} | wall s |"]
    lines.append("|---" * (len(stages) + 2) + "|")
    for case, one in best.items():
        cells = [f"{seconds:.1f}" for seconds in (*one.seconds.values(), one.wall_s)]
        lines.append(f"| {' | '.join([case, *cells])} |")
    return "\n".join(lines)


def added_table(timings: Mapping[str, Sequence[Timing]]) -> str:
    """Return what the rounds add with each wait: to a run without failures, and to the rest of their own.

    Of the tries the best one counts, which other work disturbed least; the median tells how far it is from
    the others.
    """
    plain, failing = timings[CASES[0]], timings[FAILING]
    base_s = [one.wall_s for one in plain]
    longest_s = Retry().first_wait.total_seconds()
    waits = {"no wait": 0.0, "the mean wait": longest_s / 2, "the longest wait": longest_s}
    lines = ["The best of all tries, and in brackets the median:", ""]
    lines.append("| with failures and | wall s | wall s / without failures | rounds / the rest of the run |")
    lines.append("|---|---|---|---|")
    for name, wait_s in waits.items():
        wall_s = [one.with_wait_s(wait_s) for one in failing]
        added = [one.with_wait_s(wait_s) / one.rest_s - 1 for one in failing]
        ratio, middle_ratio = min(wall_s) / min(base_s), median(wall_s) / median(base_s)
        lines.append(
            f"| {name}, {wait_s:g} s | {min(wall_s):.1f} ({median(wall_s):.1f}) "
            f"| {ratio:.2f} ({middle_ratio:.2f}) | {min(added):.1%} ({median(added):.1%}) |"
        )
    drawn = ", ".join(f"{one.wall_s:.1f} ({one.pause_s:.0f})" for one in failing)
    walls = ", ".join(f"{one.wall_s:.1f}" for one in plain)
    lines += ["", f"All tries, wall s: without failures {walls}; with failures, and of it the wait, {drawn}."]
    lines.append(f"Target: under {1 + MOST_ADDED:.2f}, which is {MOST_ADDED:.0%} added.")
    return "\n".join(lines)


def integration_name(count: int, case: str, number: int) -> str:
    """Return the name of an integration, which is also that of its dataset."""
    return f"{count}-{'failing' if case == FAILING else 'sound'}-{number}"


def write_integrations(folder: Path, counts: Collection[int], tries: int) -> None:
    """Write an integration file for each run; they differ in their names and datasets only."""
    folder.mkdir()
    for count, case, number in product(counts, CASES, range(tries + 1)):
        name = integration_name(count, case, number)
        content = {
            "name": name,
            "storage": {
                "provider": "s3",
                "connection_id": "demo_s3",
                "bucket": BUCKET,
                "prefix": f"{count}/",
                "url_style": "path",
            },
            "target": {
                "connection_id": "demo_encord",
                "dataset": name,
                "encord_integration": ENCORD_INTEGRATION,
            },
        }
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(content))


def _epoch(moment: str | None) -> float:
    assert moment is not None
    return datetime.fromisoformat(moment).timestamp()


if __name__ == "__main__":
    main()
