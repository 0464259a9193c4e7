"""Many failures of few causes: how few requests tell them apart, and what is never concluded."""

from __future__ import annotations

import pytest

from cloud_sync.failures.causes import MOST_PROBES, PROBES, look_at
from cloud_sync.failures.inquiry import OUTAGE, Inquiry
from cloud_sync.failures.model import Evidence, Suspect
from tests.unit.failures.fakes import JPEG, FakeStore, refused

HEALTHY = Evidence(size_bytes=len(JPEG), mime="image/jpeg")
GONE = Evidence(refusal="missing")


def suspects(*keys: str, said: str = "no", item_type: str = "image") -> list[Suspect]:
    return [Suspect(f"https://b/{key}", key, item_type, said, 1) for key in keys]


def files(folder: str, count: int) -> list[str]:
    return [f"{folder}/{n:05}.jpg" for n in range(count)]


def look(store: FakeStore, wanted: list[Suspect], *, budget: int = 20_000) -> list[Evidence]:
    return look_at(Inquiry(store, budget), wanted)


def test_one_revoked_permission_costs_a_few_requests():
    keys = [key for folder in range(50) for key in files(str(folder), 200)]
    store = FakeStore(dict.fromkeys(keys, "forbidden"))
    found = look(store, suspects(*keys))
    assert set(found) == {refused("forbidden", alike=10_000, asked=len(store.calls) // 2)}
    assert PROBES <= len(store.calls) // 2 <= 2 * MOST_PROBES, "each twice: read, and looked for"


def test_texts_that_differ_by_numbers_only_are_of_one_cause():
    keys = files("a", 500)
    store = FakeStore(dict.fromkeys(keys, "forbidden") | {"b.jpg": "missing"})
    wanted = [one for n, key in enumerate(keys) for one in suspects(key, said=f"job {n} 0f3a9c{n:04x}: no")]
    found = look(store, wanted + suspects("b.jpg", said="something else"))
    assert found[-1] == GONE
    assert len(store.calls) < 4 * PROBES


def test_one_folder_that_may_not_be_read_is_found_among_others():
    locked, healthy = files("locked", 1000), files("open", 30)
    store = FakeStore(dict.fromkeys(locked, "forbidden") | dict.fromkeys(healthy, JPEG))
    found = look(store, suspects(*healthy, *locked))
    assert found[:30] == [HEALTHY] * 30
    assert {one.refusal for one in found[30:]} == {"forbidden"}
    assert len(store.calls) < 30 + 2 * 3 * PROBES


def test_a_file_that_differs_from_its_folder_is_found_when_a_probe_meets_it():
    keys = files("a", 40)
    store = FakeStore({key: "forbidden" if n % 2 else JPEG for n, key in enumerate(keys)})
    found = look(store, suspects(*keys))
    assert found == [refused("forbidden") if n % 2 else HEALTHY for n in range(40)]
    assert len(store.calls) == 40 + 20, "what is refused is looked for, too"


@pytest.mark.parametrize("refusal", ["missing", "other"])
def test_that_an_object_is_missing_is_never_concluded(refusal):
    keys = files("a", 300)
    store = FakeStore(dict.fromkeys(keys, refusal))
    assert look(store, suspects(*keys)) == [refused(refusal)] * 300
    assert sorted(key for _, key in store.calls) == keys


def test_a_small_group_is_asked_about_file_by_file():
    keys = files("a", PROBES)
    store = FakeStore(dict.fromkeys(keys, "forbidden"))
    assert look(store, suspects(*keys)) == [refused("forbidden")] * PROBES


def test_a_missing_bucket_holds_for_all():
    keys = files("a", 300)
    [found] = set(look(FakeStore(dict.fromkeys(keys, "no_bucket")), suspects(*keys)))
    assert (found.refusal, found.alike, found.asked) == ("no_bucket", 300, PROBES)


def test_when_the_store_goes_away_what_is_known_stays_known():
    class Leaving(FakeStore):
        def _content(self, call: str, key: str) -> bytes:
            if len(self.calls) >= 100:
                self.objects[key] = "unreachable"
            return super()._content(call, key)

    store = Leaving({})
    found = look(store, suspects(*files("a", 400)))
    gone = [one.refusal for one in found].count("unreachable")
    assert found.count(GONE) + gone == 400
    assert 90 <= found.count(GONE) <= 110
    assert {one.alike for one in found if one != GONE} == {gone}
    assert len(store.calls) < 100 + 4 * OUTAGE


def test_the_budget_goes_to_small_causes_first_and_the_rest_is_not_looked_at():
    small, large = files("s", 20), files("l", 1000)
    store = FakeStore({})
    found = look(store, suspects(*large) + suspects(*small), budget=60)
    assert found[1000:] == [GONE] * 20
    assert len(store.calls) == 60
    assert [one.refusal for one in found[:1000]].count("unasked") == 1000 - 40


def test_what_was_concluded_before_the_budget_was_spent_holds():
    locked, gone = files("locked", 500), files("gone", 500)
    store = FakeStore(dict.fromkeys(locked, "forbidden"))
    found = look(store, suspects(*locked) + suspects(*gone), budget=100)
    assert {one.refusal for one in found[:500]} == {"forbidden"}
    assert {one.refusal for one in found[500:]} == {"missing", "unasked"}


def test_an_object_is_asked_about_once_however_many_items_have_it():
    store = FakeStore({"a.jpg": JPEG})
    assert look(store, suspects("a.jpg") + suspects("a.jpg", item_type="image_group")) == [HEALTHY] * 2
    assert len(store.calls) == 1


def test_a_url_of_no_key_is_not_asked_about():
    store = FakeStore({"a.jpg": JPEG})
    elsewhere = Suspect("https://elsewhere/x", None, "", "no", 1)
    assert look(store, [elsewhere, *suspects("a.jpg"), elsewhere]) == [
        Evidence(refusal="other"),
        HEALTHY,
        Evidence(refusal="other"),
    ]


def test_the_same_is_found_in_whatever_order_the_failures_come():
    keys = [*files("a", 100), *files("b", 100)]
    content = {key: "forbidden" if key < "a/00090" else JPEG for key in keys}
    one, other = FakeStore(content), FakeStore(content)
    found = look(one, suspects(*keys))
    assert look(other, suspects(*reversed(keys))) == found[::-1]
    assert {key for _, key in one.calls} == {key for _, key in other.calls}


def test_refused_credentials_are_one_cause_and_say_what_to_do():
    keys = [key for folder in range(9) for key in files(str(folder), 100)]
    store = FakeStore(dict.fromkeys(keys, "connection"))
    [found] = set(look(store, suspects(*keys)))
    assert found == refused("connection", alike=900, asked=len(store.calls))
    assert found.remedy == "Renew it."


def test_credentials_that_expire_meanwhile_leave_what_is_known_as_it_is():
    class Expiring(FakeStore):
        def _content(self, call: str, key: str) -> bytes:
            if len(self.calls) >= 100:
                self.objects[key] = "connection"
            return super()._content(call, key)

    found = look(Expiring({}), suspects(*files("a", 400)))
    expired = [one for one in found if one != GONE]
    assert 90 <= found.count(GONE) <= 110
    assert {(one.refusal, one.detail) for one in expired} == {("connection", "the token has expired.")}
