"""Which of some keys a store has at this moment."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import compress, islice
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from cloud_sync.objects.model import ObjectStore, Page

REQUESTS_IN_FLIGHT: Final = 32
KEYS_AT_ONCE: Final = 10_000
"""How many keys wait for their answers; each costs memory."""


def present(store: ObjectStore, keys: Iterable[str]) -> set[str]:
    """Return those of these keys that the store has now; asks many side by side.

    Raises:
        ObjectStoreError: The store did not answer for one of them.
    """
    found: set[str] = set()
    rest = iter(keys)
    with ThreadPoolExecutor(REQUESTS_IN_FLIGHT, thread_name_prefix="presence") as pool:
        while some := list(islice(rest, KEYS_AT_ONCE)):
            found.update(compress(some, pool.map(lambda key: is_there(store.page, key), some)))
    return found


def is_there(list_page: Callable[..., Page], key: str) -> bool:
    """Tell whether a store has a key now, by a listing: one request, unless it gives an empty page.

    Where a policy allows listing below a prefix only, as the one that comes with this project, S3 answers for
    the content and the head of an object that is gone as if access was refused.

    Args:
        list_page: The store's `page`.
        key: The key.

    Raises:
        ObjectStoreError: The store did not answer.
    """
    token: str | None = None
    while True:
        # Of all keys that begin with this one it is the first.
        page = list_page(key, token=token, limit=1)
        if page.rows.num_rows:
            return bool(page.rows["key"][0].as_py() == key)
        if (token := page.next_token) is None:
            return False
