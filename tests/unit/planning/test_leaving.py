"""What has changed and is registered again: what is sent, and what leaves the dataset for it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pyarrow.parquet as pq
import pytest

from cloud_sync.ledger import LedgerVersion
from cloud_sync.planning.model import UNLINK_NAME, PlanRow, Sources
from cloud_sync.planning.plan import Plan
from cloud_sync.run_folder import RunFolder
from tests.unit.failures.fakes import FakeStore
from tests.unit.planning import plans
from tests.unit.planning.test_departures import BY_FOLDER, content_of, folder, ledger_of, sent, told
from tests.unit.tables import LONG_AGO, URL_BASE, Group, an_object

__all__ = ["folder"]

AGAIN = {"changes": {"changed": "register_again"}, "approval": {"changed_count": 10}}
ALL = {
    "changes": {"changed": "register_again", "removed": "unlink", "moved": "register"},
    "approval": {"changed_count": 10, "removed_count": 10},
}
NOW = LONG_AGO + timedelta(hours=1)
GROUP = Group("g", ["g/1.jpg", "g/2.jpg"])
REGISTER, REPORT = ("register", "changed"), ("report", "changed")


def plan_of(
    folder: RunFolder, ledger: LedgerVersion, *objects, sections: Any = AGAIN, **options: Any
) -> Plan:
    return plans.plan_of(folder, *objects, ledger=ledger, now=NOW, **sections, **options)


def changed(key: str, **changes: Any) -> dict[str, Any]:
    return an_object(key, **{"etag": "new", **changes})


def decided(folder: RunFolder) -> dict[str, tuple[str, str]]:
    return {key: (action, reason) for key, (action, reason, _) in told(folder).items()}


def leaving(folder: RunFolder) -> list[tuple[str, str]]:
    return [(row["key"], row["reason"]) for row in pq.read_table(folder.path(UNLINK_NAME)).to_pylist()]


def test_it_is_sent_and_its_old_item_leaves(folder):
    plan = plan_of(folder, ledger_of(folder, "a.jpg", "b.jpg"), "a.jpg", changed("b.jpg", size_bytes=11))
    assert decided(folder) == {"a.jpg": ("skip", "registered"), "b.jpg": REGISTER}
    assert plan.rows[0] == PlanRow("register", "image", "changed", 1, 11, ("b.jpg",), 1)
    assert plan.rows[0].replaces
    assert (plan.to_register, plan.items, sent(folder)) == (1, 1, ["b.jpg"])
    assert pq.read_table(folder.path(UNLINK_NAME)).to_pylist() == [
        {"item_type": "image", "item_key": "b.jpg", "position": 0, "key": "b.jpg"}
        | {"url": f"{URL_BASE}b.jpg", "reason": "changed"}
    ]


def test_by_default_it_is_only_reported(folder):
    plan = plan_of(folder, ledger_of(folder, "a.jpg"), changed("a.jpg"), sections={})
    assert (decided(folder), plan.to_register) == ({"a.jpg": REPORT}, 0)
    assert not plan.rows[0].replaces
    assert not folder.exists(UNLINK_NAME)


@pytest.mark.parametrize("full_pass", [False, True])
def test_a_full_pass_does_not_have_it_skipped_as_a_duplicate(folder, full_pass):
    plan_of(folder, ledger_of(folder, "a.jpg", "b.jpg"), "a.jpg", changed("b.jpg"), full_pass=full_pass)
    assert decided(folder)["b.jpg"] == REGISTER
    assert leaving(folder) == [("b.jpg", "changed")]


def test_without_it_a_full_pass_sends_what_has_changed_as_before(folder):
    plan_of(folder, ledger_of(folder, "b.jpg"), changed("b.jpg"), sections={}, full_pass=True)
    assert decided(folder)["b.jpg"] == ("register", "full_pass")
    assert not folder.exists(UNLINK_NAME)


def test_one_that_is_held_stays_in_the_dataset(folder):
    young = changed("a.jpg", last_modified=NOW)
    large = changed("b.jpg", size_bytes=10_000_000)
    select = {"select": {"minimum_age": "1m", "maximum_size": "1MB"}}
    plan_of(folder, ledger_of(folder, "a.jpg", "b.jpg"), young, large, sections=AGAIN | select)
    assert decided(folder) == {"a.jpg": ("hold", "too_young"), "b.jpg": ("skip", "too_large")}
    assert not folder.exists(UNLINK_NAME)


def test_one_whose_metadata_cannot_be_sent_stays_in_the_dataset(folder, tmp_path):
    store = FakeStore({"a.jpg.metadata.json": b"{}"})
    plan_of(
        folder,
        ledger_of(folder, "a.jpg", "b.jpg"),
        changed("a.jpg"),
        "a.jpg.metadata.json",
        changed("b.jpg"),
        sections=AGAIN | {"metadata": {"sidecar": "required"}},
        sources=Sources(lambda: store, tmp_path, tmp_path),
    )
    assert decided(folder)["b.jpg"] == ("hold", "sidecar_missing")
    assert leaving(folder) == [("a.jpg", "changed")]
    assert sent(folder) == ["a.jpg"]


def test_in_a_narrowed_run_only_what_was_listed_is_registered_again(folder):
    ledger = ledger_of(folder, "in/a.jpg", "out/b.jpg")
    plan_of(folder, ledger, changed("in/a.jpg"), narrowed_to="in/")
    assert leaving(folder) == [("in/a.jpg", "changed")]


def test_gone_moved_and_changed_are_told_apart(folder):
    ledger = ledger_of(folder, "gone.jpg", "kept.jpg", "old.jpg", "over.jpg")
    over = content_of("over.jpg", "gone.jpg")  # what is gone was written over it
    plan_of(folder, ledger, "kept.jpg", content_of("new.jpg", "old.jpg"), over, sections=ALL)
    assert decided(folder) == {
        "gone.jpg": ("unlink", "removed"),
        "kept.jpg": ("skip", "registered"),
        "old.jpg": ("report", "moved_to"),
        "new.jpg": ("register", "moved"),
        "over.jpg": REGISTER,
    }
    assert leaving(folder) == [("gone.jpg", "removed"), ("over.jpg", "changed")]
    assert sent(folder) == ["new.jpg", "over.jpg"]


def test_what_failed_and_changed_since_has_no_old_item(folder):
    plan_of(folder, ledger_of(folder, "a.jpg", failed=("a.jpg",)), changed("a.jpg"))
    assert decided(folder) == {"a.jpg": ("register", "changed_since_failure")}
    assert not folder.exists(UNLINK_NAME)


def test_what_is_registered_in_a_group_and_stands_alone_now_is_only_reported(folder):
    plan = plan_of(folder, ledger_of(folder, GROUP, "a.jpg"), changed("g/1.jpg"), "g/2.jpg", changed("a.jpg"))
    assert told(folder)["g/1.jpg"] == ("report", "changed", "registered as a file of a group")
    assert leaving(folder) == [("a.jpg", "changed")]
    assert (plan.to_register, sent(folder)) == (1, ["a.jpg"])


class TestGroups:
    def test_a_group_with_a_changed_file_is_one_item_again(self, folder):
        ledger = ledger_of(folder, GROUP, "z.mp4")
        plan = plan_of(folder, ledger, "g/1.jpg", changed("g/2.jpg"), "z.mp4", sections=AGAIN | BY_FOLDER)
        assert told(folder)["g/1.jpg"] == ("register", "changed", "1 of 2 files, such as g/2.jpg")
        assert (plan.to_register, plan.items, sent(folder)) == (2, 1, ["g/1.jpg", "g/2.jpg"])
        assert leaving(folder) == [("g/1.jpg", "changed"), ("g/2.jpg", "changed")]

    @pytest.mark.parametrize(
        ("listed", "reason"),
        [
            (["g/1.jpg", changed("g/2.jpg"), "g/3.jpg"], "grown"),
            ([changed("g/1.jpg")], "file_missing"),
        ],
    )
    def test_another_list_of_files_is_only_reported(self, folder, listed, reason):
        plan = plan_of(folder, ledger_of(folder, GROUP), *listed, sections=ALL | BY_FOLDER)
        assert {row.reason for row in plan.rows} == {reason}
        assert plan.to_register == 0
        assert not folder.exists(UNLINK_NAME)

    def test_files_of_several_items_are_only_reported(self, folder):
        ledger = ledger_of(folder, "g/1.jpg", "g/2.jpg")
        plan = plan_of(folder, ledger, "g/1.jpg", changed("g/2.jpg"), sections=AGAIN | BY_FOLDER)
        assert [(row.action, row.reason) for row in plan.rows] == [("report", "registered_otherwise")]

    @pytest.mark.parametrize(
        ("complete", "select", "reason"),
        [
            ({"quiet_for": "2h"}, {}, "incomplete"),
            ({"quiet_for": "0s"}, {"minimum_age": "2h"}, "too_young"),
        ],
    )
    def test_one_that_is_still_being_written_is_held(self, folder, complete, select, reason):
        rules = {"groups": [{"type": "image_group", "by": "folder", "complete": complete}], "select": select}
        ledger = ledger_of(folder, GROUP)
        plan_of(folder, ledger, "g/1.jpg", changed("g/2.jpg"), sections=AGAIN | rules)
        assert decided(folder)["g/1.jpg"] == ("hold", reason)
        assert not folder.exists(UNLINK_NAME)
        plan_of(folder, ledger, "g/1.jpg", changed("g/2.jpg"), sections=rules)
        assert decided(folder)["g/1.jpg"] == REPORT

    @pytest.mark.parametrize("full_pass", [False, True])
    def test_one_that_is_as_it_was_stays(self, folder, full_pass):
        young = {"groups": [{"type": "image_group", "by": "folder", "complete": {"quiet_for": "2h"}}]}
        ledger = ledger_of(folder, GROUP)
        plan_of(folder, ledger, "g/1.jpg", "g/2.jpg", sections=AGAIN | young, full_pass=full_pass)
        reason = ("register", "full_pass") if full_pass else ("skip", "registered")
        assert decided(folder)["g/1.jpg"] == reason
        assert not folder.exists(UNLINK_NAME)

    def test_under_another_key_it_is_still_the_old_item_that_leaves(self, folder):
        old = Group("named otherwise", ["g/1.jpg", "g/2.jpg"])
        plan_of(folder, ledger_of(folder, old), "g/1.jpg", changed("g/2.jpg"), sections=AGAIN | BY_FOLDER)
        rows = pq.read_table(folder.path(UNLINK_NAME)).to_pylist()
        assert {row["item_key"] for row in rows} == {"named otherwise"}
