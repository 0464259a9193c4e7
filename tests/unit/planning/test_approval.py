"""Which plans wait for a person, and what the person is shown."""

from __future__ import annotations

import pytest

from cloud_sync.integration import Approval
from cloud_sync.planning.approval import excesses, shown
from cloud_sync.planning.model import PlanRow


def row(
    reason: str, items: int, objects: int | None = None, *, key: str = "a.jpg", action: str = "register"
) -> PlanRow:
    return PlanRow(action, "image", reason, objects or items, 10, (key,), items)


PLAN = [
    row("new", 30),
    row("changed_since_failure", 5),
    row("failed_before", 1000),
    row("registered", 1000),
    row("changed", 3),
    row("grown", 1, 10),
    row("file_missing", 2, 20),
]


@pytest.mark.parametrize(
    ("limits", "registered", "above"),
    [
        ({"new_count": 35}, 100, []),
        ({"new_count": 34}, 100, ["new items: 35, and approval.new_count is 34"]),
        ({"new_count": 0}, 0, ["new items: 35, and approval.new_count is 0"]),
        ({"new_share": 0.35}, 100, []),
        (
            {"new_share": 0.2},
            100,
            ["new objects: 35.0% of the 100 registered, and approval.new_share is 20%"],
        ),
        ({"new_share": 0.2}, 0, []),
        ({"changed_count": 4}, 100, []),
        ({"changed_count": 3}, 100, ["changed items: 4, and approval.changed_count is 3"]),
        (
            {"changed_share": 0.1},
            100,
            ["changed objects: 13.0% of the 100 registered, and approval.changed_share is 10%"],
        ),
        ({"removed_count": 1}, 100, ["removed items: 2, and approval.removed_count is 1"]),
        (
            {"removed_share": 0.0},
            100,
            ["removed objects: 20.0% of the 100 registered, and approval.removed_share is 0%"],
        ),
    ],
)
def test_a_plan_is_above_a_limit_when_it_has_more(limits, registered, above):
    assert excesses(PLAN, registered, Approval(**limits)) == above


def test_each_limit_that_is_passed_is_named():
    assert len(excesses(PLAN, 10, Approval(new_count=1, new_share=0.1, removed_count=0))) == 3


def test_a_plan_without_changes_is_above_no_limit():
    limits = Approval(new_count=0, changed_count=0, removed_count=0, new_share=0, removed_share=0)
    assert excesses([row("registered", 5), row("failed_before", 5)], 5, limits) == []


def test_what_is_gone_is_removed_and_what_has_moved_is_new_where_it_is_registered():
    def moved(action: str) -> PlanRow:
        return PlanRow(action, "image", "moved", 2, 10, (), 2)

    limits = Approval(new_count=0, removed_count=0)
    assert excesses([row("removed", 2)], 9, limits) == ["removed items: 2, and approval.removed_count is 0"]
    assert excesses([moved("register")], 9, limits) == ["new items: 2, and approval.new_count is 0"]
    assert excesses([moved("report"), row("moved_to", 2)], 9, limits) == []


@pytest.mark.parametrize(
    ("rows", "asks"),
    [
        ((row("removed", 2, action="unlink"),), True),
        ((row("removed", 2, action="unlink"), row("moved_to", 1, action="report")), True),
        ((row("removed", 2, action="unlink"), row("unknown_type", 1, action="skip")), False),
        ((row("removed", 2, action="report"),), False),
    ],
)
def test_a_listing_of_nothing_takes_nothing_away_without_a_person(rows, asks):
    above = excesses(rows, 9, Approval(removed_count=1000))
    assert above == (
        ["nothing was listed, and 2 items would leave the dataset: for that a person is always asked"]
        if asks
        else []
    )


def test_the_person_sees_limits_and_plan_and_no_key_becomes_markup():
    text = shown([row("new", 2, key="a|b`c.jpg"), row("registered", 1, key="x" * 300)], ["new items: 2"])
    assert "- new items: 2\n" in text
    assert "| register | 2 items | image | new since the last run | `a\\|b'c.jpg` |" in text
    assert "x" * 199 + "…`" in text
    assert "x" * 200 not in text
