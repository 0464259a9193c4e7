"""Small pictures in a store, many at a time."""

from __future__ import annotations

import asyncio
import io
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

AT_A_TIME: Final = 64


@cache
def picture() -> bytes:
    """Return a small picture."""
    buffer = io.BytesIO()
    Image.new("RGB", (64, 48)).save(buffer, "JPEG")
    return buffer.getvalue()


def put_pictures(store: Any, keys: Iterable[str]) -> None:
    """Put a picture under each of these keys of a store of obstore."""
    content = picture()
    for_each(keys, lambda key: store.put_async(key, content))


def for_each(keys: Iterable[str], act: Callable[[str], Awaitable[Any]]) -> None:
    """Do something with each of these keys."""

    async def work(left: Iterable[str]) -> None:
        for key in left:
            await act(key)

    async def work_all() -> None:
        left = iter(keys)
        await asyncio.gather(*(work(left) for _ in range(AT_A_TIME)))

    asyncio.run(work_all())
