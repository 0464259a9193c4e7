"""Measure what a piece of work costs: CPU seconds, peak memory and wall time, in a process of its own.

    measured = [measure("ours", "benchmarks.bench_listing:list_with_ours", endpoint=url), ...]
    print(table(measured, base="boto3 paginator"))

Each case is a function, named `module:function`, called with keyword arguments in a fresh interpreter; its
start and imports count. CPU seconds are user + system, children included: the figure to compare on a busy
machine. Peak memory is given above that of an interpreter that does nothing.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

PROC_STATUS = Path("/proc/self/status")
KIB_PER_MIB = 1024


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one case cost.

    Attributes:
        name: The case, as the table shows it.
        cpu_s: CPU seconds, user and system, of the process and its children.
        wall_s: Seconds inside the function.
        peak_mib: Peak resident memory, of the process or of the largest program that it ran, above a bare
            interpreter's.
        result: What the function returned.
    """

    name: str
    cpu_s: float
    wall_s: float
    peak_mib: float
    result: Any


def measure(name: str, function: str, **arguments: Any) -> Measurement:
    """Run `module:function` with JSON-able arguments in a fresh process.

    Raises:
        RuntimeError: The case failed; the message ends with its traceback.
    """
    cpu_s, report = _run(function, arguments)
    peak_mib = max(0.0, report["peak_mib"] - _bare_interpreter_mib())
    return Measurement(name, cpu_s, report["wall_s"], peak_mib, report["result"])


def table(measured: Sequence[Measurement], *, base: str, by_result: bool = False) -> str:
    """Return a Markdown table; the last column says how often `base` costs a case's CPU seconds.

    Args:
        measured: The cases.
        base: The name of one.
        by_result: Compare what one of what a case returned costs: cases may do more or less work.
    """

    def cost(each: Measurement) -> float:
        return each.cpu_s / (each.result if by_result else 1)

    base_cost = next(cost(each) for each in measured if each.name == base)
    lines = [f"| case | CPU s | wall s | peak MiB | CPU of {base} / CPU |", "|---|---|---|---|---|"]
    for each in measured:
        ratio = base_cost / cost(each)
        row = (each.name, f"{each.cpu_s:.2f}", f"{each.wall_s:.2f}", f"{each.peak_mib:.0f}", f"{ratio:.2f}")
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines)


def nothing() -> None:
    """Do nothing: the case that shows what an interpreter costs."""


@functools.cache
def _bare_interpreter_mib() -> float:
    _, report = _run("benchmarks.measure:nothing", {})
    return float(report["peak_mib"])


def _run(function: str, arguments: dict[str, Any]) -> tuple[float, dict[str, Any]]:
    command = [sys.executable, "-m", "benchmarks.measure", function, json.dumps(arguments)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    output, errors = process.stdout.read(), process.stderr.read()  # type: ignore[union-attr]
    # wait4 gives the resources of this one child, its own children included.
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError(f"{function} ended with {process.returncode}:\n{errors.decode()[-4000:]}")
    return used.ru_utime + used.ru_stime, json.loads(output.splitlines()[-1])


def _peak_mib() -> float:
    import resource

    children, own = (
        resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_CHILDREN, resource.RUSAGE_SELF)
    )
    if not PROC_STATUS.exists():
        return max(children, own) / KIB_PER_MIB**2  # macOS counts bytes
    # ru_maxrss of a process starts at its parent's size on Linux; VmHWM is its own.
    line = next(line for line in PROC_STATUS.read_text().splitlines() if line.startswith("VmHWM"))
    return max(children, int(line.split()[1])) / KIB_PER_MIB


def _main(function: str, arguments: str) -> None:
    module_name, _, function_name = function.partition(":")
    case = getattr(importlib.import_module(module_name), function_name)
    started = time.perf_counter()
    result = case(**json.loads(arguments))
    wall_s = time.perf_counter() - started
    print(json.dumps({"wall_s": wall_s, "peak_mib": _peak_mib(), "result": result}))


if __name__ == "__main__":
    _main(*sys.argv[1:])
