"""Settle after retry rounds: the last manifest in which an item stands decides."""

from __future__ import annotations

import pyarrow.parquet as pq
import pytest

from cloud_sync.failures.accounting import Tally
from cloud_sync.failures.settle import RoundTally
from cloud_sync.failures.verdict import Verdict, judge
from cloud_sync.integration import Failures
from cloud_sync.manifest.model import (
    ManifestEntry,
    ManifestIndex,
    index_name,
    items_name,
    write_index,
)
from cloud_sync.run_folder import sha256_of
from tests.unit.failures.test_settle import Run, counts, error, held, keys_of, url
from tests.unit.tables import Group, write_items

GROUP = Group("g/", ["g/1.jpg", "g/2.jpg"], title="Crossing")


class RunWithRounds(Run):
    """A run whose items are sent again in rounds."""

    def send_again(self, of_round: int, *manifests: list[str | Group]) -> None:
        """Write the manifests of a round; their numbers go on."""
        first = len(self.entries)
        write_items(self.folder.path(items_name(of_round)), [[]] * first + list(manifests))
        entries = tuple(
            ManifestEntry(
                first + n,
                f"manifests/{first + n:04}-abc.json",
                len(one),
                sum(map(len, map(keys_of, one))),
                "a",
            )
            for n, one in enumerate(manifests)
        )
        self.entries += entries
        digests = [
            sha256_of(self.folder.path(name)) for name in (index_name(of_round - 1), items_name(of_round))
        ]
        write_index(self.folder, ManifestIndex(entries, 1, *digests), of_round)

    def ledger_rows(self) -> dict[str, tuple[str, str, str, int]]:
        rows = pq.read_table(self.ledger.current().path).to_pylist()
        return {
            row["key"]: (row["state"], row["manifest"][10:14], row["upload_job_id"][:5], row["attempts"])
            for row in rows
        }


@pytest.fixture
def run(tmp_path) -> RunWithRounds:
    """A run of three items, of which two failed at first."""
    run = RunWithRounds(tmp_path, ["a.jpg", "b.jpg", "c.jpg"])
    run.outcome(0, done=1, failed=2, unit_errors=(error("b.jpg"), error("c.jpg")))
    return run


def test_what_a_round_registered_is_registered_by_it(run):
    run.send_again(1, ["b.jpg", "c.jpg"])
    run.outcome(1)
    result = run.settle()
    assert counts(result) == (3, 0, 0, 0)
    assert result.failures == []
    assert result.rounds == [RoundTally(1, 2, 2)]
    assert result.by_type == {"image": Tally(3, 3)}
    assert (result.sent, run.opened, run.encord.reads) == (3, 0, 0)
    assert run.ledger_rows() == {
        "a.jpg": ("registered", "0000", "job 0", 1),
        "b.jpg": ("registered", "0001", "job 1", 2),
        "c.jpg": ("registered", "0001", "job 1", 2),
    }
    assert judge([], result, Failures(), failures_csv="failures.csv").verdict is Verdict.OK


def test_what_fails_in_every_round_is_one_failure_with_all_attempts(run):
    run.send_again(1, ["b.jpg", "c.jpg"])
    run.outcome(1, done=1, failed=1, unit_errors=(error("c.jpg", text="later"),))
    run.send_again(2, ["c.jpg"])
    run.outcome(2, done=0, failed=1, unit_errors=(error("c.jpg", text="last"),))
    result = run.settle()
    assert counts(result) == (2, 0, 1, 0)
    [row] = result.failures
    assert (row.attempts, row.manifest, row.failure_class) == (3, "manifests/0002-abc.json", "transient")
    assert row.reason.endswith("Encord said: last")
    assert result.rounds == [RoundTally(1, 2, 1), RoundTally(2, 1, 0)]
    assert run.ledger_rows() == {
        "a.jpg": ("registered", "0000", "job 0", 1),
        "b.jpg": ("registered", "0001", "job 1", 2),
        "c.jpg": ("failed", "0002", "job 2", 3),
    }


def test_however_many_rounds_there_are_only_the_third_night_rejects(tmp_path):
    rows = []
    for night in (1, 2, 3):
        run = RunWithRounds(tmp_path, ["a.jpg"], run_id=f"night {night}")
        run.outcome(0, done=0, failed=1, unit_errors=(error("a.jpg"),))
        for number in (1, 2):
            run.send_again(number, ["a.jpg"])
            run.outcome(number, done=0, failed=1, unit_errors=(error("a.jpg"),))
        [row] = run.settle().failures
        rows.append((row.attempts, row.failure_class))
        assert run.ledger_rows()["a.jpg"][3] == row.attempts
    assert rows == [(3, "transient"), (6, "transient"), (9, "rejected")]


def test_settling_again_gives_the_same_ledger(run):
    run.send_again(1, ["b.jpg", "c.jpg"])
    run.outcome(1, done=1, failed=1, unit_errors=(error("c.jpg"),))
    first = run.settle()
    content = run.ledger.current().path.read_bytes()
    assert run.settle().failures == first.failures
    assert run.ledger.current().path.read_bytes() == content


def test_a_round_that_was_never_answered_for_waits_and_fails_the_run(run):
    run.send_again(1, ["b.jpg"])
    result = run.settle()
    assert counts(result) == (1, 0, 1, 1)
    assert result.by_type == {"image": Tally(1, 1)}
    assert [row.object_url for row in result.failures] == [url("c.jpg")]
    assert run.states() == {"a.jpg": "registered", "c.jpg": "failed"}
    assert judge([], result, Failures(), failures_csv="failures.csv").verdict is Verdict.FAILED


def test_a_group_is_sent_again_and_decided_as_a_whole(tmp_path):
    run = RunWithRounds(tmp_path, [GROUP, "a.jpg"])
    run.outcome(0, done=1, failed=1, unit_errors=(error("g/2.jpg"),))
    run.send_again(1, [GROUP])
    run.outcome(1)
    assert counts(run.settle()) == (2, 0, 0, 0)
    assert run.ledger_rows() == {
        "a.jpg": ("registered", "0000", "job 0", 1),
        "g/1.jpg": ("registered", "0001", "job 1", 2),
        "g/2.jpg": ("registered", "0001", "job 1", 2),
    }


def test_a_job_that_failed_as_a_whole_is_healed_by_a_round(tmp_path):
    run = RunWithRounds(tmp_path, ["bad.jpg", "b.jpg", "c.jpg"])
    run.store.objects["bad.jpg"] = b""
    run.outcome(0, status="failed", done=0, failed=1, unit_errors=(error("bad.jpg"),), job_errors=("1 bad",))
    run.send_again(1, ["b.jpg", "c.jpg"])
    run.outcome(1)
    run.encord.held = held("b.jpg", "c.jpg")
    result = run.settle()
    assert counts(result) == (2, 0, 1, 0)
    assert result.broken_jobs == []
    assert judge([], result, Failures(), failures_csv="failures.csv").verdict is Verdict.OK_WITH_QUARANTINE
    assert run.ledger_rows()["b.jpg"] == ("registered", "0001", "job 1", 2)


def test_a_cancelled_job_stays_one_whatever_the_rounds_of_others_did(tmp_path):
    run = RunWithRounds(tmp_path, ["a.jpg", "b.jpg"], ["c.jpg"])
    run.outcome(0, done=1, failed=1, unit_errors=(error("b.jpg"),))
    run.outcome(1, status="cancelled", done=0, cancelled=1)
    run.send_again(1, ["b.jpg"])
    run.outcome(2)
    result = run.settle()
    assert counts(result) == (2, 0, 1, 0)
    assert [outcome.status for outcome in result.broken_jobs] == ["cancelled"]
    assert judge([], result, Failures(), failures_csv="failures.csv").verdict is Verdict.FAILED


def test_a_url_that_was_never_sent_is_one_failure_however_often_encord_names_it(run):
    alien = error("not-sent.jpg")
    run.outcome(0, done=1, failed=3, unit_errors=(error("b.jpg"), error("c.jpg"), alien))
    run.send_again(1, ["b.jpg", "c.jpg"])
    run.outcome(1, done=2, failed=1, unit_errors=(error("not-sent.jpg", text="last"),))
    result = run.settle()
    assert [row.object_url for row in result.failures] == [url("not-sent.jpg")]
    assert counts(result) == (3, 0, 0, 0)


@pytest.mark.parametrize("changed", [index_name(), items_name(1)])
def test_rounds_of_an_earlier_try_say_nothing(run, changed):
    run.send_again(1, ["b.jpg", "c.jpg"])
    run.outcome(1)
    if changed == index_name():
        run.entries = run.entries[:1]
        index = ManifestIndex(tuple(run.entries), 2, sha256_of(run.folder.path("register.parquet")))
        items = sha256_of(run.folder.path("items.parquet"))
        write_index(run.folder, ManifestIndex(index.manifests, 2, index.plan_sha256, items))
    else:
        run.folder.write(changed, b"of a later try")
    result = run.settle()
    assert (result.failed, result.rounds) == (2, [])
