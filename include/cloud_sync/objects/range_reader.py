"""List one range of keys, page after page, whatever the store does in between."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

import pyarrow.compute as pc

from cloud_sync.objects.errors import ObjectStoreError
from cloud_sync.objects.rows import strings
from cloud_sync.objects.spans import DELIMITER, Span
from cloud_sync.objects.windows import WHOLE, OutOfOrderError, Window, is_rising

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator

    import pyarrow as pa

    from cloud_sync.objects.model import ObjectStore
    from cloud_sync.objects.tally import Tally
    from cloud_sync.pace import Pace

FAILURES_IN_A_ROW = 4
"""How often a range is taken up again without a new page in between, after the retries of each request."""
LONGEST_PAUSE_S = 20.0
LONGEST_ASKED_S = 900.0
"""A store that asks for a longer pause ends the listing: the task is tried again when that is over."""


class RangeReader:
    """Reads ranges; made for one thread.

    Args:
        store: The bucket.
        tally: Where to count.
        pace: Where to say how long the store took.
        stopped: Set when nobody wants the rows any more: ends a pause between tries.
        window: Which keys are wanted.
    """

    def __init__(
        self,
        store: ObjectStore,
        *,
        tally: Tally,
        pace: Pace,
        stopped: threading.Event,
        window: Window = WHOLE,
    ) -> None:
        self.store = store
        self.tally = tally
        self.pace = pace
        self.stopped = stopped
        self.window = window

    def pages(self, span: Span) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a range that are in the window, in the store's order.

        A range of folders rests on the order of keys in bytes, which not every store keeps: a folder that
        did not come up is therefore listed by itself.

        Raises:
            ObjectStoreError: The store refused, failed for longer than the retries last, or asks for a pause
                that is too long to be waited out here.
            OutOfOrderError: The store has another order of keys than the window says.
        """
        if span.folders is None:
            yield from map(self.window.of, self._ranged(span.prefix, None))
            return
        # "0" follows "/": nothing stands between the last key of a folder `a/` and the string `a0`.
        folders: list[str] = span.folders.to_pylist()
        first, end = folders[0], folders[-1].removesuffix(DELIMITER) + "0"
        missing = set(folders)
        for rows in self._ranged(span.prefix, span.after):
            keys = rows["key"]
            bounds = strings([first, end])
            inside = rows.filter(pc.and_(pc.greater_equal(keys, bounds[0]), pc.less(keys, bounds[1])))
            missing -= _folders_of(inside, len(span.prefix))
            yield self.window.of(inside)
            if rows.num_rows and keys[-1].as_py() >= end:
                break
        for folder in sorted(missing):
            yield from map(self.window.of, self._ranged(folder, None))

    def _ranged(self, prefix: str, after: str | None) -> Iterator[pa.RecordBatch]:
        """Yield pages to the end of a prefix, from the beginning of the window on if that lies within.

        What the store lists before that, though it is asked for what follows, or later out of order, would be
        taken for what an earlier try has listed. So it ends the listing.
        """
        if not (self.window.in_order and self.window.begins_in(prefix)):
            yield from self._pages(prefix, after)
            return
        last = ""
        if self.store.has_start_after:
            after = last = max(after or "", self.window.after)
        for rows in self._pages(prefix, after):
            if rows.num_rows:
                keys = rows["key"]
                if keys[0].as_py() <= last or not is_rising(keys):
                    raise OutOfOrderError
                last = keys[-1].as_py()
            yield rows

    def _limit(self) -> int | None:
        return self.store.keys_per_shared_page if self.pace.worth > 1 else None

    def _pages(self, prefix: str, after: str | None) -> Iterator[pa.RecordBatch]:
        """Yield pages to the end of a prefix; whatever fails is tried again from where it was."""
        token: str | None = None
        before: pa.Array | None = None
        failures = 0
        while not self.stopped.is_set():
            asked_at, worked_s = time.monotonic(), time.thread_time()
            try:
                page = self.store.page(prefix, after=after, token=token, limit=self._limit())
            except ObjectStoreError as error:
                failures += 1
                asked_s = error.retry_after_s or 0.0
                if not error.transient or failures > FAILURES_IN_A_ROW or asked_s > LONGEST_ASKED_S:
                    raise
                self.tally.add(resumed=1)
                # A token may have expired with what went wrong; the last key never does.
                token = None if self.store.has_start_after else token
                pause_s = min(LONGEST_PAUSE_S, 2.0**failures)
                self.stopped.wait(asked_s or random.uniform(0, pause_s))  # noqa: S311 (jitter)
                continue
            self.pace.waited(time.monotonic() - asked_at - (time.thread_time() - worked_s))
            self.tally.add(requests=1)
            failures = 0
            yield _without_repeated(page.rows, before)
            before = page.rows["key"]
            token = page.next_token
            if token is None:
                return
            if page.rows.num_rows and self.store.has_start_after:
                after = page.rows["key"][-1].as_py()


def _without_repeated(rows: pa.RecordBatch, before: pa.Array | None) -> pa.RecordBatch:
    """Leave out what stood on the page before, too, as when a store gives a page a second time."""
    keys = rows["key"]
    if before is None or not len(before) or not len(keys) or keys[0].as_py() > before[-1].as_py():
        return rows
    return rows.filter(pc.invert(pc.is_in(keys, before)))


def _folders_of(rows: pa.RecordBatch, start: int) -> set[str]:
    """Return the folders that keys stand in, one level below the first `start` characters."""
    return {key[: key.find(DELIMITER, start) + 1] for key in rows["key"].to_pylist()}
