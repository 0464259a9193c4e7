"""What is registered and gone: removed, or under a new key; and what is done about it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from cloud_sync.ledger import Ledger, LedgerState, LedgerVersion, SettledFailure, SettledManifest
from cloud_sync.planning.model import UNLINK_NAME, PlanRow
from cloud_sync.planning.plan import Plan
from cloud_sync.run_folder import RunFolder
from tests.unit.planning import plans
from tests.unit.tables import (
    LONG_AGO,
    URL_BASE,
    Group,
    an_object,
    write_items,
)

UNLINK = {"changes": {"removed": "unlink"}, "approval": {"removed_count": 10}}
BY_FOLDER = {"groups": [{"type": "image_group", "by": "folder", "complete": {"quiet_for": "0s"}}]}


@pytest.fixture
def folder(tmp_path) -> RunFolder:
    (tmp_path / "run").mkdir()
    return RunFolder(tmp_path / "run")


def ledger_of(folder: RunFolder, *objects, failed: tuple[str, ...] = ()) -> LedgerVersion:
    """A ledger in which these objects are registered, or have failed."""
    return Ledger(Path(folder.root.parent / "ledger")).commit(
        run_id="earlier",
        url_base=URL_BASE,
        items_path=write_items(folder.root.parent / "items.parquet", [objects]),
        manifests=[SettledManifest(0, "manifests/0000-a.json", "job", LONG_AGO)],
        failures=[SettledFailure(f"{URL_BASE}{key}", "corrupt", LedgerState.QUARANTINED) for key in failed],
    )


def plan_of(folder: RunFolder, ledger: LedgerVersion, *objects, **options: Any) -> Plan:
    return plans.plan_of(folder, *objects, ledger=ledger, **options)


def told(folder: RunFolder) -> dict[str, tuple[str, str, str | None]]:
    rows = pq.read_table(folder.path("plan.parquet")).to_pylist()
    return {row["key"]: (row["action"], row["reason"], row["detail"]) for row in rows}


def sent(folder: RunFolder) -> list[str]:
    return pq.read_table(folder.path("register.parquet"))["key"].to_pylist()


def content_of(key: str, other: str) -> dict:
    """An object that holds what another one holds."""
    return an_object(key, etag=f"etag of {other}")


def test_what_is_gone_is_reported_and_counted_and_nothing_is_done(folder):
    plan = plan_of(folder, ledger_of(folder, "a.jpg", "b.jpg", "c.mp4"), "a.jpg")
    assert told(folder)["b.jpg"] == ("report", "removed", None)
    assert plan.rows == (
        PlanRow("report", "image", "removed", 1, 10, ("b.jpg",), 1),
        PlanRow("report", "video", "removed", 1, 10, ("c.mp4",), 1),
        PlanRow("skip", "image", "registered", 1, 10, ("a.jpg",), 1),
    )
    known = {"registered": 3, "registered_here": 3}
    assert plan.ref.counts == {"objects": 1, "to_register": 0, "items": 0} | known
    assert not folder.exists(UNLINK_NAME)


def test_of_an_empty_listing_everything_is_gone(folder):
    plan_of(folder, ledger_of(folder, "a.jpg"))
    assert told(folder) == {"a.jpg": ("report", "removed", None)}


def test_what_the_rules_leave_out_now_and_what_never_was_registered_is_not_removed(folder):
    ledger = ledger_of(folder, "a.jpg", "b.jpg", "bad.jpg", failed=("bad.jpg",))
    plan_of(folder, ledger, "a.jpg", "b.jpg", select={"exclude": ["a.*"]}, types={"images": ["png"]})
    assert {reason for _, reason, _ in told(folder).values()} == {"excluded", "unknown_type"}
    assert set(told(folder)) == {"a.jpg", "b.jpg"}


@pytest.mark.parametrize(
    ("prefix", "narrowed_to"), [("", "in/"), ("in/", None)], ids=["a narrowed run", "a prefix of the file"]
)
def test_what_lies_outside_of_the_listing_is_not_removed(folder, prefix, narrowed_to):
    ledger = ledger_of(folder, "in/a.jpg", "in/b.jpg", "out/c.jpg")
    storage = {"provider": "s3", "connection_id": "aws", "bucket": "recordings", "prefix": prefix}
    plan_of(folder, ledger, "in/a.jpg", narrowed_to=narrowed_to, storage=storage)
    assert {key for key, (_, reason, _) in told(folder).items() if reason == "removed"} == {"in/b.jpg"}


def test_a_late_object_with_an_old_date_is_new(folder):
    ledger = ledger_of(folder, an_object("a.jpg"), an_object("z.jpg"))
    late = an_object("m.jpg", last_modified=LONG_AGO.replace(year=1999))
    plan_of(folder, ledger, "a.jpg", late, "z.jpg")
    assert told(folder)["m.jpg"] == ("register", "new", None)
    assert sent(folder) == ["m.jpg"]


class TestMoved:
    def test_one_object_with_its_content_under_a_new_key(self, folder):
        plan = plan_of(folder, ledger_of(folder, "old.jpg"), content_of("new.jpg", "old.jpg"))
        assert told(folder) == {
            "old.jpg": ("report", "moved_to", "now new.jpg"),
            "new.jpg": ("report", "moved", "was old.jpg"),
        }
        assert (plan.to_register, sent(folder)) == (0, [])
        assert plan.rows[0].examples == ("new.jpg (was old.jpg)",)

    def test_it_is_registered_if_the_integration_says_so(self, folder):
        moved = content_of("new.jpg", "old.jpg")
        plan = plan_of(folder, ledger_of(folder, "old.jpg"), moved, changes={"moved": "register"})
        assert told(folder)["new.jpg"] == ("register", "moved", "was old.jpg")
        assert told(folder)["old.jpg"] == ("report", "moved_to", "now new.jpg")
        assert (plan.to_register, sent(folder)) == (1, ["new.jpg"])

    def test_it_does_not_leave_the_dataset_while_it_is_only_held_under_the_new_key(self, folder):
        moved = content_of("new.jpg", "old.jpg")
        plan_of(folder, ledger_of(folder, "old.jpg"), moved, select={"minimum_age": "1h"}, **UNLINK)
        assert told(folder) == {
            "old.jpg": ("report", "moved_to", "now new.jpg"),
            "new.jpg": ("hold", "too_young", None),
        }

    def test_nor_if_it_failed_there(self, folder):
        ledger = ledger_of(folder, "old.jpg", content_of("new.jpg", "old.jpg"), failed=("new.jpg",))
        plan_of(folder, ledger, content_of("new.jpg", "old.jpg"), **UNLINK)
        assert told(folder) == {
            "old.jpg": ("report", "moved_to", "now new.jpg"),
            "new.jpg": ("skip", "quarantined", None),
        }

    @pytest.mark.parametrize(
        "change",
        [{"size_bytes": 0}, {"etag": ""}, {"etag": None}],
        ids=["empty", "without an etag", "with no etag at all"],
    )
    def test_what_tells_nothing_of_its_content_has_not_moved(self, folder, change):
        same = {"etag": "e", **change}
        plan_of(folder, ledger_of(folder, an_object("old.jpg", **same)), an_object("new.jpg", **same))
        assert told(folder) == {"old.jpg": ("report", "removed", None), "new.jpg": ("register", "new", None)}

    @pytest.mark.parametrize("change", [{"size_bytes": 11}, {"etag": "e"}])
    def test_other_content_has_not_moved(self, folder, change):
        new = content_of("new.jpg", "old.jpg") | change
        plan_of(folder, ledger_of(folder, "old.jpg"), new)
        assert told(folder)["old.jpg"][1] == "removed"

    def test_an_object_that_is_another_type_now_has_not_moved(self, folder):
        plan_of(folder, ledger_of(folder, "old.jpg"), content_of("new.mp4", "old.jpg"))
        assert told(folder)["new.mp4"] == ("register", "new", None)

    @pytest.mark.parametrize(
        ("old", "new", "detail"),
        [
            (["1.jpg"], ["a.jpg", "b.jpg"], "1 removed and 2 new items have its content, such as a.jpg"),
            (["1.jpg", "2.jpg"], ["a.jpg"], "2 removed and 1 new items have its content, such as a.jpg"),
            (["1.jpg", "2.jpg"], ["a.jpg", "b.jpg"], "2 removed and 2 new items have its content"),
        ],
    )
    def test_which_one_moved_is_not_guessed(self, folder, old, new, detail):
        ledger = ledger_of(folder, *(an_object(key, etag="e") for key in old))
        plan_of(folder, ledger, *(an_object(key, etag="e") for key in new))
        for key in old:
            action, reason, said = told(folder)[key]
            assert (action, reason) == ("report", "removed")
            assert said is not None
            assert said.startswith(f"may have moved: {detail}")
        assert sent(folder) == new


def test_what_is_registered_is_counted_in_all_and_where_a_narrowed_run_looks(folder):
    ledger = ledger_of(folder, "a/1.jpg", "a/2.jpg", "b.jpg", failed=("a/2.jpg",))
    counts = plan_of(folder, ledger, narrowed_to="a/").ref.counts
    assert (counts["registered"], counts["registered_here"]) == (2, 1)


class TestGroups:
    def test_a_group_of_which_no_file_is_left_is_one_removed_item(self, folder):
        ledger = ledger_of(folder, Group("a/", ["a/1.jpg", "a/2.jpg"]), "x.mp4")
        plan = plan_of(folder, ledger, "x.mp4", **BY_FOLDER)
        assert plan.rows[0] == PlanRow("report", "image_group", "removed", 2, 20, ("a/1.jpg",), 1)

    def test_a_group_that_lost_a_file_is_told_by_what_is_left(self, folder):
        ledger = ledger_of(
            folder, Group("a", [f"a/{n}.jpg" for n in range(5)]), Group("b", ["b/1.jpg", "b/2.jpg"])
        )
        plan = plan_of(folder, ledger, "a/1.jpg", "b/1.jpg", "b/2.jpg", **BY_FOLDER)
        assert [(row.reason, row.objects, row.missing) for row in plan.rows] == [
            ("file_missing", 1, 4),
            ("registered", 2, 0),
        ]

    def test_a_group_part_of_which_lies_outside_of_a_narrowed_run_is_not_removed(self, folder):
        ledger = ledger_of(folder, Group("a", ["a/1.jpg", "a/b/2.jpg"]))
        plan_of(folder, ledger, narrowed_to="a/b/", **BY_FOLDER)
        assert told(folder) == {}

    def test_a_renamed_group_has_moved_as_a_whole(self, folder):
        same = an_object("a/2.jpg", etag="etag of a/1.jpg")  # two frames alike
        ledger = ledger_of(folder, Group("a", ["a/1.jpg", same, "a/3.jpg"]))
        moved = [content_of(f"b/{n}.jpg", f"a/{o}.jpg") for n, o in ((1, 3), (2, 1), (3, 1))]
        plan = plan_of(folder, ledger, *moved, changes={"moved": "register"}, **BY_FOLDER)
        assert told(folder)["a/2.jpg"] == ("report", "moved_to", "now b/1.jpg")
        assert told(folder)["b/3.jpg"] == ("register", "moved", "was a/1.jpg")
        assert [(row.reason, row.objects, row.items) for row in plan.rows] == [
            ("moved", 3, 1),
            ("moved_to", 3, 1),
        ]

    def test_a_group_with_one_file_more_has_not_moved(self, folder):
        ledger = ledger_of(folder, Group("a", ["a/1.jpg"]))
        plan = plan_of(folder, ledger, content_of("b/1.jpg", "a/1.jpg"), "b/2.jpg", **BY_FOLDER)
        assert [row.reason for row in plan.rows] == ["new", "removed"]


class TestUnlink:
    def test_what_is_to_leave_the_dataset_is_listed_with_its_urls(self, folder):
        ledger = ledger_of(folder, "a.jpg", "b.jpg", Group("g", ["g/1.jpg", "g/2.jpg"]))
        plan = plan_of(folder, ledger, "b.jpg", **UNLINK)
        assert told(folder)["a.jpg"] == ("unlink", "removed", None)
        rows = pq.read_table(folder.path(UNLINK_NAME)).to_pylist()
        assert rows[0] == {
            "item_type": "image",
            "item_key": "a.jpg",
            "position": 0,
            "key": "a.jpg",
            "url": f"{URL_BASE}a.jpg",
            "reason": "removed",
        }
        assert [row["key"] for row in rows] == ["a.jpg", "g/1.jpg", "g/2.jpg"]
        assert [(row.action, row.items) for row in plan.rows if row.reason == "removed"] == [
            ("unlink", 1),
            ("unlink", 1),
        ]

    def test_what_moved_stays_in_the_dataset(self, folder):
        plan_of(folder, ledger_of(folder, "old.jpg"), content_of("new.jpg", "old.jpg"), **UNLINK)
        assert told(folder)["old.jpg"] == ("report", "moved_to", "now new.jpg")
        assert not folder.exists(UNLINK_NAME)

    def test_a_list_of_an_earlier_try_is_taken_away(self, folder):
        folder.write(UNLINK_NAME, b"old")
        plan_of(folder, ledger_of(folder, "a.jpg"), "a.jpg", **UNLINK)
        assert not folder.exists(UNLINK_NAME)
