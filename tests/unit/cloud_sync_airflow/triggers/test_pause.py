"""The trigger of a pause: never before its end, never for a day because a clock was moved."""

from __future__ import annotations

import json

import pytest

from cloud_sync_airflow.triggers import pause
from cloud_sync_airflow.triggers.pause import PauseTrigger

NOW = 1_800_000_000.0


@pytest.fixture
def slept(monkeypatch):
    waits: list[float] = []

    async def sleep(seconds):
        waits.append(seconds)

    monkeypatch.setattr(pause.asyncio, "sleep", sleep)
    monkeypatch.setattr(pause.time, "time", lambda: NOW)
    return waits


def test_serialize_literally():
    path, arguments = PauseTrigger(until=NOW, pause_s=60.0).serialize()
    assert path == "cloud_sync_airflow.triggers.pause.PauseTrigger"
    assert json.loads(json.dumps(arguments)) == {"until": NOW, "pause_s": 60.0}
    assert PauseTrigger(**arguments).serialize() == (path, arguments)


@pytest.mark.parametrize(("left_s", "waited_s"), [(60, 60), (20, 20), (-5, 0), (86_460, 60), (-86_400, 0)])
async def test_it_waits_for_what_is_left_and_a_little_more(slept, left_s, waited_s):
    events = [event.payload async for event in PauseTrigger(until=NOW + left_s, pause_s=60).run()]
    assert events == [{"event": "over"}]
    assert waited_s <= slept[0] <= waited_s + 6
