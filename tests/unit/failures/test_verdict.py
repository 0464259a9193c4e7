"""The verdict: what fails a run, in which order, and what it says to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from cloud_sync.failures.choice import LeftOut
from cloud_sync.failures.settle import Settlement
from cloud_sync.failures.verdict import RunFailed, Verdict, check_verdict, judge, with_replaced
from cloud_sync.integration import Failures
from tests.unit.failures.test_failure_csv import failure
from tests.unit.failures.test_report import GROUPS, NEW, QUARANTINED, ended

SEE = "See failures.csv for the reason and the remedy of each."
CLEAR = "Look at the failed tasks of this run, then clear them; what is registered is skipped."


def judged(plan, settlement, *, runs_again: bool = True, asked_for: bool = False, left_out=None, **limits):
    return judge(
        plan,
        settlement,
        Failures(**limits),
        failures_csv="failures.csv",
        runs_again=runs_again,
        asked_for=asked_for,
        left_out=left_out_of(left_out or {}),
    )


def left_out_of(files: Mapping[str, int]) -> LeftOut:
    """Return what a form left out: corrupt files in quarantine, missing ones that were not chosen."""
    left_out = LeftOut()
    for reason, count in files.items():
        failure_class = {"class_not_chosen": "missing", "quarantined": "corrupt"}.get(reason, "")
        left_out.add(
            reason, ["x"] * count, failure_class=failure_class, is_quarantined=reason == "quarantined"
        )
    return left_out


def of_sent(failed: int, registered: int = 0, already_registered: int = 0, before: int = 0) -> Settlement:
    return Settlement(
        failed_before=before,
        ended=[ended(items=failed + registered + already_registered)],
        registered=registered,
        already_registered=already_registered,
        failed=failed,
        failures=[failure()] * failed,
    )


@pytest.mark.parametrize(
    ("plan", "settlement", "verdict", "why"),
    [
        ([], Settlement(), Verdict.OK, "nothing failed, and nothing that was listed is quarantined."),
        ([NEW], of_sent(0, 10), Verdict.OK, "nothing failed, and nothing that was listed is quarantined."),
        ([NEW], of_sent(0, 0, 10), Verdict.OK, "nothing failed, and nothing that was listed is quarantined."),
        (
            [NEW],
            of_sent(1, 9),
            Verdict.OK_WITH_QUARANTINE,
            "1 item failed.",
        ),
        (
            [NEW],
            of_sent(1, before=1),
            Verdict.OK_WITH_QUARANTINE,
            "1 item failed, as in earlier runs.",
        ),
        (
            [NEW],
            of_sent(1001, 1, before=1000),
            Verdict.OK_WITH_QUARANTINE,
            "1,001 items failed, 1,000 of them as in earlier runs.",
        ),
        (
            [QUARANTINED],
            Settlement(),
            Verdict.OK_WITH_QUARANTINE,
            "nothing failed, but 1 item is quarantined since earlier runs.",
        ),
    ],
)
def test_good_runs(plan, settlement, verdict, why):
    judgement = judged(plan, settlement, fail_at_share="60%")
    assert (judgement.verdict, judgement.why) == (verdict, why)
    check_verdict({"verdict": judgement.verdict.value})


@pytest.mark.parametrize(
    ("settlement", "why", "remedy"),
    [
        (of_sent(2), "all 2 items that were sent failed.", SEE),
        (of_sent(2, before=1), "all 2 items that were sent failed.", SEE),
        (
            Settlement(ended=[ended("failed"), ended("cancelled"), ended("failed")], registered=5),
            "2 upload jobs were refused, 1 cancelled.",
            "See failures.csv; the next run tries again what can pass.",
        ),
        (Settlement(unbuilt=True), "12 items were never answered for.", CLEAR),
        (
            Settlement(ended=[ended()], waiting=[ended(items=1200)[0]], registered=10),
            "1,200 items were never answered for.",
            CLEAR,
        ),
    ],
)
def test_failed_runs_are_failed_whatever_the_thresholds(settlement, why, remedy):
    for limits in ({}, {"fail_at_count": 10**9, "fail_at_share": 1.0}):
        judgement = judged([NEW, GROUPS], settlement, **limits)
        assert (judgement.verdict, judgement.why, judgement.remedy) == (Verdict.FAILED, why, remedy)


@pytest.mark.parametrize(
    ("settlement", "limits", "expected"),
    [
        (of_sent(5, 5), {}, "5 of 10|share is 50%"),
        (of_sent(4, 5), {}, None),
        (of_sent(7, 93), {"fail_at_share": "7%"}, "7 of 100|share is 7%"),
        (of_sent(7, 94), {"fail_at_share": "7%"}, None),
        (of_sent(1, 0, 3), {"fail_at_share": "25%"}, "1 of 4|share is 25%"),
        (of_sent(99, 1), {"fail_at_share": "100%"}, None),
        (of_sent(1, 9999), {"fail_at_share": 0}, "1 of 10,000|share is 0%"),
        (of_sent(0, 10), {"fail_at_share": 0}, None),
        (of_sent(3, 97), {"fail_at_count": 3}, "3 of 100|count is 3"),
        (of_sent(2, 97), {"fail_at_count": 3}, None),
    ],
)
def test_thresholds(settlement, limits, expected):
    judgement = judged([NEW], settlement, **limits)
    if expected is None:
        assert judgement.verdict is not Verdict.FAILED
    else:
        many, limit = expected.split("|")
        why = f"{many} items that were sent failed; failures.fail_at_{limit}."
        assert (judgement.verdict, judgement.why, judgement.remedy) == (Verdict.FAILED, why, SEE)


@pytest.mark.parametrize(
    ("settlement", "limits", "expected"),
    [
        (of_sent(9, 5, before=5), {}, None),
        (of_sent(10, 5, before=5), {}, "5 of 10|share is 50%"),
        (of_sent(7, 97, before=5), {"fail_at_count": 3}, None),
        (of_sent(8, 97, before=5), {"fail_at_count": 3}, "3 of 100|count is 3"),
        (of_sent(5, 1, before=5), {"fail_at_share": 0, "fail_at_count": 1}, None),
    ],
)
def test_what_failed_before_counts_for_no_threshold(settlement, limits, expected):
    judgement = judged([NEW], settlement, **limits)
    if expected is None:
        assert judgement.verdict is Verdict.OK_WITH_QUARANTINE
    else:
        many, limit = expected.split("|")
        besides = "besides 5 that failed in earlier runs, too"
        assert judgement.why == f"{many} items that were sent failed, {besides}; failures.fail_at_{limit}."


def test_what_a_person_asked_for_counts_also_if_it_failed_before():
    judgement = judged([], of_sent(5, 5, before=5), asked_for=True)
    assert (judgement.verdict, judgement.why) == (
        Verdict.FAILED,
        "5 of 10 items that were sent failed; failures.fail_at_share is 50%.",
    )
    assert judged([], of_sent(4, 5, before=4), asked_for=True).why == "4 items failed."


HELD = "are quarantined and not released by the form (2 corrupt)"
OTHER_CLASS = "1 file is of a failure class that was not chosen (1 missing)"
LOG = "The log of choose says which and why."
TICK = "tick release_quarantine."


@pytest.mark.parametrize(
    ("plan", "left_out", "verdict", "why", "remedy"),
    [
        (
            [],
            {"quarantined": 2},
            Verdict.OK_WITH_QUARANTINE,
            f"nothing was sent: 2 files {HELD}.",
            f"To send what the form left out, {TICK} {LOG}",
        ),
        (
            [],
            {"quarantined": 2, "registered": 1000, "class_not_chosen": 1},
            Verdict.OK_WITH_QUARANTINE,
            f"nothing was sent: {OTHER_CLASS}; 2 files {HELD}; 1,000 files were left out for other reasons.",
            f"To send what the form left out, add missing to failure_classes and {TICK} {LOG}",
        ),
        (
            [],
            {"class_not_chosen": 1},
            Verdict.OK,
            f"nothing was sent: {OTHER_CLASS}.",
            f"To send what the form left out, add missing to failure_classes. {LOG}",
        ),
        ([], {"registered": 1}, Verdict.OK, "nothing was sent: 1 file was left out.", LOG),
        ([], {"registered": 3}, Verdict.OK, "nothing was sent: 3 files were left out.", LOG),
        (
            [NEW],
            {"quarantined": 2},
            Verdict.OK_WITH_QUARANTINE,
            f"nothing that was sent failed; 2 files {HELD}.",
            f"To send what the form left out, {TICK} {LOG}",
        ),
    ],
)
def test_what_a_failure_list_held_and_was_not_sent_is_no_all_clear(plan, left_out, verdict, why, remedy):
    settlement = of_sent(0, 10) if plan else Settlement()
    judgement = judged(plan, settlement, asked_for=True, left_out=left_out)
    assert (judgement.verdict, judgement.why, judgement.remedy) == (verdict, why, remedy)


@pytest.mark.parametrize(
    ("plan", "why"),
    [([], "nothing was sent: the failure list has no rows."), ([NEW], "nothing that was sent failed.")],
)
def test_a_retry_says_nothing_of_files_that_its_list_does_not_name(plan, why):
    judgement = judged(plan, of_sent(0, 10) if plan else Settlement(), asked_for=True, left_out={})
    assert (judgement.verdict, judgement.why, judgement.remedy) == (Verdict.OK, why, "")


def test_an_upload_says_nothing_of_a_quarantine_that_it_has_not():
    assert judged([NEW], of_sent(0, 10), runs_again=False).why == "nothing failed."


def test_all_thresholds_that_are_reached_are_named():
    judgement = judged([NEW], of_sent(6, 4), fail_at_count=5, fail_at_share="20%")
    assert judgement.why == (
        "6 of 10 items that were sent failed; failures.fail_at_count is 5 and failures.fail_at_share is 20%."
    )


def test_one_item_is_not_spoken_of_as_many():
    whys = [
        judged([NEW], settlement).why
        for settlement in (
            of_sent(1),
            Settlement(ended=[ended()], waiting=[ended(items=1)[0]], registered=10),
            Settlement(ended=[ended("failed")], registered=5),
        )
    ]
    assert whys == [
        "the only item that was sent failed.",
        "1 item was never answered for.",
        "1 upload job was refused.",
    ]


def test_jobs_that_were_only_cancelled_are_not_spoken_of_as_refused():
    judgement = judged([NEW], Settlement(ended=[ended("cancelled"), ended("cancelled")], registered=5))
    assert judgement.why == "2 upload jobs were cancelled."


def test_nobody_is_sent_to_a_failure_csv_without_rows():
    remedy = judged([QUARANTINED], Settlement()).remedy
    assert remedy == "What is quarantined, and why: cloud-sync quarantine list"


@pytest.mark.parametrize(
    ("plan", "quarantined", "remedy"),
    [
        ([NEW], 1, "See failures.csv; what is quarantined: cloud-sync quarantine list"),
        ([NEW, QUARANTINED], 0, "See failures.csv; what is quarantined: cloud-sync quarantine list"),
        ([NEW], 0, SEE),
    ],
)
def test_nobody_is_sent_to_a_quarantine_in_which_nothing_is(plan, quarantined, remedy):
    settlement = of_sent(1, 9)
    settlement.newly_quarantined = quarantined
    assert judged(plan, settlement).remedy == remedy
    of_list = {"quarantined": 1} if QUARANTINED in plan else {}
    assert judged([NEW], settlement, asked_for=True, left_out=of_list).remedy.endswith(remedy)


def test_a_url_that_was_not_sent_is_no_item_that_failed():
    unsent = failure(item_type="")
    none, one = of_sent(0, 10), of_sent(1, 9)
    none.failures, one.failures = [unsent], [*one.failures, unsent, unsent]
    assert (
        judged([NEW], none).why == "nothing that was sent failed, but Encord named 1 URL that was not sent."
    )
    assert judged([NEW], one).why == "1 item failed, and Encord named 2 URLs that were not sent."


def test_what_failed_hides_nothing_that_was_left_out_as_quarantined():
    judgement = judged([NEW], of_sent(1, 9), asked_for=True, left_out={"quarantined": 2})
    assert judgement.why == f"1 item failed; 2 files {HELD}."
    assert judgement.remedy == (
        "To send what the form left out, tick release_quarantine. "
        "See failures.csv; what is quarantined: cloud-sync quarantine list"
    )


def test_nobody_waits_for_a_next_run_that_does_not_come():
    judgement = judged([NEW], Settlement(ended=[ended("failed")], registered=5), runs_again=False)
    assert judgement.remedy == "See failures.csv; upload once more what can pass."
    judgement = judged([NEW], of_sent(1, 9), runs_again=False)
    assert (judgement.why, judgement.remedy) == ("1 item failed.", SEE)


def test_a_failed_run_ends_as_failed_and_is_not_tried_again():
    report = {"verdict": "failed", "run_id": "night 1", "why": "all failed.", "remedy": "Look."}
    with pytest.raises(RunFailed) as caught:
        check_verdict(report)
    assert not caught.value.transient
    assert str(caught.value) == "run night 1: all failed. Look."


class TestReplaced:
    @pytest.mark.parametrize(
        ("failed", "said"),
        [
            (1, "1 item that was to be registered again has left the dataset."),
            (2, "2 items that were to be registered again have left the dataset."),
        ],
    )
    def test_what_left_with_nothing_in_its_place_is_told(self, failed, said):
        settlement = replace(of_sent(failed, 90), failed_replaced=failed)
        judgement = with_replaced(judged([NEW], settlement), settlement)
        assert judgement.verdict is Verdict.OK_WITH_QUARANTINE
        assert judgement.why.endswith(f" failed. Of those that failed, {said}")

    def test_nothing_is_said_where_nothing_was_replaced(self):
        settlement = of_sent(1, 90)
        assert with_replaced(judged([NEW], settlement), settlement) == judged([NEW], settlement)


def test_where_the_build_waits_for_unlink_and_has_nothing_to_do_unlink_is_what_failed():
    judgement = judge([], Settlement(unbuilt=True), Failures(), failures_csv="failures.csv", still_linked=1)
    assert judgement.why.startswith("1 item whose objects are gone should have left the dataset")
    judgement = judge(
        [NEW], Settlement(unbuilt=True), Failures(), failures_csv="failures.csv", still_linked=1
    )
    assert "never answered for" in judgement.why
