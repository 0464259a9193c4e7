"""Groups in the plan: which files make one item, in which order, and what becomes of it as a whole."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloud_sync.ledger import Ledger, LedgerState, LedgerVersion, SettledFailure, SettledManifest
from cloud_sync.planning.model import REASONS, read_plan_rows
from cloud_sync.run_folder import RunFolder
from tests.unit.planning import plans
from tests.unit.tables import LONG_AGO, URL_BASE, an_object, write_items

NOW = LONG_AGO + timedelta(days=1)
BY_FOLDER = {"type": "image_group", "by": "folder"}
FRAMES = {"type": "image_sequence", "by": "regex", "pattern": r"^(?P<group>.+)_(?P<index>[0-9]+)\.jpg$"}
APPLES = "food-dataset/Apple/"


@pytest.fixture
def folder(tmp_path) -> RunFolder:
    return RunFolder(tmp_path / "run")


plan_of = partial(plans.plan_of, now=NOW)


def rows_of(folder: RunFolder, name: str = "plan.parquet") -> list[dict[str, Any]]:
    return pq.read_table(folder.path(name)).to_pylist()


def groups_of(folder: RunFolder) -> dict[str, list[str]]:
    """Return the keys of each item to register, in order."""
    groups: dict[str, list[str]] = {}
    for row in rows_of(folder, "register.parquet"):
        group = groups.setdefault(row["item_key"], [])
        assert row["position"] == len(group)
        group.append(row["key"])
    return groups


def decision(folder: RunFolder) -> tuple[str, str, str | None]:
    """Return what was decided, the same for every row of the plan."""
    [found] = {(row["action"], row["reason"], row["detail"]) for row in rows_of(folder)}
    return found


class TestByFolder:
    def test_the_images_of_a_folder_are_one_item_in_natural_order(self, folder):
        keys = ["a/frame10.jpg", "a/frame9.jpg", "a/readme.txt", "a/b/1.png", "a/v.mp4"]
        plan = plan_of(folder, *keys, groups=[BY_FOLDER])
        assert groups_of(folder) == {
            "a/": ["a/frame9.jpg", "a/frame10.jpg"],
            "a/b/": ["a/b/1.png"],
            "a/v.mp4": ["a/v.mp4"],
        }
        types = {row["key"]: row["item_type"] for row in rows_of(folder)}
        assert types == {
            "a/frame9.jpg": "image_group",
            "a/frame10.jpg": "image_group",
            "a/b/1.png": "image_group",
            "a/v.mp4": "video",
            "a/readme.txt": None,
        }
        assert (plan.to_register, plan.items) == (4, 3)

    def test_the_keys_of_the_product_document(self, folder):
        """Parentheses, plus signs and numbers, as its example with several types has them."""
        samsung, ios = f"{APPLES}1-Samsung-S4-Light+Environment/", f"{APPLES}3-IOS-4-Light+Environment/"
        keys = [f"{samsung}1+({n}).jpg" for n in (34, 32, 100, 33)]
        sequence = {"type": "image_sequence", "by": "folder", "include": ["*Samsung*/"]}
        plan_of(folder, *keys, f"{ios}3+(32).jpg", "Image1.png", "Cooking.mp4", groups=[sequence])
        assert groups_of(folder) == {
            samsung: [f"{samsung}1+({n}).jpg" for n in (32, 33, 34, 100)],
            f"{ios}3+(32).jpg": [f"{ios}3+(32).jpg"],
            "Image1.png": ["Image1.png"],
            "Cooking.mp4": ["Cooking.mp4"],
        }

    def test_the_root_of_a_bucket_is_a_folder_too(self, folder):
        plan_of(folder, "2.jpg", "1.jpg", "/1.jpg", groups=[BY_FOLDER])
        assert groups_of(folder) == {".": ["1.jpg", "2.jpg"], "/": ["/1.jpg"]}

    def test_two_rules_by_folder_do_not_collide(self, folder):
        rules = [{**BY_FOLDER, "include": ["*.png"]}, {"type": "image_sequence", "by": "folder"}]
        plan_of(folder, "a/1.jpg", "a/1.png", "a/2.png", groups=rules)
        groups = groups_of(folder)
        assert groups.pop("a/") == ["a/1.png", "a/2.png"]
        [(other, keys)] = groups.items()
        assert other.endswith(":a/")
        assert keys == ["a/1.jpg"]

    def test_dicom_files_without_a_rule_are_a_series_a_folder(self, folder):
        plan = plan_of(folder, "s1/10.dcm", "s1/9.DCM", "s2/1.dicom", "s1/a.jpg")
        assert groups_of(folder) == {
            "s1/": ["s1/9.DCM", "s1/10.dcm"],
            "s2/": ["s2/1.dicom"],
            "s1/a.jpg": ["s1/a.jpg"],
        }
        assert {row.item_type: (row.objects, row.items) for row in plan.rows} == {
            "dicom_series": (3, 2),
            "image": (1, 1),
        }


class TestByRegex:
    @pytest.mark.parametrize(
        ("pattern", "group"),
        [
            (r"^(?P<group>s)/(?P<Group>.)_(?P<INDEX>[0-9]+)", "s"),
            (r"^(s)/(?P<_1>.)_(?P<group>[0-9]+)", "1"),
            (r"^(?P<_2>s)/(.)_(?P<group>[0-9]+)", "1"),
        ],
    )
    def test_the_other_named_groups_may_have_any_names(self, folder, pattern, group):
        plan_of(folder, "s/a_1.jpg", groups=[{**FRAMES, "pattern": pattern}])
        [item_key] = groups_of(folder)
        assert item_key.endswith(f":{group}")

    def test_the_index_orders(self, folder):
        keys = ["a_2.jpg", "a_10.jpg", "a_1.jpg", "b_1.jpg", "b_x.jpg", "a_3.png"]
        plan_of(folder, *keys, groups=[FRAMES])
        groups = {key.rpartition(":")[2]: files for key, files in groups_of(folder).items()}
        assert groups == {
            "a": ["a_1.jpg", "a_2.jpg", "a_10.jpg"],
            "b": ["b_1.jpg"],
            "b_x.jpg": ["b_x.jpg"],
            "a_3.png": ["a_3.png"],
        }

    def test_an_index_of_letters_has_natural_order_and_a_huge_one_too(self, folder):
        rule = {**FRAMES, "pattern": r"^(?P<group>.+)_(?P<index>[^_]*)\.jpg$"}
        huge = "9" * 30
        keys = ["a_x9.jpg", "a_x10.jpg", "a_.jpg", f"a_{huge}8.jpg", f"a_{huge}.jpg", "a_7.jpg"]
        plan_of(folder, *keys, groups=[rule])
        [files] = groups_of(folder).values()
        assert files == ["a_7.jpg", f"a_{huge}.jpg", f"a_{huge}8.jpg", "a_.jpg", "a_x9.jpg", "a_x10.jpg"]

    def test_an_index_with_decimals_is_not_rounded(self, folder):
        rule = {**FRAMES, "pattern": r"^(?P<group>run)/.+_(?P<index>[0-9.]+)\.jpg$"}
        plan_of(folder, "run/a_9.10.jpg", "run/b_9.9.jpg", "run/c_9.2.jpg", groups=[rule])
        [files] = groups_of(folder).values()
        assert files == ["run/c_9.2.jpg", "run/b_9.9.jpg", "run/a_9.10.jpg"]

    def test_the_first_rule_that_takes_an_object_decides(self, folder):
        rules = [{**FRAMES, "include": ["a/"]}, {**FRAMES, "type": "image_group"}, BY_FOLDER]
        plan_of(folder, "a/x_1.jpg", "b/x_1.jpg", "b/y.jpg", groups=rules)
        found = {row["key"]: (row["item_type"], row["item_key"]) for row in rows_of(folder)}
        assert {key: kind for key, (kind, _) in found.items()} == {
            "a/x_1.jpg": "image_sequence",
            "b/x_1.jpg": "image_group",
            "b/y.jpg": "image_group",
        }
        assert len({item_key for _, item_key in found.values()}) == 3

    def test_the_same_text_under_two_rules_is_two_items(self, folder):
        rules = [{**FRAMES, "pattern": rf"^(?P<group>x)_{end}$"} for end in ("1.jpg", "2.jpg")]
        plan_of(folder, "x_1.jpg", "x_2.jpg", groups=rules)
        assert sorted(map(len, groups_of(folder).values())) == [1, 1]

    def test_dicom_series_take_dicom_files_only(self, folder):
        rule = {"type": "dicom_series", "by": "regex", "pattern": r"^(?P<group>[^/]+)/"}
        plan_of(folder, "p/2.dcm", "p/1.dcm", "p/1.jpg", groups=[rule])
        assert sorted(groups_of(folder).values()) == [["p/1.dcm", "p/2.dcm"], ["p/1.jpg"]]

    def test_quotes_in_patterns_are_only_text(self, folder):
        rule = {**FRAMES, "pattern": r"^(?P<group>it's)_(?P<index>.)", "include": ["it's*"]}
        plan_of(folder, "it's_1.jpg", groups=[rule])
        assert [key.rpartition(":")[2] for key in groups_of(folder)] == ["it's"]


def frames(*numbers: int, **changes: Any) -> list[dict[str, Any]]:
    return [an_object(f"run_{number}.jpg", **changes) for number in numbers]


COMPLETE = [
    ({}, timedelta(minutes=10), ("register", "new", None)),
    (
        {},
        timedelta(minutes=9),
        ("hold", "incomplete", "waiting for quiet: its newest file is of 2026-01-01 23:51:00 UTC"),
    ),
    (
        {"quiet_for": "30m"},
        timedelta(minutes=29),
        ("hold", "incomplete", "waiting for quiet: its newest file is of 2026-01-01 23:31:00 UTC"),
    ),
    ({"quiet_for": "30m"}, timedelta(minutes=30), ("register", "new", None)),
    ({"quiet_for": "0s"}, -timedelta(hours=1), ("register", "new", None)),
    ({"count": 3}, timedelta(0), ("register", "new", None)),
    ({"count": 24}, timedelta(days=1), ("hold", "incomplete", "has 3 of 24 files")),
    ({"count": 2}, timedelta(days=1), ("hold", "incomplete", "has 3 of 2 files")),
    ({"count": 24, "quiet_for": "30m"}, timedelta(minutes=29), ("hold", "incomplete", "has 3 of 24 files")),
    ({"count": 24, "quiet_for": "30m"}, timedelta(minutes=30), ("register", "new", None)),
    ({"count": 3, "quiet_for": "30m"}, timedelta(0), ("register", "new", None)),
]


class TestComplete:
    @pytest.mark.parametrize(("complete", "age", "expected"), COMPLETE)
    def test_by_quiet_or_by_count(self, folder, complete, age, expected):
        newest = an_object("run_3.jpg", last_modified=NOW - age)
        plan_of(folder, *frames(1, 2), newest, groups=[{**FRAMES, "complete": complete}])
        assert decision(folder) == expected

    @pytest.mark.parametrize(
        ("keys", "expected"),
        [
            (["run_1of2.jpg", "run_2of2.jpg"], ("register", "new", None)),
            (["run_1of3.jpg", "run_2of3.jpg"], ("hold", "incomplete", "has 2 of 3 files")),
            (["run_1of2.jpg", "run_2of3.jpg"], ("hold", "incomplete", "its files declare different counts")),
            (["run_1of.jpg", "run_2of.jpg"], ("hold", "incomplete", "has 2 of 9 files")),
        ],
    )
    def test_a_count_in_the_key_wins(self, folder, keys, expected):
        pattern = r"^(?P<group>.+)_(?P<index>[0-9]+)of(?P<count>[0-9]*)"
        plan_of(folder, *keys, groups=[{**FRAMES, "pattern": pattern, "complete": {"count": 9}}])
        assert decision(folder) == expected

    @pytest.mark.parametrize("count", ["2.4", " 2", "-1", "1e0", "9" * 30])
    def test_a_count_that_cannot_be_read_is_never_reached(self, folder, count):
        pattern = r"^(?P<group>.+)_(?P<index>[0-9]+)of(?P<count>[^j]+)\.jpg"
        keys = [f"run_1of{count}.jpg", "run_2of2.jpg"]
        plan_of(folder, *keys, groups=[{**FRAMES, "pattern": pattern, "complete": {"count": 2}}])
        detail = f'the count "{count}" in its keys cannot be read as a number of files'
        assert decision(folder) == ("hold", "incomplete", detail)

    def test_a_group_with_a_young_file_is_held_as_a_whole(self, folder):
        newest = an_object("run_3.jpg", last_modified=NOW - timedelta(minutes=59))
        rule = {**FRAMES, "complete": {"count": 3}}
        plan_of(folder, *frames(1, 2), newest, groups=[rule], select={"minimum_age": "1h"})
        assert decision(folder) == ("hold", "too_young", "its newest file is of 2026-01-01 23:01:00 UTC")

    def test_a_group_with_a_file_that_is_too_large_is_skipped_as_a_whole(self, folder):
        plan_of(
            folder,
            *frames(1, 2),
            *frames(3, size_bytes=101),
            groups=[FRAMES],
            select={"maximum_size": "100 B"},
        )
        assert decision(folder) == ("skip", "too_large", "such as run_3.jpg")

    def test_excluded_files_are_no_part_of_a_group(self, folder):
        plan_of(folder, *frames(1, 2, 3), groups=[FRAMES], select={"exclude": ["*_2.jpg"]})
        [files] = groups_of(folder).values()
        assert files == ["run_1.jpg", "run_3.jpg"]


def a_ledger(tmp_path, *groups: dict[str, Any], failures: dict[str, str] | None = None) -> LedgerVersion:
    """A ledger of what one manifest held; `failures` has the state of keys."""
    return Ledger(tmp_path / "ledger").commit(
        run_id="earlier",
        url_base=URL_BASE,
        items_path=write_items(tmp_path / "items.parquet", [groups]),
        manifests=[SettledManifest(0, "manifests/0000-a.json", "job", LONG_AGO)],
        failures=[
            SettledFailure(URL_BASE + key, "corrupt", LedgerState(state))
            for key, state in (failures or {}).items()
        ],
    )


def as_group(
    *numbers: int, item_type: str = "image_sequence", item_key: str = "group"
) -> list[dict[str, Any]]:
    return [row | {"item_type": item_type, "item_key": item_key} for row in frames(*numbers)]


ALL_FAILED = dict.fromkeys(("run_1.jpg", "run_2.jpg", "run_3.jpg"), "failed")
ALL_QUARANTINED = dict.fromkeys(ALL_FAILED, "quarantined")
# What the ledger holds, what is listed, whether a full pass is asked for, what is decided
KNOWN = [
    (as_group(1, 2, 3), {}, frames(1, 2, 3), False, ("skip", "registered", None)),
    (as_group(1, 2, 3), {}, frames(1, 2, 3), True, ("register", "full_pass", None)),
    (as_group(1, 2), {}, frames(1, 2, 3), False, ("report", "grown", "1 file more than the 2 registered")),
    (as_group(1, 2), {}, frames(1, 2, 3), True, ("report", "grown", "1 file more than the 2 registered")),
    (as_group(1, 2), {}, frames(1, 3), False, ("report", "grown", "1 file more than the 1 registered")),
    (as_group(1, 2, 3), {}, frames(1, 2), False, ("report", "file_missing", "1 of 3 files")),
    (as_group(1, 2, 3), {}, frames(1, 2), True, ("report", "file_missing", "1 of 3 files")),
    (
        as_group(1, 2),
        {},
        [*frames(1), *frames(2, etag="new")],
        False,
        ("report", "changed", "1 of 2 files, such as run_2.jpg"),
    ),
    (
        as_group(1, 2),
        {},
        [*frames(1), *frames(2, etag="new")],
        True,
        ("report", "changed", "1 of 2 files, such as run_2.jpg"),
    ),
    (frames(1), {}, frames(1, 2), False, ("report", "registered_otherwise", "1 of its 2 files")),
    (frames(1), {}, frames(1, 2), True, ("report", "registered_otherwise", "1 of its 2 files")),
    (frames(1, 2), {}, frames(1, 2), False, ("report", "registered_otherwise", "2 of its 2 files")),
    (
        as_group(1, 2, item_type="image_group"),
        {},
        frames(1, 2),
        False,
        ("report", "registered_otherwise", "2 of its 2 files"),
    ),
    (
        [*as_group(1), *as_group(2, item_key="other")],
        {},
        frames(1, 2),
        False,
        ("report", "registered_otherwise", "2 of its 2 files"),
    ),
    (as_group(1, 2, 3), ALL_FAILED, frames(1, 2, 3), False, ("retry", "failed_before", None)),
    (as_group(1, 2, 3), ALL_QUARANTINED, frames(1, 2, 3), False, ("skip", "quarantined", None)),
    (
        as_group(1, 2, 3),
        ALL_FAILED | {"run_2.jpg": "quarantined"},
        frames(1, 2, 3),
        False,
        ("skip", "quarantined", None),
    ),
    (as_group(1, 2, 3), ALL_QUARANTINED, frames(1, 2, 3), True, ("register", "full_pass", None)),
    (
        as_group(1, 2, 3),
        ALL_QUARANTINED,
        [*frames(1, 2), *frames(3, etag="new")],
        False,
        ("register", "changed_since_failure", None),
    ),
    (
        as_group(1, 2, 3),
        ALL_QUARANTINED,
        frames(1, 2, 3, 4),
        False,
        ("register", "changed_since_failure", None),
    ),
    (as_group(1, 2, 3), ALL_QUARANTINED, frames(1, 2), False, ("register", "changed_since_failure", None)),
    (frames(1), {"run_1.jpg": "quarantined"}, frames(1, 2), False, ("register", "new", None)),
]


class TestWhatTheLedgerKnows:
    @pytest.mark.parametrize("case", KNOWN)
    def test_of_a_group(self, folder, tmp_path, case):
        known, failures, listed, full_pass, expected = case
        ledger = a_ledger(tmp_path, *known, failures=failures)
        plan_of(folder, *listed, groups=[FRAMES], ledger=ledger, full_pass=full_pass)
        assert decision(folder) == expected

    def test_groups_of_two_types_with_one_key_are_two(self, folder, tmp_path):
        slices = [an_object(f"run_{n}.dcm") for n in (1, 2)]
        series = [row | {"item_type": "dicom_series", "item_key": "group"} for row in slices]
        ledger = a_ledger(tmp_path, *as_group(1), *series)
        rules = [FRAMES, {**FRAMES, "type": "dicom_series", "pattern": "^(?P<group>run)"}]
        plan_of(folder, *frames(1), *slices, groups=rules, ledger=ledger)
        assert decision(folder)[1] == "registered"

    def test_what_is_registered_needs_not_be_complete_again(self, folder, tmp_path):
        ledger = a_ledger(tmp_path, *as_group(1, 2))
        rule = {**FRAMES, "complete": {"count": 24}}
        plan_of(folder, *frames(1, 2), groups=[rule], ledger=ledger)
        assert decision(folder)[1] == "registered"

    def test_a_rule_that_is_written_otherwise_registers_nothing_again(self, folder, tmp_path):
        ledger = a_ledger(tmp_path, *as_group(1, 2))
        plan_of(folder, *frames(1, 2), groups=[{"type": "image_sequence", "by": "folder"}], ledger=ledger)
        assert decision(folder)[1] == "registered"

    def test_files_of_a_group_whose_rule_is_gone_are_not_sent_singly(self, folder, tmp_path):
        ledger = a_ledger(tmp_path, *as_group(1, 2))
        plan_of(folder, *frames(1, 2), ledger=ledger)
        assert decision(folder)[1] == "registered"


class TestNarrowed:
    @pytest.mark.parametrize(
        ("narrowed_to", "rule", "is_whole"),
        [
            ("a/", BY_FOLDER, True),
            ("a/run_1", BY_FOLDER, False),
            ("a", BY_FOLDER, True),
            ("a/", FRAMES, True),
            ("a/run", FRAMES, True),
            ("a/run_1", FRAMES, False),
            ("a/", {**FRAMES, "pattern": "/(?P<group>run)_"}, False),
        ],
    )
    def test_a_group_that_the_narrower_prefix_may_cut_is_held(self, folder, narrowed_to, rule, is_whole):
        plan_of(folder, "a/run_1.jpg", "a/run_10.jpg", groups=[rule], narrowed_to=narrowed_to)
        cut = ("hold", "incomplete", "the narrower prefix of this run may leave files of it out")
        assert decision(folder) == (("register", "new", None) if is_whole else cut)

    def test_single_files_are_not_held(self, folder):
        plan_of(folder, "a/x.mp4", groups=[FRAMES], narrowed_to="a/x")
        assert decision(folder) == ("register", "new", None)


def test_the_summary_counts_objects_and_items_and_shows_each_item_once(folder):
    keys = [f"{name}_{n}.jpg" for name in "abcde" for n in range(3)]
    rule = {**FRAMES, "complete": {"count": 4}}
    plan = plan_of(folder, *keys, "a_3.jpg", "x.mp4", "x.txt", groups=[rule])
    assert [(row.action, row.item_type, row.objects, row.items) for row in plan.rows] == [
        ("hold", "image_sequence", 12, 4),
        ("register", "image_sequence", 4, 1),
        ("register", "video", 1, 1),
        ("skip", None, 1, 0),
    ]
    held = plan.rows[0]
    assert held.examples == tuple(f"{name}_0.jpg (has 3 of 4 files)" for name in "bcd")
    known = {"registered": 0, "registered_here": 0}
    assert plan.ref.counts == {"objects": 18, "to_register": 5, "items": 2} | known
    assert read_plan_rows(folder) == plan.rows


def test_nothing_else_is_left_in_the_run_folder(folder):
    plan_of(folder, "a_1.jpg", groups=[FRAMES])
    names = ["metadata.parquet", "part.parquet", "plan.json", "plan.parquet", "register.parquet"]
    assert sorted(path.name for path in folder.root.iterdir()) == names


def test_the_same_input_gives_the_same_bytes(tmp_path):
    keys = [f"d{n % 700}/{n % 90}_{n}.jpg" for n in range(20_000)]
    files = []
    for attempt in range(2):
        folder = RunFolder(tmp_path / str(attempt))
        plan_of(folder, *keys, groups=[{**FRAMES, "include": ["d1*/"]}, BY_FOLDER])
        names = ["plan.parquet", "register.parquet", "metadata.parquet", "plan.json"]
        files.append([folder.read(name) for name in names])
    assert files[0] == files[1]


FOLDERS = st.sampled_from(["", "a/", "a/b/", "/", "c//"])
NAMES = st.tuples(st.sampled_from("xy_12"), st.sampled_from(["", "_1", "_02", "_a"])).map("".join)
EXTENSIONS = st.sampled_from([".jpg", ".dcm", ".mp4", ".txt", ""])
KEYS = st.lists(st.tuples(FOLDERS, NAMES, EXTENSIONS).map("".join), unique=True, max_size=25)
RULES = st.lists(
    st.sampled_from(
        [
            BY_FOLDER,
            FRAMES,
            {**FRAMES, "include": ["a/"], "complete": {"count": 2}},
            {"type": "dicom_series", "by": "regex", "pattern": "(?P<group>[xy])"},
            {**FRAMES, "pattern": r"(?P<group>[0-9]*)(?P<index>_?)"},
        ]
    ),
    max_size=3,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(KEYS, RULES)
def test_every_object_is_in_the_plan_once_and_every_item_is_whole(folder, keys, rules):
    plan = plan_of(folder, *keys, groups=rules)
    rows = rows_of(folder)
    assert sorted(row["key"] for row in rows) == sorted(keys)
    assert sum(row.objects for row in plan.rows) == len(keys)
    items: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        assert row["reason"] in REASONS
        if row["item_key"] is not None:
            items.setdefault(row["item_key"], []).append(row)
    for files in items.values():
        assert sorted(row["position"] for row in files) == list(range(len(files)))
        assert len({(row["item_type"], row["action"], row["reason"]) for row in files}) == 1
    sent = [(row["item_key"].encode(), row["position"]) for row in rows_of(folder, "register.parquet")]
    assert sent == sorted(sent)
    assert len(sent) == plan.to_register
    assert plan.items == sum(position == 0 for _, position in sent)
    assert len(rows_of(folder, "metadata.parquet") if folder.exists("metadata.parquet") else []) in (
        0,
        plan.items,
    )
