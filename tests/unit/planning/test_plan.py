"""The plan: each object gets one action for one reason."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from functools import partial

import duckdb
import pyarrow.parquet as pq
import pytest

from cloud_sync.ledger import Ledger, LedgerState, LedgerVersion, SettledFailure, SettledManifest
from cloud_sync.planning.model import ASKED_FOR, GIVEN, REASONS, read_plan_rows
from cloud_sync.planning.plan import make_plan
from cloud_sync.run_folder import RunFolder
from tests.unit.planning import plans
from tests.unit.tables import LONG_AGO, URL_BASE, an_integration, an_object, write_items, write_listing

NOW = LONG_AGO + timedelta(days=1)


@pytest.fixture
def folder(tmp_path) -> RunFolder:
    return RunFolder(tmp_path / "run")


@pytest.fixture
def known(tmp_path) -> LedgerVersion:
    """A ledger that knows one object of each state."""
    keys = ["ok.jpg", "bad.jpg", "flaky.jpg"]
    return Ledger(tmp_path / "ledger").commit(
        run_id="earlier",
        url_base=URL_BASE,
        items_path=write_items(tmp_path / "items.parquet", [keys]),
        manifests=[SettledManifest(0, "manifests/0000-a.json", "job", LONG_AGO)],
        failures=[
            SettledFailure(f"{URL_BASE}bad.jpg", "corrupt", LedgerState.QUARANTINED),
            SettledFailure(f"{URL_BASE}flaky.jpg", "transient", LedgerState.FAILED),
        ],
    )


plan_of = partial(plans.plan_of, now=NOW)


def decisions(folder: RunFolder) -> dict[str, tuple[str, str]]:
    rows = pq.read_table(folder.path("plan.parquet")).to_pylist()
    return {row["key"]: (row["action"], row["reason"]) for row in rows}


def registered(folder: RunFolder) -> list[str]:
    return pq.read_table(folder.path("register.parquet"))["key"].to_pylist()


SELECT = {"include": ["/in/"], "exclude": ["*.tmp.jpg"], "minimum_age": "1h", "maximum_size": "100 B"}
ONE_BY_ONE = [
    ("not_included", "skip", an_object("out/a.jpg"), False),
    ("excluded", "skip", an_object("in/a.tmp.jpg"), False),
    ("unknown_type", "skip", an_object("in/a.txt"), False),
    ("unused_sidecar", "skip", an_object("in/a.jpg.metadata.json"), False),
    ("too_large", "skip", an_object("in/a.jpg", size_bytes=101), False),
    ("too_young", "hold", an_object("in/a.jpg", last_modified=NOW), False),
    ("new", "register", an_object("in/a.jpg"), False),
]
KNOWN = [
    ("registered", "skip", an_object("ok.jpg"), False),
    ("changed", "report", an_object("ok.jpg", etag="other"), False),
    ("changed", "report", an_object("ok.jpg", size_bytes=11), False),
    ("quarantined", "skip", an_object("bad.jpg"), False),
    ("changed_since_failure", "register", an_object("bad.jpg", etag="other"), False),
    ("failed_before", "retry", an_object("flaky.jpg"), False),
    ("changed_since_failure", "register", an_object("flaky.jpg", etag="other"), False),
    ("full_pass", "register", an_object("ok.jpg"), True),
    ("full_pass", "register", an_object("bad.jpg"), True),
    ("full_pass", "register", an_object("flaky.jpg"), True),
    ("new", "register", an_object("new.jpg"), True),
]


@pytest.mark.parametrize(("reason", "action", "stored", "full_pass"), ONE_BY_ONE)
def test_the_rules_of_the_file(folder, reason, action, stored, full_pass):
    plan_of(folder, stored, full_pass=full_pass, select=SELECT)
    assert decisions(folder) == {stored["key"]: (action, reason)}


@pytest.mark.parametrize("case", KNOWN)
def test_what_the_ledger_knows(folder, known, case):
    reason, action, stored, full_pass = case
    plan = plan_of(folder, stored, ledger=known, full_pass=full_pass)
    assert decisions(folder)[stored["key"]] == (action, reason)
    assert plan.to_register == (action in {"register", "retry"}) == len(registered(folder))


# Shown by test_grouping, test_series, test_describe and test_departures.
OF_GROUPS = {"incomplete", "grown", "file_missing", "registered_otherwise", "unreadable_header"}
OF_METADATA = {"sidecar", "sidecar_missing", "bad_metadata"}
OF_DEPARTURES = {"removed", "moved", "moved_to"}


def test_every_reason_has_been_shown():
    elsewhere = OF_GROUPS | OF_METADATA | OF_DEPARTURES | {GIVEN, ASKED_FOR}
    assert {reason for reason, *_ in [*ONE_BY_ONE, *KNOWN]} == set(REASONS) - elsewhere


def test_a_single_file_is_an_item_unless_the_rules_pass_it_over(folder):
    plan_of(folder, "a.jpg", "b.txt", "c.jpg", select={"exclude": ["c.*"]})
    rows = pq.read_table(folder.path("plan.parquet")).to_pylist()
    places = {row["key"]: (row["item_key"], row["position"], row["detail"]) for row in rows}
    assert places == {"a.jpg": ("a.jpg", 0, None), "b.txt": (None, None, None), "c.jpg": (None, None, None)}
    [sent] = pq.read_table(folder.path("register.parquet")).to_pylist()
    assert list(sent) == ["key", "size_bytes", "last_modified", "etag", "item_type", "item_key", "position"]
    assert (sent["item_key"], sent["position"]) == ("a.jpg", 0)


def test_the_first_rule_that_holds_decides(folder, known):
    """An object that breaks every rule is mended one rule at a time."""
    worst = {"size_bytes": 101, "last_modified": NOW}
    select = {**SELECT, "include": ["/in/", "ok.jpg"], "exclude": ["*.tmp", "*.tmp.jpg"]}
    steps = [
        (an_object("out/a.tmp", **worst), "not_included"),
        (an_object("in/a.tmp", **worst), "excluded"),
        (an_object("in/a.txt", **worst), "unknown_type"),
        (an_object("ok.jpg", **worst), "too_large"),
        (an_object("ok.jpg", last_modified=NOW), "too_young"),
        (an_object("ok.jpg"), "registered"),
    ]
    for stored, reason in steps:
        plan_of(folder, stored, ledger=known, select=select)
        assert decisions(folder)[stored["key"]][1] == reason


class TestTypes:
    def test_case_does_not_matter_and_the_last_extension_counts(self, folder):
        plan_of(folder, "A.MP4", "b.Jpg", "c.mp4.jpg", "d.jpg.txt", "mp4", "e.mp4/f", "g.mp4\n", "h.jpg.")
        rows = pq.read_table(folder.path("plan.parquet")).to_pylist()
        assert {row["key"]: row["item_type"] for row in rows} == {
            "A.MP4": "video",
            "b.Jpg": "image",
            "c.mp4.jpg": "image",
            "d.jpg.txt": None,
            "mp4": None,
            "e.mp4/f": None,
            "g.mp4\n": None,
            "h.jpg.": None,
        }

    def test_each_type_by_its_extension(self, folder):
        keys = ["a.mp3", "a.WAV", "a.flac", "a.pdf", "a.nii", "a.nii.gz", "a.gz", "a.txt", "a.html", "a.json"]
        plan_of(folder, *keys, types={"text": ["txt", "html"]})
        rows = pq.read_table(folder.path("plan.parquet")).to_pylist()
        types = ["audio", "audio", "audio", "pdf", "nifti", "nifti", None, "text", "text", None]
        assert {row["key"]: row["item_type"] for row in rows} == dict(zip(keys, types, strict=True))

    def test_the_longest_of_several_extensions_wins(self, folder):
        keys = ["a.tar.gz", "a.gz", "a.xtar.gz"]
        plan_of(folder, *keys, types={"videos": ["gz"], "images": ["tar.gz"]})
        rows = pq.read_table(folder.path("plan.parquet")).to_pylist()
        types = {row["key"]: row["item_type"] for row in rows}
        assert [types[key] for key in keys] == ["image", "video", "video"]

    def test_no_types_at_all(self, folder):
        assert plan_of(folder, "a.jpg", types={"videos": [], "images": []}).to_register == 0


@pytest.mark.parametrize(("age", "held"), [(timedelta(hours=1), False), (timedelta(minutes=59), True)])
def test_an_object_of_exactly_the_minimum_age_is_taken(folder, age, held):
    plan_of(folder, an_object("a.jpg", last_modified=NOW - age), select={"minimum_age": "1h"})
    assert decisions(folder)["a.jpg"][0] == ("hold" if held else "register")


def test_without_a_minimum_age_a_store_whose_clock_is_ahead_holds_nothing_back(folder):
    plan_of(folder, an_object("a.jpg", last_modified=NOW + timedelta(hours=1)))
    assert decisions(folder) == {"a.jpg": ("register", "new")}


def test_an_object_of_exactly_the_maximum_size_is_taken(folder):
    objects = [an_object("a.jpg", size_bytes=100), an_object("b.jpg", size_bytes=101)]
    plan_of(folder, *objects, select={"maximum_size": "100 B"})
    assert registered(folder) == ["a.jpg"]


def test_an_empty_listing(folder, known):
    for ledger, before in ((None, 0), (known, 1)):
        plan = plan_of(folder, ledger=ledger)
        assert [row.reason for row in plan.rows] == ["removed"] * before
        known = {"registered": before, "registered_here": before}
        assert plan.ref.counts == {"objects": 0, "to_register": 0, "items": 0} | known
        assert registered(folder) == []
        assert read_plan_rows(folder) == plan.rows


ODD_KEYS = [
    "it's.jpg",
    '"quoted".jpg',
    "100%.jpg",
    "100%20.jpg",
    "new\nline.jpg",
    "🎥/日本.jpg",
    "e\u0301.jpg",
    "\u00e9.jpg",
    "'); DROP TABLE listing; --.jpg",
    "//a.jpg",
    " .jpg",
    "$1.jpg",
]


def test_odd_keys_are_only_text(folder, tmp_path):
    plan_of(folder, *ODD_KEYS)
    assert registered(folder) == sorted(ODD_KEYS, key=lambda key: key.encode())
    ledger = Ledger(tmp_path / "ledger").commit(
        run_id="r",
        url_base=URL_BASE,
        items_path=write_items(tmp_path / "items.parquet", [ODD_KEYS]),
        manifests=[SettledManifest(0, "m", "job", LONG_AGO)],
        failures=[],
    )
    assert plan_of(folder, *ODD_KEYS, ledger=ledger).to_register == 0


@pytest.mark.parametrize("name", ["it's", "a[b]", "st*r", "state=1", "que?", "br{a,b}", "%20", "é", 'q"'])
def test_a_folder_of_any_name(tmp_path, name):
    folder = RunFolder(tmp_path / name / "run")
    ledger = Ledger(tmp_path / name / "ledger").commit(
        run_id="r",
        url_base=URL_BASE,
        items_path=write_items(tmp_path / name / "items.parquet", [["ok.jpg"]]),
        manifests=[SettledManifest(0, "m", "job", LONG_AGO)],
        failures=[],
    )
    plan_of(folder, "ok.jpg", "new.jpg", ledger=ledger)
    assert decisions(folder) == {"ok.jpg": ("skip", "registered"), "new.jpg": ("register", "new")}
    assert pq.read_schema(ledger.path).names[:2] == ["key", "url"]
    assert "state" in pq.read_schema(ledger.path).names


def test_the_summary_counts_and_shows_a_few(folder):
    plan = plan_of(folder, *(an_object(f"{n}.jpg", size_bytes=n) for n in range(9, 0, -1)), "a.mp4", "x.txt")
    assert [(row.action, row.item_type, row.reason, row.objects, row.total_bytes) for row in plan.rows] == [
        ("register", "image", "new", 9, 45),
        ("register", "video", "new", 1, 10),
        ("skip", None, "unknown_type", 1, 10),
    ]
    assert plan.rows[0].examples == ("1.jpg", "2.jpg", "3.jpg")
    known = {"registered": 0, "registered_here": 0}
    assert plan.ref.counts == {"objects": 11, "to_register": 10, "items": 10} | known
    assert [row.items for row in plan.rows] == [9, 1, 0]
    assert read_plan_rows(folder) == plan.rows


def test_several_parts_are_one_listing(folder, tmp_path):
    parts = [write_listing(tmp_path / f"{n}.parquet", [f"{n}.jpg"]) for n in range(3)]
    plan = make_plan(folder, listing_parts=parts, integration=an_integration(), ledger=None, now=NOW)
    assert plan.to_register == 3


def test_the_same_input_gives_the_same_bytes(tmp_path):
    """Also where the ledger is much larger than the listing, so that the engine turns the join round."""
    many = [f"{n:05}.jpg" for n in range(60_000)]
    ledger = Ledger(tmp_path / "ledger").commit(
        run_id="r",
        url_base=URL_BASE,
        items_path=write_items(tmp_path / "items.parquet", [many]),
        manifests=[SettledManifest(0, "m", "job", LONG_AGO)],
        failures=[],
    )
    listing = write_listing(tmp_path / "listing.parquet", [*many[::3], *(f"n{key}" for key in many[::5])])
    prints = set()
    for attempt in range(3):
        folder = RunFolder(tmp_path / str(attempt))
        make_plan(folder, listing_parts=[listing], integration=an_integration(), ledger=ledger, now=NOW)
        names = ["plan.parquet", "register.parquet", "plan.json"]
        prints.add(tuple(hashlib.sha256(folder.read(name)).hexdigest() for name in names))
    assert len(prints) == 1


def test_nothing_else_is_left_in_the_run_folder(folder):
    plan_of(folder, "a.jpg")
    assert sorted(path.name for path in folder.root.iterdir()) == [
        "part.parquet",
        "plan.json",
        "plan.parquet",
        "register.parquet",
    ]


def test_the_registering_order_is_that_of_bytes(folder):
    keys = ["b.jpg", "B.jpg", "é.jpg", "a/b.jpg", "a.jpg", "🎥.jpg"]
    plan_of(folder, *keys)
    [(binary,)] = duckdb.execute(
        "SELECT list(key ORDER BY encode(key)) FROM read_parquet($1)", [str(folder.path("register.parquet"))]
    ).fetchall()
    assert registered(folder) == binary
