"""Stores for these tests, each started once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.servers import running_azurite, running_moto, running_s3

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers import AzureServer, S3Server

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
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AzureServer]:
    """A store of Azure's kind that checks signatures."""
    with running_azurite(tmp_path_factory.mktemp("azurite")) as server:
        yield server
