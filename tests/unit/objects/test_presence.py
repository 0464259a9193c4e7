"""Keys are looked for one by one, and nothing else passes for them."""

from __future__ import annotations

import pytest

from cloud_sync.objects import presence
from cloud_sync.objects.errors import ObjectStoreError
from cloud_sync.objects.model import Page
from cloud_sync.objects.presence import present

from .fake_store import FakeStore

ASKED = ["a.jpg", "a.jpg.bak", "gone.jpg", "b/c.jpg", "b"]


def test_only_what_is_there_is_returned(monkeypatch):
    monkeypatch.setattr(presence, "KEYS_AT_ONCE", 2)
    store = FakeStore(dict.fromkeys(["a.jpg", "b/c.jpg", "b/c.jpg/d", "gone.jpg.bak"], 5))
    assert present(store, ASKED) == {"a.jpg", "b/c.jpg"}
    assert sorted(store.prefixes_asked) == sorted(ASKED)
    assert present(store, []) == set()


def test_an_empty_page_is_not_the_end():
    class Sparse(FakeStore):
        """Answers with an empty page first, as Google Cloud Storage and Azure may."""

        def page(self, prefix: str, *, token: str | None = None, **asked: object) -> Page:
            found = super().page(prefix, limit=1)
            return found if token else Page(found.rows.slice(0, 0), (), "more")

    assert present(Sparse({"a.jpg": 5}), ["a.jpg", "b.jpg"]) == {"a.jpg"}


@pytest.mark.parametrize("reason", ["forbidden", "no_bucket", "unreachable"])
def test_a_store_that_does_not_answer_says_nothing_is_gone(reason):
    store = FakeStore({}, failures=[ObjectStoreError("no.", reason=reason)], down_after=0)
    with pytest.raises(ObjectStoreError):
        present(store, ["a.jpg"])
