"""The import contracts of pyproject.toml hold, and each one bites."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]

# contract id -> (module that gets a bad import, what it imports)
VIOLATIONS = {
    "core-without-airflow": [
        ("cloud_sync.planning.planted_airflow", "airflow.sdk"),
        ("cloud_sync.planted_way_around", "cloud_sync_airflow.provider"),
    ],
    "dags-declare": [("dags.planted_logic", "cloud_sync.errors")],
    "nobody-imports-dags": [("cloud_sync_airflow.planted_dag", "dags.planted_logic")],
    "dataset-service-apart": [
        ("cloud_sync.media.planted_service", "cloud_sync.dataset_service"),
        ("cloud_sync_airflow.planted_service", "cloud_sync.dataset_service.planted_inner"),
    ],
    "rooms-apart": [("cloud_sync.planning.planted_room", "cloud_sync.failures.planted_inner")],
    "obstore": [
        ("cloud_sync.planning.planted_obstore", "obstore"),
        ("cloud_sync.objects.planted_obstore", "obstore"),
        ("cloud_sync_airflow.planted_obstore", "obstore.store"),
        ("dags.planted_obstore", "obstore"),
    ],
    "duckdb": [("cloud_sync.objects.planted_duckdb", "duckdb")],
    "encord": [
        ("cloud_sync.registration.planted_encord", "encord.user_client"),
        ("cloud_sync_airflow.hooks.planted_encord", "encord"),
    ],
    "media-decoders": [
        ("cloud_sync.objects.planted_av", "av"),
        ("cloud_sync.planning.planted_pil", "PIL.Image"),
        ("cloud_sync_airflow.planted_pydicom", "pydicom"),
    ],
}
ALLOWED = [
    ("cloud_sync_airflow.planted_operator", "airflow.sdk"),
    ("cloud_sync_airflow.planted_operator", "cloud_sync.planning"),
    ("dags.planted_good", "airflow.sdk"),
    ("dags.planted_good", "cloud_sync_airflow.planted_operator"),
    ("dags.planted_good", "cloud_sync.integration"),
    ("cloud_sync.planning.planted_good", "cloud_sync.manifest.items"),
    ("cloud_sync.planning.planted_good", "cloud_sync.objects.model"),
    ("cloud_sync.planning.planted_good", "duckdb"),
    ("cloud_sync.ledger_sql", "duckdb"),
    ("cloud_sync.sql_engine", "duckdb"),
    ("cloud_sync.patterns", "duckdb"),
    ("cloud_sync.run_folder.bucket", "obstore"),
    ("cloud_sync.registration.client", "encord"),
    ("cloud_sync.media.planted_good", "PIL.Image"),
    ("cloud_sync.dataset_service.planted_good", "av"),
]


def module_file(tree: Path, module: str) -> Path:
    """Return where a module stands in a copy of the repository."""
    root = {"cloud_sync": "include", "cloud_sync_airflow": "plugins", "dags": "."}[
        module.split(".", maxsplit=1)[0]
    ]
    path = (tree / root).joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def plant(tree: Path, module: str, imported: str) -> None:
    """Add an import statement to a module, which is made if it does not exist."""
    with module_file(tree, module).open("a") as file:
        file.write(f"\nimport {imported}\n")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the code, with an inner module in each room that a bad import can reach."""
    ignored = shutil.ignore_patterns("__pycache__")
    for folder in ("include/cloud_sync", "plugins/cloud_sync_airflow", "dags"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for inner in ("cloud_sync.dataset_service.planted_inner", "cloud_sync.failures.planted_inner"):
        module_file(tmp_path, inner).touch()
    return tmp_path


def verdicts(tree: Path) -> tuple[dict[str, bool], str]:
    """Run import-linter on a tree; return whether each contract is kept, by id, and the report."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(["include", "plugins", "."]), "COLUMNS": "400"}
    program = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [program, "--no-cache"],
        cwd=tree,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    kept = {}
    for contract in CONTRACTS:
        found = re.search(rf"^{re.escape(contract['name'])} (KEPT|BROKEN)", done.stdout, re.MULTILINE)
        assert found, done.stdout + done.stderr
        kept[contract["id"]] = found[1] == "KEPT"
    assert done.returncode == (0 if all(kept.values()) else 1)
    return kept, done.stdout


def test_the_code_keeps_every_contract_and_may_do_what_the_design_allows(tree: Path) -> None:
    for module, imported in ALLOWED:
        plant(tree, module, imported)

    kept, report = verdicts(tree)

    assert all(kept.values()), report


def test_every_contract_is_broken_by_a_planted_violation(tree: Path) -> None:
    assert set(VIOLATIONS) == {contract["id"] for contract in CONTRACTS}
    for violations in VIOLATIONS.values():
        for module, imported in violations:
            plant(tree, module, imported)

    kept, report = verdicts(tree)

    assert not any(kept.values()), report
    for module, imported in (pair for violations in VIOLATIONS.values() for pair in violations):
        package = imported.split(".")[0]
        shown = imported if package in {"cloud_sync", "cloud_sync_airflow", "dags"} else package
        assert f"{module} -> {shown} (l." in report


HEAVY = (
    "aiosmtplib",
    "boto3",
    "botocore",
    "duckdb",
    "encord",
    "fastapi",
    "google.cloud.storage",
    "obstore",
    "pandas",
    "pyarrow",
    "slack_sdk",
)
PARSE_EACH_DAG_FILE = """
import json, runpy, sys
from pathlib import Path
heavy, *files = sys.argv[1:]
import airflow.sdk
before = set(sys.modules)
found = {}
for file in files:
    runpy.run_path(file)
    found[Path(file).name] = sorted(m for m in json.loads(heavy) if m in sys.modules and m not in before)
print("FOUND " + json.dumps(found))
"""


def test_no_dag_file_imports_a_heavy_package_when_it_is_parsed() -> None:
    files = [str(path) for path in sorted((ROOT / "dags").glob("*.py"))]
    assert files

    done = subprocess.run(
        [sys.executable, "-c", PARSE_EACH_DAG_FILE, json.dumps(HEAVY), *files],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )

    found = json.loads(done.stdout.rsplit("FOUND ", 1)[1])
    assert found == {Path(file).name: [] for file in files}
