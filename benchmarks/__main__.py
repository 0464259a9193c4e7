"""Run every benchmark, one after the other: `python -m benchmarks`. Nothing else should run meanwhile."""

from __future__ import annotations

import subprocess
import sys

BENCHMARKS = (
    "bench_listing",
    "bench_listing_memory",
    "bench_shards",
    "bench_pipeline",
    "bench_grouping",
    "bench_manifest",
    "bench_failures",
    "bench_label_studio",
    "bench_rounds",
    "bench_dag_parse",
)


def main() -> None:
    """Run each benchmark in a process of its own, so that a failed one does not hide the others."""
    failed = []
    for name in BENCHMARKS:
        print(f"\n== {name}\n", flush=True)
        if subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=False).returncode:
            failed.append(name)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
