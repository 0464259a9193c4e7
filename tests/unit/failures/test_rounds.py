"""Which items are sent again in the same run, and when."""

from __future__ import annotations

import random
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_sync.errors import ConfigError
from cloud_sync.failures.rounds import (
    items_to_retry,
    round_wait_s,
    seconds_since_failure,
    why_not_at_once,
)
from cloud_sync.failures.sendings import read_sendings
from tests.unit.failures.fakes import MP4
from tests.unit.failures.test_settle import error, held, parse_url
from tests.unit.failures.test_settle_rounds import GROUP, RunWithRounds
from tests.unit.tables import Group


def chosen(run: RunWithRounds, of_round: int = 1, **settings: int) -> list[tuple[int, str]]:
    """Return manifest and first key of each item to retry."""
    items = items_to_retry(
        run.folder,
        of_round=of_round,
        parse_url=parse_url,
        open_reader=run.open_reader,
        encord_folder=run.encord,
        **settings,
    )
    return [(item.manifest, parse_url(item.object_urls[0])) for item in items]


def test_only_what_looks_healthy_is_sent_again(tmp_path):
    run = RunWithRounds(tmp_path, ["a.jpg", "b.jpg", "empty.jpg", "gone.jpg", "secret.jpg", "slow.jpg"])
    run.store.objects |= {
        "empty.jpg": b"",
        "gone.jpg": "missing",
        "secret.jpg": "forbidden",
        "slow.jpg": "unreachable",
    }
    named = ("b.jpg", "empty.jpg", "gone.jpg", "secret.jpg", "slow.jpg")
    run.outcome(0, done=1, failed=5, unit_errors=tuple(map(error, named)))
    assert chosen(run) == [(0, "b.jpg")]


def failing(tmp_path, *keys: str) -> RunWithRounds:
    run = RunWithRounds(tmp_path, list(keys))
    run.outcome(0, done=0, failed=len(keys), unit_errors=tuple(map(error, keys)))
    return run


@pytest.mark.parametrize("refusal", ["unreachable", "no_bucket", "other"])
def test_what_the_store_does_not_show_is_left_to_the_next_run(tmp_path, refusal):
    run = failing(tmp_path, "a.jpg")
    run.store.objects["a.jpg"] = refusal
    assert chosen(run) == []


def test_what_no_request_was_left_for_is_left_to_the_next_run(tmp_path):
    assert chosen(failing(tmp_path, "a.jpg"), diagnosis_requests=0) == []


def test_with_a_store_that_cannot_be_opened_all_is_left_to_the_next_run(tmp_path):
    run = failing(tmp_path, "a.jpg")
    run.open_reader = lambda: (_ for _ in ()).throw(ConfigError("no such connection."))
    assert chosen(run) == []


def test_without_a_failure_nothing_is_asked(tmp_path):
    run = RunWithRounds(tmp_path, ["a.jpg"])
    run.outcome(0)
    assert chosen(run) == []
    assert (run.opened, run.encord.reads) == (0, 0)


def test_a_group_is_sent_again_as_a_whole_or_not_at_all(tmp_path):
    other = Group("h/", ["h/1.jpg", "h/2.jpg"])
    run = RunWithRounds(tmp_path, [GROUP, other])
    run.store.objects["h/2.jpg"] = MP4
    run.outcome(0, done=0, failed=2, unit_errors=(error("g/1.jpg"), error("h/1.jpg", "h/2.jpg")))
    [item] = items_to_retry(
        run.folder, of_round=1, parse_url=parse_url, open_reader=run.open_reader, encord_folder=run.encord
    )
    assert [parse_url(url) for url in item.object_urls] == ["g/1.jpg", "g/2.jpg"]


def test_what_a_person_cancelled_is_left_alone_and_so_is_what_was_never_sent(tmp_path):
    run = RunWithRounds(tmp_path, ["a.jpg"], ["b.jpg"], ["c.jpg"])
    run.outcome(0, status="cancelled", done=0, cancelled=1)
    run.outcome(1, status="failed", done=0, job_errors=("too busy",))
    assert chosen(run) == [(1, "b.jpg")]


def test_what_a_job_skipped_as_duplicates_costs_no_look_into_the_folder(tmp_path):
    run = RunWithRounds(tmp_path, ["a.jpg", "b.jpg", "c.jpg"])
    run.outcome(0, made=0, done=2, failed=1, unit_errors=(error("b.jpg"),))
    assert chosen(run) == [(0, "b.jpg")]
    assert run.encord.reads == 0


def test_the_folder_is_asked_where_a_job_refused_more_than_it_names(tmp_path):
    run = RunWithRounds(tmp_path, ["a.jpg", "b.jpg"])
    run.outcome(0, done=0, failed=1)
    run.encord.held = held("a.jpg")
    assert chosen(run) == [(0, "b.jpg")]


def test_a_later_round_takes_what_failed_in_the_one_before(tmp_path):
    run = RunWithRounds(tmp_path, ["a.jpg", "b.jpg"])
    run.outcome(0, done=0, failed=2, unit_errors=(error("a.jpg"), error("b.jpg")))
    run.send_again(1, ["a.jpg", "b.jpg"])
    run.outcome(1, done=1, failed=1, unit_errors=(error("b.jpg"),))
    assert chosen(run, 2) == [(1, "b.jpg")]
    assert chosen(run, 1) == [(0, "a.jpg"), (0, "b.jpg")], "what an earlier try of it did does not count"


def test_earlier_nights_do_not_keep_an_item_from_its_rounds(tmp_path):
    for night in (1, 2, 3):
        run = RunWithRounds(tmp_path, ["a.jpg"], run_id=f"night {night}")
        run.outcome(0, done=0, failed=1, unit_errors=(error("a.jpg"),))
        assert chosen(run) == [(0, "a.jpg")]
        run.settle()


@pytest.mark.parametrize("build", ["absent", "unfinished"])
def test_nothing_is_sent_again_of_what_was_not_built(tmp_path, build):
    run = RunWithRounds(tmp_path, ["a.jpg"])
    run.outcome(0, done=0, failed=1, unit_errors=(error("a.jpg"),))
    if build == "absent":
        run.folder.path("manifests/index.json").unlink()
    else:
        run.folder.write("register.parquet", b"of a later plan")
    assert chosen(run) == []


def why_not(run: RunWithRounds, of_round: int = 1) -> str:
    items = items_to_retry(
        run.folder,
        of_round=of_round,
        parse_url=parse_url,
        open_reader=run.open_reader,
        encord_folder=run.encord,
    )
    return why_not_at_once(read_sendings(run.folder)[:of_round], items, at_share=0.9)


KEYS = [f"{n:03}.jpg" for n in range(112)]


@pytest.mark.parametrize(("failed", "held_back"), [(100, False), (101, True), (112, True)])
def test_a_round_is_no_use_where_nearly_all_has_failed(tmp_path, failed, held_back):
    run = RunWithRounds(tmp_path, KEYS)
    run.outcome(0, done=112 - failed, failed=failed, unit_errors=tuple(map(error, KEYS[:failed])))
    said = f"{failed} of the 112 items that this run sent failed although their files look healthy."
    assert why_not(run) == (said if held_back else "")


def test_a_few_items_may_always_be_sent_again(tmp_path):
    run = RunWithRounds(tmp_path, KEYS[:100])
    run.outcome(0, done=0, failed=100, unit_errors=tuple(map(error, KEYS[:100])))
    assert why_not(run) == ""


def test_what_a_whole_manifest_was_refused_for_does_not_speak_against_its_other_items(tmp_path):
    run = RunWithRounds(tmp_path, KEYS, ["odd.jpg"])
    run.outcome(0, status="failed", done=0, failed=1, unit_errors=(error(KEYS[0]),))
    run.outcome(1)
    assert why_not(run) == ""
    run.outcome(0, status="failed", done=0, failed=112, unit_errors=tuple(map(error, KEYS)))
    assert why_not(run).startswith("112 of the 113 items")


SECONDS = st.floats(0, 1e6)


class TestWait:
    @given(st.integers(1, 2000), SECONDS, SECONDS, st.randoms(use_true_random=False))
    def test_it_is_drawn_from_zero_to_the_bound(self, of_round, first_s, longest_s, source):
        wait_s = round_wait_s(of_round, first_wait_s=first_s, longest_wait_s=longest_s, draw=source.uniform)
        assert 0 <= wait_s <= longest_s
        assert wait_s <= first_s * 2.0 ** min(of_round - 1, 30)

    @given(st.integers(1, 100), SECONDS, SECONDS)
    def test_its_bound_doubles_with_each_round_up_to_the_longest(self, of_round, first_s, longest_s):
        waits = {"first_wait_s": first_s, "longest_wait_s": longest_s, "draw": lambda _, most: most}
        this, following = round_wait_s(of_round, **waits), round_wait_s(of_round + 1, **waits)
        assert this <= following <= longest_s
        assert of_round > 30 or following == min(longest_s, 2 * this)

    @given(st.integers(1, 100), SECONDS, SECONDS, SECONDS, st.floats(0, 1))
    def test_it_never_ends_before_the_wait_that_was_asked_for(
        self, of_round, first_s, longest_s, asked_s, part
    ):
        wait_s = round_wait_s(
            of_round,
            first_wait_s=first_s,
            longest_wait_s=longest_s,
            retry_after_s=asked_s,
            draw=lambda least, most: least + part * (most - least),
        )
        assert wait_s >= asked_s
        assert wait_s in (asked_s, part * min(longest_s, first_s * 2.0 ** min(of_round - 1, 30)))

    def test_the_draw_covers_the_whole_range(self):
        source = random.Random(1)
        waits = [
            round_wait_s(2, first_wait_s=30, longest_wait_s=900, draw=source.uniform) for _ in range(1000)
        ]
        assert min(waits) < 1
        assert max(waits) > 59
        assert sum(waits) / len(waits) == pytest.approx(30, abs=2)

    @pytest.mark.parametrize(("failed_s_ago", "asked_s", "left_s"), [(8, 0, 22), (8, 25, 25), (40, 0, 0)])
    def test_what_has_passed_since_the_failure_is_part_of_it(self, failed_s_ago, asked_s, left_s):
        wait_s = round_wait_s(
            1,
            first_wait_s=30,
            longest_wait_s=900,
            failed_s_ago=failed_s_ago,
            retry_after_s=asked_s,
            draw=lambda _, most: most,
        )
        assert wait_s == left_s

    @pytest.mark.parametrize(("now", "ago_s"), [("03:00:09", 9), ("02:00:00", 0)])
    def test_it_counts_from_the_last_upload_job_with_a_failure(self, tmp_path, now, ago_s):
        run = RunWithRounds(tmp_path, KEYS, ["odd.jpg"])
        run.outcome(0, done=111, failed=1, finished_at="2026-11-24T03:00:00+00:00")
        run.outcome(1, finished_at="2026-11-24T03:00:05+00:00")
        moment = datetime.fromisoformat(f"2026-11-24T{now}+00:00").timestamp()
        assert seconds_since_failure(read_sendings(run.folder), now=moment) == ago_s

    def test_without_a_failure_nothing_has_passed(self):
        assert seconds_since_failure([], now=1e9) == 0
