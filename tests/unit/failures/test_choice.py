"""Which listed failures are sent again."""

from __future__ import annotations

import pytest

from cloud_sync.errors import ManifestError
from cloud_sync.failures.choice import EXAMPLES, LEFT_OUT, LeftOut, by_key, of_classes, reason_to_leave_out
from cloud_sync.failures.failure_list import ListedFailure
from tests.unit.failures.test_settle import parse_url, url


def listed(*keys: str, failure_class: str = "") -> list[ListedFailure]:
    return [ListedFailure(line, url(key), failure_class) for line, key in enumerate(keys, 2)]


def test_rows_are_known_by_their_keys_and_the_last_of_several_counts():
    rows = by_key(listed("a.jpg", "b.jpg", "a.jpg"), parse_url, file="f.csv", bucket="recordings")
    assert {key: row.line for key, row in rows.items()} == {"a.jpg": 4, "b.jpg": 3}


def test_urls_outside_the_bucket_are_refused_by_name_without_their_secrets():
    rows = [*listed("a.jpg"), ListedFailure(3, "https://bob:secret@other/x.jpg?X-Amz-Signature=secret")]
    rows += [ListedFailure(4 + number, f"https://other/{number}.jpg") for number in range(6)]
    with pytest.raises(ManifestError) as caught:
        by_key(rows, parse_url, file="f.csv", bucket="recordings")
    assert str(caught.value) == (
        "f.csv: holds object URLs that are none of the bucket recordings: "
        "'https://other/x.jpg' (line 3), 'https://other/0.jpg' (line 4), 'https://other/1.jpg' (line 5), "
        "'https://other/2.jpg' (line 6), 'https://other/3.jpg' (line 7) and 2 more. "
        "Remove them, or choose the integration of their bucket. Nothing was sent."
    )


def test_other_classes_are_left_out_and_counted_but_rows_without_one_are_not():
    rows = {
        row.object_url: row
        for row in (
            *listed("a.jpg"),
            *listed("b.jpg", failure_class="transient"),
            *listed("c.jpg", "d.jpg", "since.jpg", failure_class="corrupt"),
            *listed("e.jpg", failure_class="missing"),
        )
    }
    known = {url("a.jpg"): "quarantined", url("c.jpg"): "quarantined", url("since.jpg"): "registered"}
    left_out = LeftOut()
    chosen = of_classes(
        rows,
        {"transient", "forbidden"},
        left_out,
        states_of=lambda keys: {key: known[key] for key in keys if key in known},
    )
    assert list(chosen) == [url("a.jpg"), url("b.jpg")]
    assert left_out.to_json() == {
        "class_not_chosen": {
            "files": 3,
            "examples": [url("c.jpg"), url("d.jpg"), url("e.jpg")],
            "classes": {"corrupt": 2, "missing": 1},
            "quarantined": 1,
        },
        "registered": {"files": 1, "examples": [url("since.jpg")]},
    }
    assert left_out.why("class_not_chosen") == (
        "of a failure class that was not chosen (2 corrupt, 1 missing)"
    )
    assert left_out.why("registered") == "registered since"
    assert LeftOut.from_json(left_out.to_json()) == left_out


@pytest.mark.parametrize(
    ("reason", "failure_class", "is_quarantined", "remedy"),
    [
        ("registered", "", False, ""),
        ("quarantined", "corrupt", True, "To send what the form left out, tick release_quarantine."),
        (
            "class_not_chosen",
            "corrupt",
            False,
            "To send what the form left out, add corrupt to failure_classes.",
        ),
        (
            "class_not_chosen",
            "corrupt",
            True,
            "To send what the form left out, add corrupt to failure_classes and tick release_quarantine.",
        ),
    ],
)
def test_what_the_form_left_out_says_what_to_change_in_it(reason, failure_class, is_quarantined, remedy):
    left_out = LeftOut()
    left_out.add(reason, ["a.jpg"], failure_class=failure_class, is_quarantined=is_quarantined)
    assert left_out.remedy == remedy


def test_examples_are_few():
    left_out = LeftOut()
    for number in range(20):
        left_out.add("registered", [f"{number}.jpg", f"{number}b.jpg"])
    found = left_out.to_json()["registered"]
    assert (found["files"], len(found["examples"])) == (40, EXAMPLES)


@pytest.mark.parametrize(
    ("states", "release", "reason"),
    [
        ([None], False, None),
        (["failed"], False, None),
        (["registered", "registered"], True, "registered"),
        (["registered", None], False, None),
        (["quarantined"], False, "quarantined"),
        (["quarantined", "quarantined"], True, None),
    ],
)
def test_the_ledger_says_what_need_not_be_sent(states, release, reason):
    assert reason_to_leave_out(states, release_quarantine=release) == reason
    assert reason is None or reason in LEFT_OUT
