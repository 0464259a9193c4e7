"""A bucket in memory in place of the one that commands would open."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from cloud_sync.objects import stores
from tests.unit.objects.fake_store import FakeStore

if TYPE_CHECKING:
    from collections.abc import Mapping


class Bucket(FakeStore):
    """A bucket that commands can open; its objects hold nothing but their size."""

    def check_access(self, prefix: str = "") -> None:
        """Look as the real one does."""
        self.page(prefix, limit=1)

    def read_range(self, key: str, start: int, length: int) -> bytes:
        """Return zeros."""
        return io.BytesIO(bytes(self.sizes[key])).read()[start : start + length]


@dataclass
class Opened:
    """What commands have opened: the arguments of the last time."""

    arguments: dict[str, Any] = field(default_factory=dict)


def put_in_place(monkeypatch: pytest.MonkeyPatch, sizes: Mapping[str, int]) -> Opened:
    """Let commands open a bucket with these objects, in a region, with no file of the user's."""
    opened = Opened()

    def open_s3(bucket: str, **arguments: Any) -> Bucket:
        opened.arguments = {"bucket": bucket, **arguments}
        return Bucket(sizes)

    monkeypatch.setattr(stores, "open_s3", open_s3)
    for name in (
        "AWS_PROFILE",
        "AWS_DEFAULT_PROFILE",
        "AWS_REGION",
        "AWS_ENDPOINT_URL",
        "AWS_ENDPOINT_URL_S3",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere/config")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere/credentials")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    return opened
