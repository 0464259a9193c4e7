"""Servers that need what not every machine has: tests say so and are skipped, but not in CI."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests import servers

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def without_node(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers.shutil, "which", lambda _: None)


@pytest.mark.usefixtures("without_node")
def test_where_node_is_missing_tests_of_azure_are_skipped(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("CI", raising=False)

    with pytest.raises(pytest.skip.Exception, match="node was not found"):
        servers.azurite_command()


@pytest.mark.usefixtures("without_node")
def test_in_ci_they_fail(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CI", "1")

    with pytest.raises(pytest.fail.Exception, match="node was not found"):
        servers.azurite_command()


def test_where_azurite_is_not_installed_the_message_says_how(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(servers.shutil, "which", lambda _: "/usr/bin/node")
    monkeypatch.setattr(servers, "AZURITE", tmp_path / "main.js")
    monkeypatch.setenv("CI", "1")

    with pytest.raises(pytest.fail.Exception, match="make azurite"):
        servers.azurite_command()
