"""List one range of keys exactly, as fast as exactness allows.

obstore gives 40 times more keys a second than the provider's client, but it treats keys as paths. Its
listing is believed where it must be true, and asked again of the provider's client where it may not be:

- it ends with InvalidPathError at a page with a key that it cannot express: the provider's client goes on
  behind the last good key, until a whole page is free of such keys;
- it drops a trailing slash: `a/` is given as `a`. So entries without content, entries that are followed by
  something inside them, and entries out of order are looked up;
- it is empty where the address style is wrong: an empty answer is looked up.

What remains: an object whose key ends with a slash, that has content, nothing inside it, and no key that
sorts between it and its name without the slash, is listed without the slash. Nothing tells it apart but one
HEAD for every object of the bucket. Encord then reports its URL as missing, so it fails by name.
"""

from __future__ import annotations

import random
from array import array
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from cloud_sync.objects.errors import ObjectStoreError
from cloud_sync.objects.model import LISTING_COLUMNS
from cloud_sync.objects.spans import DELIMITER, Span
from cloud_sync.objects.stores import KEYS_PER_PAGE, is_expressible

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator, Sequence

    from cloud_sync.objects.model import StoredObject
    from cloud_sync.objects.stores import ObjectStore
    from cloud_sync.objects.tally import Tally

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
TIMESTAMP = pa.timestamp("us", "UTC")
LISTING_SCHEMA = pa.schema(
    list(zip(LISTING_COLUMNS, (pa.string(), pa.int64(), TIMESTAMP, pa.string()), strict=True))
)

FAILURES_IN_A_ROW = 4
"""How often a range is taken up again without a new key in between, after the retries of each request."""
LONGEST_PAUSE_S = 20.0
JOIN_GAP = 100
"""Doubtful entries with fewer good ones between them are looked up in one request."""


def batch_of(objects: Sequence[StoredObject], tally: Tally) -> pa.RecordBatch:
    """Return objects as rows of a listing, without folder markers."""
    kept = [each for each in objects if each.size_bytes or not each.key.endswith(DELIMITER)]
    tally.add(folder_markers=len(objects) - len(kept))
    arrays = [
        _strings([each.key for each in kept]),
        _integers(pa.int64(), [each.size_bytes for each in kept]),
        _integers(TIMESTAMP, [(each.last_modified - EPOCH) // MICROSECOND for each in kept]),
        _strings([each.etag for each in kept]),
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=LISTING_SCHEMA)


# pa.array(), pa.scalar() and every kernel that is given a Python value import pandas where it is installed:
# 45 MB and half a second of CPU. So arrays are built from buffers, and kernels are given arrays.
def _strings(values: Sequence[str]) -> pa.StringArray:
    encoded = [value.encode() for value in values]
    offsets = array("i", accumulate(map(len, encoded), initial=0))
    return pa.StringArray.from_buffers(len(encoded), pa.py_buffer(offsets), pa.py_buffer(b"".join(encoded)))


def _integers(kind: pa.DataType, values: Sequence[int]) -> pa.Array:
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(array("q", values))])


class SpanReader:
    """Reads one range; made for one use by one thread.

    Args:
        store: The bucket.
        span: The range.
        tally: Where to count.
        stopped: Set when nobody wants the rows any more: ends a pause between tries.
    """

    def __init__(self, store: ObjectStore, span: Span, tally: Tally, stopped: threading.Event) -> None:
        self.store = store
        self.span = span
        self.tally = tally
        self.stopped = stopped
        self._position = span.after
        self._done = False
        self._exact_only = span.needs_exact_client

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the rows of the range in the order of keys.

        Raises:
            ObjectStoreError: The store refused, or failed for longer than the retries last.
        """
        failures = 0
        while not self._done and not self.stopped.is_set():
            position = self._position
            try:
                if self._exact_only or not is_expressible(self._position or "start"):
                    yield from self._exact_stretch()
                else:
                    yield from self._fast_stretch()
            except ObjectStoreError as error:
                failures = 1 if self._position != position else failures + 1
                if not error.transient or failures > FAILURES_IN_A_ROW:
                    raise
                self.tally.add(resumed=1)
                pause_s = min(LONGEST_PAUSE_S, 2.0**failures)
                self.stopped.wait(error.retry_after_s or random.uniform(0, pause_s))  # noqa: S311 (jitter)

    def _fast_stretch(self) -> Iterator[pa.RecordBatch]:
        """List with obstore until the end, an odd key or a failure."""
        from obstore.exceptions import InvalidPathError

        held: pa.RecordBatch | None = None
        odd = False
        failure: ObjectStoreError | None = None
        stream = self.store.stream(self.span.folder, self._position)
        try:
            for raw in stream:
                batch = _listing_batch(raw)
                self.tally.add(requests=1)
                if held is not None:
                    yield from self._checked(held, batch["key"][0].as_py())
                    if self._done:
                        return
                held = batch
        except InvalidPathError:
            odd = True
        except ObjectStoreError as error:
            failure = error
        yield from self._last_of_stretch(held, cut_off=odd or failure is not None)
        if failure is not None:
            raise failure
        if odd and not self._done:
            yield from self._exact_stretch()

    def _last_of_stretch(self, held: pa.RecordBatch | None, *, cut_off: bool) -> Iterator[pa.RecordBatch]:
        """Give the batch that waited for the key behind it."""
        if cut_off:
            # What follows is unknown, so the last row cannot be checked: it is listed again.
            if held is not None and held.num_rows > 1:
                yield from self._checked(held.slice(0, held.num_rows - 1), held["key"][-1].as_py())
        elif held is not None:
            yield from self._checked(held, None)
            self._done = True
        else:
            self._exact_only = True

    def _exact_stretch(self) -> Iterator[pa.RecordBatch]:
        """List with the provider's client, until a whole page holds no key that obstore cannot express."""
        first = True
        while not self._done:
            page = self.store.exact_page(self.span.prefix, after=self._position)
            self.tally.add(requests=1, exact_stretches=int(first and bool(page.objects)))
            first = False
            objects = [each for each in page.objects if self._is_inside(each.key)]
            if page.objects:
                self._position = page.objects[-1].key
            self._done = page.next_token is None or not self._is_before_the_end(self._position or "")
            if objects:
                yield batch_of(objects, self.tally)
            odd = any(not is_expressible(each.key) for each in page.objects)
            if not self._exact_only and not odd:
                return

    def _is_inside(self, key: str) -> bool:
        return self._is_before_the_end(key) and not (self.span.skip and key.startswith(self.span.skip))

    def _is_before_the_end(self, key: str) -> bool:
        return self.span.before is None or key < self.span.before

    def _checked(self, batch: pa.RecordBatch, next_key: str | None) -> Iterator[pa.RecordBatch]:
        """Yield a batch of obstore's with each doubtful row replaced by what the provider's client says."""
        doubtful = self._doubtful_rows(batch, next_key)
        done = 0
        for first, last in _runs(doubtful):
            yield from self._trusted(batch.slice(done, first - done))
            if self._done:
                return
            following = batch["key"][last + 1].as_py() if last + 1 < batch.num_rows else next_key
            yield from self._looked_up(last - first + 1, following)
            if self._done:
                return
            done = last + 1
        yield from self._trusted(batch.slice(done))

    def _trusted(self, batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        if batch.num_rows == 0:
            return
        self._position = batch["key"][-1].as_py()
        inside = self._clipped(batch)
        if inside.num_rows:
            yield inside

    def _looked_up(self, count: int, following: str | None) -> Iterator[pa.RecordBatch]:
        """Yield what really stands behind the last good key, up to the next good one."""
        page = self.store.exact_page(self.span.prefix, after=self._position, limit=count)
        self.tally.add(requests=1)
        objects = [each for each in page.objects if following is None or each.key < following]
        if objects:
            self._position = objects[-1].key
            inside = [each for each in objects if self._is_inside(each.key)]
            self._done = not self._is_before_the_end(objects[-1].key)
            yield batch_of(inside, self.tally)

    def _doubtful_rows(self, batch: pa.RecordBatch, next_key: str | None) -> list[int]:
        """Return the rows that may have lost a trailing slash, in order."""
        keys = batch["key"]
        doubtful = set(_true_rows(pc.invert(batch["size_bytes"].cast(pa.bool_()))))
        first, last = keys[0].as_py(), keys[-1].as_py()
        if not first.startswith(self.span.folder) or (self._position is not None and first <= self._position):
            doubtful.add(0)
        if next_key is not None and next_key.startswith(last + DELIMITER):
            doubtful.add(len(keys) - 1)
        doubtful.update(row + 1 for row in _true_rows(pc.greater_equal(keys[:-1], keys[1:])))
        depth = pc.count_substring(keys, DELIMITER)
        goes_deeper = _true_rows(pc.less(depth[:-1], depth[1:]))
        doubtful.update(row for row in goes_deeper if _holds(keys[row], keys[row + 1]))
        return sorted(doubtful)

    def _clipped(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Leave out what stands outside the range, and notice its end."""
        keys, span = batch["key"], self.span
        first, last = keys[0].as_py(), keys[-1].as_py()
        if span.skip and first.startswith(span.skip):
            batch = batch.filter(pc.invert(pc.starts_with(keys, span.skip)))
        if span.before is not None and last >= span.before:
            self._done = True
            batch = batch.filter(pc.less(batch["key"], _strings([span.before])[0]))
        if span.prefix != span.folder and not last.startswith(span.prefix):
            self._done = True
            batch = batch.filter(pc.starts_with(batch["key"], span.prefix))
        return batch


def _true_rows(mask: pa.BooleanArray) -> list[int]:
    rows: list[int] = pc.indices_nonzero(mask).to_pylist()
    return rows


def _holds(folder: pa.StringScalar, key: pa.StringScalar) -> bool:
    return bool(key.as_py().startswith(folder.as_py() + DELIMITER))


def _runs(rows: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield first and last of each run of rows that are close enough to be looked up together."""
    start = 0
    for index, row in enumerate(rows):
        is_last = index + 1 == len(rows)
        too_long = not is_last and rows[index + 1] - rows[start] >= KEYS_PER_PAGE
        if is_last or too_long or rows[index + 1] - row > JOIN_GAP:
            yield rows[start], row
            start = index + 1


def _listing_batch(raw: pa.RecordBatch) -> pa.RecordBatch:
    """Return obstore's columns as a listing's; only the etag is copied, to lose its quotes."""
    etag = pc.ascii_trim(raw["e_tag"], '"')
    if etag.null_count:
        etag = pc.fill_null(etag, _strings([""])[0])
    arrays = [raw["path"], raw["size"].cast(pa.int64()), raw["last_modified"].cast(TIMESTAMP), etag]
    return pa.RecordBatch.from_arrays(arrays, schema=LISTING_SCHEMA)
