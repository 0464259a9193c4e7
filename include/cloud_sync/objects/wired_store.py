"""What the stores of all providers have in common: they read objects over a wire, in attempts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, TypeVar

from cloud_sync.objects.attempts import Attempts
from cloud_sync.objects.presence import is_there

if TYPE_CHECKING:
    from collections.abc import Callable

    from cloud_sync.objects.model import Page
    from cloud_sync.objects.wire import Answer, Wire

T = TypeVar("T")


class WiredStore(ABC):
    """Base of the stores. All methods are safe to call from many threads; each raises ObjectStoreError.

    Args:
        bucket: The bucket's name; on Azure the container's.
        where: The place named in errors.
        attempts: How requests are tried again.
    """

    def __init__(self, bucket: str, where: str, attempts: Attempts | None) -> None:
        self.bucket = bucket
        self.where = where
        self._attempts = attempts or Attempts()

    def read_range(self, key: str, start: int, length: int) -> bytes:
        """Return up to `length` bytes from offset `start`: fewer at the end, none behind it. One request."""
        if length <= 0:
            return b""
        return self._read(
            key, lambda wire, deadline, where: wire.start(key, start, length, deadline=deadline, where=where)
        ).data

    def read_start(self, key: str, length: int) -> tuple[int, bytes]:
        """Return an object's size in bytes and its first `length` bytes: all there is of a shorter one.

        One request.
        """
        answer = self._read(
            key, lambda wire, deadline, where: wire.start(key, 0, length, deadline=deadline, where=where)
        )
        return answer.size_bytes, answer.data

    def read_tail(self, key: str, length: int) -> bytes:
        """Return the last `length` bytes, or all of a shorter object. One request."""
        if length <= 0:
            return b""
        return self._read(
            key, lambda wire, deadline, where: wire.tail(key, length, deadline=deadline, where=where)
        ).data

    def is_listed(self, key: str) -> bool:
        """Tell whether an object is there, by a listing."""
        return is_there(self.page, key)

    def check_access(self, prefix: str = "") -> None:
        """Make one cheap request that tells a missing bucket, refused credentials and a wrong region apart.

        Args:
            prefix: Where to look. A policy may allow listing below a prefix only.
        """
        self.page(prefix, limit=1)

    @abstractmethod
    def page(
        self,
        prefix: str,
        *,
        after: str | None = None,
        token: str | None = None,
        delimiter: str = "",
        limit: int | None = None,
    ) -> Page:
        """List one page, as `ObjectStore` says."""

    @abstractmethod
    def _opened_wire(self) -> Wire:
        """Return the wire to the store."""

    def _make(self, call: Callable[[float], T], where: str) -> T:
        """Return what a request returns, which is given the time when it has to have ended."""
        return self._attempts.make(call, where)

    def _read(self, key: str, ask: Callable[[Wire, float, str], Answer]) -> Answer:
        """Return what is said of an object."""
        where = self._place(key)
        return self._make(lambda deadline: ask(self._opened_wire(), deadline, where), where)

    def _head(self, key: str) -> Answer:
        return self._read(key, lambda wire, deadline, where: wire.head(key, deadline=deadline, where=where))

    def _place(self, key: str) -> str:
        return f"{self.where}, object {key!r}"


def check_goes_on(page: Page, token: str | None) -> None:
    """See that a page is not followed by itself.

    Args:
        page: The page.
        token: What it was asked for with; None for a first page.

    Raises:
        ValueError: It is, so the listing would never end.
    """
    if token is not None and page.next_token == token:
        raise ValueError("the page that follows is the page itself, so it would never end")
