"""No secret leaves its place: not in logs, run folders, ledgers, XComs or rendered fields.

The secrets of the stack are the canaries. This module stands last in the alphabet for a reason: it looks
at what all the other tests have left.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.e2e.conftest import REFUSED_SECRET, Bench

SHORTEST_CANARY = 12
TABLES = ("xcom", "rendered_task_instance_fields", "task_instance", "dag_run", "serialized_dag", "log")
EVENT_TABLES = ("asset_event", "import_error", "job", "trigger")
SUFFIXES = {".log", ".json", ".jsonl", ".csv", ".parquet"}
MAX_XCOM_BYTES = 1024


def canaries(bench: Bench) -> dict[str, str]:
    """Return every secret, keys line by line, under a name that may be shown."""
    secrets = bench.stack.secrets
    found = {
        "S3 secret": secrets.s3_secret_access_key,
        "refused S3 secret": REFUSED_SECRET,
        "database password": secrets.postgres_password,
        "UI password": secrets.airflow_password,
        "JWT secret": secrets.airflow_jwt_secret,
        "API secret key": secrets.airflow_secret_key,
        "Fernet key": secrets.airflow_fernet_key,
        **bench.storages.secrets,
    }
    keys = {"Encord key": secrets.encord_ssh_key, "slow service's key": bench.slow_service.private_key}
    keys["storages' key"] = bench.storages.service.private_key
    keys["RSA key"] = bench.rsa_key
    for name, key in keys.items():
        lines = [line for line in key.splitlines() if len(line) >= SHORTEST_CANARY and "-----" not in line]
        found |= {f"{name}, line {number}": line for number, line in enumerate(lines)}
    assert min(map(len, found.values())) >= SHORTEST_CANARY
    return found


def leaks(canaries: dict[str, str], text: str) -> list[str]:
    """Return the names of the secrets that a text holds."""
    return [name for name, secret in canaries.items() if secret in text]


def text_of(path: Path) -> str:
    """Return what a file says; Parquet is compressed, so its values and metadata are read out."""
    if path.suffix != ".parquet":
        return path.read_bytes().decode(errors="replace")
    file = pq.ParquetFile(path)
    parts = [str(file.metadata.metadata), str(file.schema_arrow)]
    for batch in file.iter_batches():
        for column in batch.columns:
            parts += map(str, column.to_pylist())
    return "\n".join(parts)


def written(bench: Bench) -> Iterator[tuple[str, str]]:
    """Yield (where, text) of every log, run folder, ledger and table."""
    places = bench.stack.places
    folders = (places.airflow_home / "logs", places.state, places.root / "logs")
    for path in (path for folder in folders for path in folder.rglob("*") if path.is_file()):
        yield str(path), text_of(path)
    for service in (bench.slow_service, bench.storages.service):
        yield str(service.log), text_of(service.log)
    with psycopg2.connect(libpq_url(bench)) as connection, connection.cursor() as cursor:
        for table in (*TABLES, *EVENT_TABLES):
            cursor.execute(f"SELECT t::text FROM {table} AS t")
            for (row,) in cursor:
                yield f"table {table}", row


def libpq_url(bench: Bench) -> str:
    """Return the database's address without SQLAlchemy's driver in it."""
    url = bench.stack.environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]
    scheme, _, rest = url.partition("://")
    return f"{scheme.partition('+')[0]}://{rest}"


@pytest.mark.parametrize("compression", ["none", "zstd", "snappy"])
def test_the_search_finds_a_secret_in_each_kind_of_file(tmp_path: Path, compression: str) -> None:
    secret = "a-planted-secret-value"
    columns = {
        "key": ["plain.jpg", f"{secret}.jpg"],
        "nested": [{"deep": ["x"]}, {"deep": [secret]}],
        "metadata": ["", ""],
    }
    for name, values in columns.items():
        table = pa.table({name: values}, metadata={"origin": secret if name == "metadata" else ""})
        path = tmp_path / f"{name}.parquet"
        pq.write_table(table, path, compression=compression)
        assert leaks({"planted": secret}, text_of(path)) == ["planted"], name
    clean = tmp_path / "clean.parquet"
    pq.write_table(pa.table({"key": ["plain.jpg"]}), clean, compression=compression)
    assert leaks({"planted": secret}, text_of(clean)) == []
    for suffix in SUFFIXES - {".parquet"}:
        (tmp_path / f"file{suffix}").write_bytes(b"\xff" + secret.encode())
        assert leaks({"planted": secret}, text_of(tmp_path / f"file{suffix}")) == ["planted"]


def test_no_secret_is_written_anywhere(bench: Bench) -> None:
    wanted = canaries(bench)
    places = set()
    for where, text in written(bench):
        places.add(where if where.startswith("table ") else Path(where).suffix)
        leaked = leaks(wanted, text)
        assert not leaked, f"{where} holds {leaked}"
    looked_at = SUFFIXES | {f"table {name}" for name in TABLES}
    assert looked_at <= places, f"looked at too little: nothing of {looked_at - places}"


def test_xcoms_are_references(bench: Bench) -> None:
    with psycopg2.connect(libpq_url(bench)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT task_id, key, max(octet_length(value::text)) FROM xcom GROUP BY task_id, key")
        sizes = {(task_id, key): size for task_id, key, size in cursor}
    assert {task_id for task_id, _ in sizes} >= {"list", "plan", "build", "register", "settle"}
    assert max(sizes.values()) < MAX_XCOM_BYTES, sizes
