"""No secret leaves its place: not in logs, run folders, ledgers, XComs or rendered fields.

The secrets of the stack are the canaries. This module stands last in the alphabet for a reason: it looks
at what all the other tests have left.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg2

from tests.e2e.conftest import Bench

SHORTEST_CANARY = 12
TABLES = ("xcom", "rendered_task_instance_fields", "task_instance", "dag_run", "serialized_dag", "log")
MAX_XCOM_BYTES = 1024


def canaries(bench: Bench) -> dict[str, str]:
    """Return every secret, keys line by line, under a name that may be shown."""
    secrets = bench.stack.secrets
    keys = {"encord key": secrets.encord_ssh_key, "slow key": bench.slow_service.private_key}
    keys["rsa key"] = bench.rsa_key
    found = {"s3 secret": secrets.s3_secret_access_key, "refused secret": "not-the-secret"}
    for name, key in keys.items():
        lines = [line for line in key.splitlines() if len(line) >= SHORTEST_CANARY and "-----" not in line]
        found |= {f"{name}, line {number}": line for number, line in enumerate(lines)}
    return found


def written(bench: Bench) -> Iterator[tuple[str, str]]:
    """Yield (where, text) of every log, run folder, ledger and table."""
    places = bench.stack.places
    folders = (places.airflow_home / "logs", places.state, places.root / "logs")
    for path in (path for folder in folders for path in folder.rglob("*") if path.is_file()):
        yield str(path), path.read_bytes().decode(errors="replace")
    with psycopg2.connect(libpq_url(bench)) as connection, connection.cursor() as cursor:
        for table in TABLES:
            cursor.execute(f"SELECT t::text FROM {table} AS t")
            for (row,) in cursor:
                yield f"table {table}", row


def libpq_url(bench: Bench) -> str:
    """Return the database's address without SQLAlchemy's driver in it."""
    url = bench.stack.environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]
    scheme, _, rest = url.partition("://")
    return f"{scheme.partition('+')[0]}://{rest}"


def test_no_secret_is_written_anywhere(bench: Bench) -> None:
    wanted = canaries(bench)
    places = set()
    for where, text in written(bench):
        places.add(Path(where).suffix or where)
        leaked = [name for name, secret in wanted.items() if secret in text]
        assert not leaked, f"{where} holds {leaked}"
        assert "X-Amz-Signature" not in text, f"{where} holds a presigned URL"
    assert {".log", ".json", ".parquet", ".csv", "table xcom"} <= places, "looked at too little"


def test_xcoms_are_references(bench: Bench) -> None:
    with psycopg2.connect(libpq_url(bench)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT task_id, key, octet_length(value::text) FROM xcom")
        sizes = {(task_id, key): size for task_id, key, size in cursor}
    assert {task_id for task_id, _ in sizes} >= {"list", "plan", "build", "register", "settle"}
    assert max(sizes.values()) < MAX_XCOM_BYTES, sizes
