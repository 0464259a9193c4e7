"""What the tests of the client and its transport share."""

from __future__ import annotations

import pytest
from requests.adapters import HTTPAdapter

from cloud_sync.registration import transport
from tests.unit.registration.wire import FOLDER_PATH, Wire, folder


@pytest.fixture
def wire(monkeypatch) -> Wire:
    """Stands for the network and the clock of the client; Encord has one folder."""
    wire = Wire()
    wire.on("GET", FOLDER_PATH, folder())
    monkeypatch.setattr(HTTPAdapter, "send", wire.send)
    monkeypatch.setattr(transport, "time", wire.clock)
    return wire
