"""What a sync of a bucket costs, beside Label Studio's sync of a source storage: all new, then nothing new.

    python -m benchmarks.bench_label_studio --objects 10000

The store is SeaweedFS. Label Studio is installed from the package index into an environment of its own
(`--environment` names a folder to keep it in); it runs without its web server, as a sync does that its API
starts, and makes one task of each object, without reading any. Ours lists, plans, builds the manifests,
registers them with the dataset service, which reads each object as Encord does, and settles the run. Store
and dataset service run beside the clients and are not in their CPU seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks.measure import Measurement, measure
from benchmarks.pictures import put_pictures
from demo.servers import program
from tests.servers import running_dataset_service, running_s3

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cloud_sync.manifest.model import ManifestEntry
    from tests.faults.sync import Sync
    from tests.servers import DatasetService, S3Server

BUCKET: Final = "bench"
DATASET: Final = "bench"
DATASET_TYPE: Final = 4
"""S3, in the SDK's StorageLocation of old."""
THIS: Final = "benchmarks.bench_label_studio"
PACKAGE: Final = "label-studio"
SCRIPT: Final = Path(__file__).with_name("label_studio_sync.py")
ITEMS_PER_MANIFEST: Final = 1000
JOBS_IN_FLIGHT: Final = 4
HOLD_S: Final = 2.0
PAUSE_S: Final = 0.1


def label_studio(python: str, data: str, environment: dict[str, str]) -> dict[str, Any]:
    """Run Label Studio's sync, and return what it says of it."""
    output = _run([python, str(SCRIPT), "sync", data, BUCKET], environment)
    said: dict[str, Any] = json.loads(output.splitlines()[-1])
    return said


def ours_to_manifests(sync: dict[str, Any]) -> dict[str, Any]:
    """List, plan and build in this process, and return how many items are in the manifests."""
    from cloud_sync.manifest.model import read_index

    run = _sync_of(sync)
    started = time.perf_counter()
    run.run("list", "plan", "build")
    created = sum(entry.items for entry in read_index(run.folder).manifests)
    return {"created": created, "seconds": time.perf_counter() - started}


def ours_registered(sync: dict[str, Any]) -> dict[str, Any]:
    """Register what was built, settle, and return how many objects the ledger has as registered."""
    from cloud_sync.manifest.model import read_index

    run = _sync_of(sync)
    started = time.perf_counter()
    with ThreadPoolExecutor(JOBS_IN_FLIGHT) as pool:
        list(pool.map(partial(_register, run), read_index(run.folder).manifests))
    run.run("settle")
    version = run.ledger.current()
    assert version is not None
    return {"created": version.counts["registered"], "seconds": time.perf_counter() - started}


def _register(run: Sync, manifest: ManifestEntry) -> None:
    from cloud_sync.registration.model import read_target
    from cloud_sync.registration.register import Registrar

    # A copy has a connection of its own.
    registrar = Registrar(client=replace(run).client, folder=run.folder, target=read_target(run.folder))
    while not registrar.advance(manifest, hold_s=HOLD_S, resubmit_cancelled=True).status.final:
        time.sleep(PAUSE_S)


def _sync_of(sync: dict[str, Any]) -> Sync:
    from tests.faults.sync import Sync

    return Sync(**sync | {"root": Path(sync["root"]), "login": tuple(sync["login"])})


def _run(command: Sequence[str], environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        command, env=os.environ | (environment or {}), stdout=subprocess.PIPE, text=True, check=True
    )
    return done.stdout


def installed(environment: Path) -> str:
    """Return the Python of an environment with Label Studio, which is made if there is none."""
    python = environment / "bin" / "python"
    if not python.exists():
        _run([program("uv"), "venv", "--quiet", "--python", sys.executable, str(environment)])
    _run([program("uv"), "pip", "install", "--quiet", "--python", str(python), PACKAGE])
    listed = json.loads(_run([program("uv"), "pip", "list", "--python", str(python), "--format", "json"]))
    print(f"Label Studio {next(one['version'] for one in listed if one['name'] == PACKAGE)}", flush=True)
    return str(python)


def first_and_second(scratch: Path, python: str, s3: S3Server, service: DatasetService) -> list[Measurement]:
    """Measure a sync of a bucket that nobody knows, and one in which nothing is new."""
    data = scratch / "label-studio"
    data.mkdir()
    _run([python, str(SCRIPT), "prepare", str(data)])
    login = {
        "S3_ENDPOINT": s3.endpoint_url,
        "AWS_ACCESS_KEY_ID": s3.access_key_id,
        "AWS_SECRET_ACCESS_KEY": s3.secret_access_key,
    }
    theirs = partial(
        measure, function=f"{THIS}:label_studio", python=python, data=str(data), environment=login
    )
    service.client().create_dataset(DATASET, DATASET_TYPE, create_backing_folder=True)
    sync = {
        "root": str(scratch / "ours"),
        "dataset": DATASET,
        "encord_integration": service.encord_integration,
        "domain": service.url,
        "private_key": service.private_key,
        "store_url": s3.endpoint_url,
        "url_endpoint": s3.endpoint_url,
        "login": [s3.access_key_id, s3.secret_access_key],
        "bucket": BUCKET,
        "items_per_manifest": ITEMS_PER_MANIFEST,
    }
    first, second = sync | {"run_id": "night-1"}, sync | {"run_id": "night-2"}
    return [
        theirs("Label Studio, all new"),
        measure("ours, all new: list, plan, build", f"{THIS}:ours_to_manifests", sync=first),
        measure("ours, all new: register, settle", f"{THIS}:ours_registered", sync=first),
        theirs("Label Studio, nothing new"),
        measure("ours, nothing new", f"{THIS}:ours_to_manifests", sync=second),
    ]


def shown(measured: Sequence[Measurement], objects: int) -> str:
    """Return a Markdown table. Seconds are those of the sync; CPU seconds have start and imports in them."""
    lines = ["| case | objects/s | seconds | CPU s | peak MiB |", "|---|---|---|---|---|"]
    for each in measured:
        seconds = each.result["seconds"]
        row = (
            each.name,
            f"{objects / seconds:,.0f}",
            f"{seconds:.2f}",
            f"{each.cpu_s:.2f}",
            f"{each.peak_mib:.0f}",
        )
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines)


def main() -> None:
    """Read the command line, measure, print Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--objects", type=int, default=10_000)
    parser.add_argument("--environment", type=Path, help="where Label Studio is installed, and stays")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-label-studio-") as folder:
        scratch = Path(folder)
        python = installed(options.environment or scratch / "environment")
        with (
            running_s3(scratch, [BUCKET]) as s3,
            running_dataset_service(scratch / "service", s3, [BUCKET]) as service,
        ):
            _fill(s3, options.objects)
            measured = first_and_second(scratch, python, s3, service)
    created = [each.result["created"] for each in measured]
    assert created == [options.objects] * 3 + [0, 0], f"not all objects were taken: {created}"
    print(f"\n{options.objects:,} pictures:\n")
    print(shown(measured, options.objects))


def _fill(s3: S3Server, objects: int) -> None:
    from obstore.store import S3Store

    store = S3Store(
        BUCKET,
        endpoint=s3.endpoint_url,
        region="us-east-1",
        access_key_id=s3.access_key_id,
        secret_access_key=s3.secret_access_key,
        client_options={"allow_http": True},
    )
    put_pictures(store, (f"raw/camera-{number % 10:02d}/{number:07d}.jpg" for number in range(objects)))


if __name__ == "__main__":
    main()
