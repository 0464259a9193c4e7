"""Stores for these tests, each started once."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import pytest

from cloud_sync.objects import gcs
from tests.servers import LOOPBACK, running_azurite, running_gcs, running_moto, running_s3

from .backends import GcsBackend, S3Backend

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers import AzureServer, GcsServer, S3Server

    from .backends import Backend

KEYS_PER_PAGE = 5


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A store that keeps every key as it is and gives small pages."""
    with running_moto(tmp_path_factory.mktemp("moto"), keys_per_page=KEYS_PER_PAGE) as server:
        yield server


@pytest.fixture(scope="session")
def seaweedfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A store that checks signatures."""
    with running_s3(tmp_path_factory.mktemp("s3"), buckets=["media"]) as server:
        yield server


@pytest.fixture(scope="session")
def fake_gcs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GcsServer]:
    """A store that keeps every key as it is, in memory."""
    with running_gcs(tmp_path_factory.mktemp("gcs"), ["media"], in_memory=True) as server:
        yield server


@pytest.fixture(params=["s3", "otc", "gcs"])
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Backend:
    """Each store in turn, with small pages."""
    if request.param == "gcs":
        # This server gives as many keys as it is asked for.
        monkeypatch.setattr(gcs, "KEYS_PER_PAGE", KEYS_PER_PAGE)
        return GcsBackend(request.getfixturevalue("fake_gcs"))
    if request.param == "otc":
        monkeypatch.setattr(socket, "getaddrinfo", _at_home(socket.getaddrinfo))
    return S3Backend(request.getfixturevalue("moto"), is_otc=request.param == "otc")


def _at_home(resolve: Any) -> Any:
    """Return a resolver that finds every host of Open Telekom Cloud on this machine."""

    def resolved(host: str, *more: Any, **named: Any) -> Any:
        return resolve(LOOPBACK if host.endswith(".otc.t-systems.com") else host, *more, **named)

    return resolved


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AzureServer]:
    """A store of Azure's kind that checks signatures."""
    with running_azurite(tmp_path_factory.mktemp("azurite")) as server:
        yield server
