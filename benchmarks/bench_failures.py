"""What many failures cost.

    python -m benchmarks.bench_failures --case diagnose --failures 10000

diagnose: a run in which everything failed, for five causes in ten folders each, is settled: each failure is
looked at in the store, classified, and written to failures.csv, failures.jsonl, the report and the ledger.
Encord says the same of all of them. The store is benchmarks/object_responder.py, once as fast as it is, once
with 20 ms an answer, and once with all objects forbidden, as after one revoked permission.
"""

from __future__ import annotations

import argparse
import csv
import json
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.measure import Measurement, measure
from benchmarks.object_responder import requests_so_far, running_objects

THIS: Final = "benchmarks.bench_failures"
BUCKET: Final = "bench"
URL_BASE: Final = f"https://{BUCKET}.s3.us-east-1.amazonaws.com/"
ITEMS_PER_MANIFEST: Final = 1000
FOLDERS: Final = 10
ENDED_AT: Final = "2026-11-24T02:00:00+00:00"

CLASS_OF_CAUSE: Final[Mapping[str, str]] = {
    "missing": "missing",
    "forbidden": "forbidden",
    "empty": "corrupt",
    "text": "wrong_type",
    "cut": "corrupt",
}
"""What the responder does with keys that begin so, and the class that has to come out."""


def failed_keys(count: int, causes: Sequence[str]) -> list[str]:
    """Return keys of objects that fail, as many for each cause."""
    places = ((causes[n % len(causes)], n // len(causes) % FOLDERS, n) for n in range(count))
    return [f"{cause}/{folder}/frame_{n:07d}.jpg" for cause, folder, n in places]


def write_run(folder_root: Path, keys: Sequence[str]) -> None:
    """Write what a run leaves for settle: manifests of which every item failed."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from cloud_sync.manifest.build import ITEMS_SCHEMA
    from cloud_sync.manifest.model import ITEMS_NAME, ManifestEntry, ManifestIndex, write_index
    from cloud_sync.planning.model import REGISTER_NAME
    from cloud_sync.registration.model import Outcome, UnitError, outcome_name
    from cloud_sync.run_folder import RunFolder, sha256_of

    folder = RunFolder(folder_root)
    folder.write(REGISTER_NAME, b"the plan")
    rows, entries = [], []
    for number, first in enumerate(range(0, len(keys), ITEMS_PER_MANIFEST)):
        part = keys[first : first + ITEMS_PER_MANIFEST]
        entry = ManifestEntry(number, f"manifests/{number:04}-bench.json", len(part), len(part), "bench")
        entries.append(entry)
        rows += [_item(key, number) for key in part]
        errors = (
            UnitError((URL_BASE + key,), f"Failed to read {URL_BASE + key}", f"unit {key}", "")
            for key in part
        )
        outcome = Outcome(
            manifest_number=number,
            manifest=entry.name,
            job_id=f"job {number}",
            status="done",
            items=len(part),
            made=0,
            done=0,
            failed=len(part),
            cancelled=0,
            unit_errors=tuple(errors),
            job_errors=(),
            linked=0,
            submitted_at=ENDED_AT,
            finished_at=ENDED_AT,
        )
        folder.write_json(outcome_name(number), outcome.to_json())
    pq.write_table(pa.Table.from_pylist(rows, ITEMS_SCHEMA), folder.path(ITEMS_NAME))
    digests = (sha256_of(folder.path(name)) for name in (REGISTER_NAME, ITEMS_NAME))
    write_index(folder, ManifestIndex(tuple(entries), 1, *digests))


def _item(key: str, manifest: int) -> dict[str, Any]:
    item = {"item_type": "image", "item_key": key, "position": 0, "title": None, "manifest": manifest}
    return {"key": key, "url": URL_BASE + key, "size_bytes": 100_000, "etag": "e", **item}


class NoFolder:
    """Encord's folder is not asked: the counts of the jobs add up."""

    def find(self, items: Any) -> tuple[list[str], list[Any]]:
        """Fail: nothing should ask."""
        raise AssertionError("the folder was asked")

    def link(self, item_uuids: Sequence[str]) -> None:
        """Link nothing."""


def settle_run(root: str, endpoint_url: str) -> dict[str, int]:
    """Settle the run as the pipeline's last stage does, and count what came out by class."""
    from cloud_sync.failures.failure_csv import write_failures
    from cloud_sync.failures.report import RunFacts, make_report, summary
    from cloud_sync.failures.settle import SettleContext, settle
    from cloud_sync.integration import Failures
    from cloud_sync.ledger import Ledger
    from cloud_sync.objects.stores import open_s3
    from cloud_sync.run_folder import RunFolder

    folder = RunFolder(Path(root) / "run")
    keys = {"region": "us-east-1", "access_key_id": "bench", "secret_access_key": "bench"}
    settlement = settle(
        folder,
        context=SettleContext("bench", "bench", "Bench", URL_BASE, lambda url: url.removeprefix(URL_BASE)),
        ledger=Ledger(Path(root) / "ledger"),
        open_reader=lambda: open_s3(BUCKET, endpoint_url=endpoint_url, **keys),
        encord_folder=NoFolder(),
    )
    write_failures(folder, settlement.failures)
    facts = RunFacts(
        integration="bench",
        dag_id="sync__bench",
        run_id="bench",
        mode="sync",
        dataset={"uuid": "", "title": "Bench"},
        listed={"objects": 0, "total_bytes": 0},
        plan=(),
        started_at=ENDED_AT,
        finished_at=ENDED_AT,
    )
    assert "all of this" in summary(make_report(folder, facts, settlement, Failures()))
    return dict(Counter(failure.failure_class for failure in settlement.failures))


def check_files(folder: Path, keys: Sequence[str]) -> None:
    """Check that both files have a row for each failure, with the class of its cause."""
    expected = {URL_BASE + key: CLASS_OF_CAUSE[key.split("/", 1)[0]] for key in keys}
    with (folder / "failures.csv").open(newline="", encoding="utf-8") as file:
        found = {row["object_url"]: row["failure_class"] for row in csv.DictReader(file)}
    lines = (folder / "failures.jsonl").read_text(encoding="utf-8").splitlines()
    twin = {row["object_url"]: row["failure_class"] for row in map(json.loads, lines)}
    assert expected == found == twin, "a failure is missing, or of another class"


def settled(name: str, keys: Sequence[str], *, delay_ms: float = 0) -> tuple[Measurement, int]:
    """Settle a run in which these objects failed; return what it cost and how many requests it made."""
    with tempfile.TemporaryDirectory() as root, running_objects(delay_ms=delay_ms) as endpoint_url:
        write_run(Path(root) / "run", keys)
        measured = measure(name, f"{THIS}:settle_run", root=root, endpoint_url=endpoint_url)
        check_files(Path(root) / "run", keys)
        return measured, requests_so_far(endpoint_url)


def diagnose_case(failures: int) -> None:
    """Print what diagnosing costs."""
    keys = failed_keys(failures, tuple(CLASS_OF_CAUSE))
    runs = [
        settled("five causes", keys),
        settled("five causes, 20 ms an answer", keys, delay_ms=20),
        settled("one revoked permission", failed_keys(failures, ("forbidden",))),
    ]
    print(f"{failures:,} failures, diagnosed and written:\n")
    print("| case | wall s | CPU s | peak MiB | requests |\n|---|---|---|---|---|")
    for one, requests in runs:
        cells = (one.name, f"{one.wall_s:.2f}", f"{one.cpu_s:.2f}", f"{one.peak_mib:.0f}", f"{requests:,}")
        print(f"| {' | '.join(cells)} |")


CASES: Final[Mapping[str, Callable[[int], None]]] = {"diagnose": diagnose_case}


def main() -> None:
    """Read the command line, measure, print Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--case", choices=CASES, help="only this one")
    parser.add_argument("--failures", type=int, default=10_000)
    options = parser.parse_args()
    for name, case in CASES.items():
        if options.case in {None, name}:
            case(options.failures)


if __name__ == "__main__":
    main()
