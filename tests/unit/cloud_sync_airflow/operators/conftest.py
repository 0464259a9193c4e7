"""The house that the tests of the operators share."""

from __future__ import annotations

import json

import pytest

from cloud_sync_airflow.hooks.encord import EncordHook
from cloud_sync_airflow.hooks.object_store import ObjectStoreHook
from tests.unit.cloud_sync_airflow.operators.house import S3_SECRET, S3_TOKEN, SSH_KEY, Bucket, Encord, House
from tests.unit.failures.fakes import JPEG


@pytest.fixture
def house(tmp_path, monkeypatch) -> House:
    monkeypatch.setenv("AIRFLOW__CLOUD_SYNC__STATE_FOLDER", str(tmp_path / "state"))
    aws = {"conn_type": "aws", "login": "AKIA", "password": S3_SECRET}
    aws["extra"] = {"aws_session_token": S3_TOKEN, "region_name": "eu-central-1"}
    monkeypatch.setenv("AIRFLOW_CONN_AWS_CAMERAS", json.dumps(aws))
    monkeypatch.setenv(
        "AIRFLOW_CONN_ENCORD_CAMERAS", json.dumps({"conn_type": "encord", "password": SSH_KEY})
    )
    contents = {f"in/{n}.jpg": JPEG for n in range(5)} | {
        "in/bad.jpg": b"",
        "in/x.txt": b"x",
        "out/a.jpg": JPEG,
    }
    house = House(Bucket(contents), Encord())
    monkeypatch.setattr(ObjectStoreHook, "get_conn", lambda hook: house.bucket)
    monkeypatch.setattr(EncordHook, "get_conn", lambda hook: house.encord)
    return house
