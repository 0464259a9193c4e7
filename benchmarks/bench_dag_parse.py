"""What parsing `dags/` costs with many integration files, against a DAG file with one empty DAG.

    python -m benchmarks.bench_dag_parse [--integrations 200]

Two figures for each: a process of its own, as `airflow dags list-import-errors` or a task's process starts
one, imports included; and the parse alone in a process that has Airflow loaded, as the DAG processor forks
them.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from pathlib import Path

import yaml

from benchmarks.measure import measure, table

PROJECT = Path(__file__).parents[1]
EMPTY_DAG = 'from airflow.sdk import DAG\n\nwith DAG(dag_id="empty"):\n    pass\n'
BEST_OF = 3


def parse(dags_folder: str, integrations_folder: str, airflow_home: str, again: int = 0) -> dict[str, float]:
    """Load a DAG folder, and `again` times more.

    Returns:
        The number of DAGs without those that stand there by themselves, and the least CPU s of `again`.
    """
    os.environ |= {
        "AIRFLOW_HOME": airflow_home,
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CLOUD_SYNC__INTEGRATIONS_FOLDER": integrations_folder,
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR",
    }
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(dags_folder)
    assert not bag.import_errors, bag.import_errors
    warm = min((_cpu_s(lambda: DagBag(dags_folder)) for _ in range(again)), default=0.0)
    measured = [dag_id for dag_id in bag.dags if dag_id == "empty" or dag_id.startswith("sync__")]
    return {"dags": len(measured), "warm_cpu_s": warm}


def _cpu_s(work: object) -> float:
    started = time.process_time()
    work()  # type: ignore[operator]
    return time.process_time() - started


def write_integrations(folder: Path, count: int) -> None:
    """Write as many integration files as asked for, each with its own name."""
    folder.mkdir()
    base = yaml.safe_load((PROJECT / "include/integrations/demo.yaml").read_text())
    for number in range(count):
        text = yaml.safe_dump({**base, "name": f"camera-{number:04d}"})
        (folder / f"camera-{number:04d}.yaml").write_text(text)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--integrations", type=int, default=200)
    count = parser.parse_args().integrations
    scratch = Path(tempfile.mkdtemp(prefix="bench-dags-"))
    try:
        write_integrations(scratch / "integrations", count)
        (scratch / "empty").mkdir()
        (scratch / "empty" / "empty.py").write_text(EMPTY_DAG)
        shared = {"integrations_folder": str(scratch / "integrations"), "airflow_home": str(scratch / "home")}
        case = "benchmarks.bench_dag_parse:parse"
        folders = {"an empty DAG": scratch / "empty", f"{count} integrations": PROJECT / "dags"}
        cold = [measure(name, case, dags_folder=str(at), **shared) for name, at in folders.items()]
        warm = [
            measure(name, case, dags_folder=str(at), again=BEST_OF, **shared) for name, at in folders.items()
        ]
    finally:
        shutil.rmtree(scratch)
    assert [each.result["dags"] for each in cold] == [1, count]
    print(table(cold, base="an empty DAG"))
    print(
        f"\nA process of its own: {cold[1].cpu_s / cold[0].cpu_s:.2f} times the empty DAG. Target: under 3."
    )
    for each in warm:
        print(f"Parse alone, Airflow loaded: {each.name}: {each.result['warm_cpu_s'] * 1000:.0f} ms of CPU")


if __name__ == "__main__":
    main()
