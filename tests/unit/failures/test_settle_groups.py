"""Settle with items of several files: an item is registered as a whole or not at all."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud_sync.failures.accounting import Tally
from cloud_sync.failures.model import NextStep
from tests.unit.failures.fakes import JPEG, MP4
from tests.unit.failures.test_settle import Run, counts, error, held, keys_of, url
from tests.unit.tables import Group, an_object

FRAMES = ("g/1.jpg", "g/2.jpg", "g/3.jpg")
GROUP = Group("g/", FRAMES, title="Crossing")
SERIES = Group("s/", ["s/1.dcm", "s/2.dcm"], "dicom_series", "Knee")
DICOM = b"\0" * 128 + b"DICM" + b"\0" * 8


def test_registered_groups_count_as_items_and_by_type_as_files_too(tmp_path):
    run = Run(tmp_path, [GROUP, "a.jpg"], [SERIES, "b.jpg"])
    run.outcome(0)
    run.outcome(1)
    result = run.settle()
    assert counts(result) == (4, 0, 0, 0)
    assert result.by_type == {"dicom_series": Tally(1, 2), "image": Tally(2, 2), "image_group": Tally(1, 3)}
    assert set(run.states().values()) == {"registered"}
    assert len(run.states()) == 7
    assert (run.opened, run.encord.reads) == (0, 0)


@pytest.mark.parametrize("named", [("g/2.jpg",), FRAMES], ids=["the one at fault", "all"])
def test_only_the_file_at_fault_is_a_failure_and_all_have_its_state(tmp_path, named):
    run = Run(tmp_path, [GROUP, "a.jpg"])
    run.store.objects["g/2.jpg"] = MP4
    run.outcome(0, done=1, failed=1, unit_errors=(error(*named),))
    result = run.settle()
    assert counts(result) == (1, 0, 1, 0)
    assert result.by_type == {"image": Tally(1, 1)}
    [row] = result.failures
    assert (row.object_url, row.failure_class, row.item_type, row.title, row.unit_id) == (
        url("g/2.jpg"),
        "wrong_type",
        "image_group",
        "Crossing",
        "unit 1",
    )
    assert row.reason == "Expected an image, got a file of type video/mp4."
    assert run.states() == {**dict.fromkeys(FRAMES, "quarantined"), "a.jpg": "registered"}
    assert run.encord.reads == 0


def test_files_that_encord_did_not_name_are_not_looked_at_if_it_named_others(tmp_path):
    run = Run(tmp_path, [GROUP])
    run.outcome(0, done=0, failed=1, unit_errors=(error("g/3.jpg"),))
    [row] = run.settle().failures
    assert (row.object_url, row.failure_class) == (url("g/3.jpg"), "transient")
    assert {key for _, key in run.store.calls} == {"g/3.jpg"}
    assert run.states() == dict.fromkeys(FRAMES, "failed")


def test_if_all_files_look_healthy_each_is_a_failure_of_one_cause(tmp_path):
    run = Run(tmp_path, [GROUP])
    run.outcome(0, done=0, failed=1, unit_errors=(error(*FRAMES, text=f"no frame in {url('g/2.jpg')}"),))
    result = run.settle()
    assert (result.failed, [row.object_url for row in result.failures]) == (1, [url(k) for k in FRAMES])
    assert {row.reason for row in result.failures} == {
        "The object looks healthy. Encord said: no frame in <url>"
    }
    assert run.states() == dict.fromkeys(FRAMES, "failed")


def test_the_worst_file_decides_and_each_file_at_fault_has_its_own_class(tmp_path):
    run = Run(tmp_path, [GROUP])
    run.store.objects |= {"g/1.jpg": "forbidden", "g/2.jpg": b""}
    run.outcome(0, done=0, failed=1, unit_errors=(error(*FRAMES),))
    failures = run.settle().failures
    assert {row.object_url: row.failure_class for row in failures} == {
        url("g/1.jpg"): "forbidden",
        url("g/2.jpg"): "corrupt",
    }
    assert {row.next_step for row in failures} == {NextStep.QUARANTINED}
    rows = pq.read_table(run.ledger.current().path).to_pylist()
    assert {row["key"]: (row["state"], row["failure_class"], row["item_key"]) for row in rows} == {
        "g/1.jpg": ("quarantined", "forbidden", "g/"),
        "g/2.jpg": ("quarantined", "corrupt", "g/"),
        "g/3.jpg": ("quarantined", "corrupt", "g/"),
    }


def test_two_errors_of_one_group_are_one_failed_item(tmp_path):
    run = Run(tmp_path, [GROUP, "a.jpg"])
    run.outcome(
        0, done=1, failed=2, unit_errors=(error("g/1.jpg", text="no"), error("g/3.jpg", text="never"))
    )
    result = run.settle()
    assert counts(result) == (1, 0, 1, 0)
    assert run.encord.reads == 0
    assert [row.reason.partition("said: ")[2] for row in result.failures] == ["no", "never"]


def test_skipped_groups_are_found_by_their_whole_list_and_linked(tmp_path):
    run = Run(tmp_path, [GROUP, SERIES, "a.jpg"])
    run.store.objects |= {"s/1.dcm": DICOM, "s/2.dcm": DICOM}
    run.outcome(0, done=0)
    run.encord.held = held(FRAMES, ("s/2.dcm", "s/1.dcm"), "a.jpg")
    result = run.settle()
    assert counts(result) == (0, 2, 1, 0)
    assert run.encord.linked == [["item-0", "item-2"]]
    assert {row.reason for row in result.failures} == {
        "The object looks healthy. Encord neither registered it nor named an error for it."
    }
    assert run.states() == {
        **dict.fromkeys(FRAMES, "registered"),
        "a.jpg": "registered",
        "s/1.dcm": "failed",
        "s/2.dcm": "failed",
    }


def test_a_group_in_a_cancelled_job_waits_for_the_next_run(tmp_path):
    run = Run(tmp_path, [GROUP, "a.jpg"])
    run.outcome(0, status="cancelled", done=1, cancelled=1)
    run.encord.held = held("a.jpg")
    result = run.settle()
    assert counts(result) == (1, 0, 1, 0)
    assert len(result.failures) == 3
    assert run.states() == {**dict.fromkeys(FRAMES, "failed"), "a.jpg": "registered"}


def night(root, number: int, group: Group = GROUP) -> Run:
    run = Run(root, [group], run_id=f"night {number}")
    run.outcome(0, done=0, failed=1, unit_errors=(error(*keys_of(group)),))
    return run


def objects(**etags: str) -> Group:
    """The group with other contents of some frames."""
    frames = [an_object(key, etag=etags.get(key[2], key)) for key in FRAMES]
    return Group("g/", frames, title="Crossing")


def test_a_healthy_group_is_rejected_after_three_nights_and_begins_anew_with_a_changed_file(tmp_path):
    attempts = []
    for number, group in enumerate([objects(), objects(), objects(), objects(**{"2": "mended"})]):
        failures = night(tmp_path, number, group).settle().failures
        attempts.append({(row.attempts, row.failure_class) for row in failures})
    assert attempts == [{(1, "transient")}, {(2, "transient")}, {(3, "rejected")}, {(1, "transient")}]


def test_an_error_that_names_a_file_of_another_manifest_fails_nothing_of_that(tmp_path):
    run = Run(tmp_path, ["a.jpg"], ["b.jpg"])
    run.outcome(0, done=0, failed=1, unit_errors=(error("b.jpg"),))
    run.outcome(1)
    result = run.settle()
    assert run.states() == {"a.jpg": "failed", "b.jpg": "registered"}
    assert counts(result) == (1, 0, 1, 0)


# Whatever Encord answers


@st.composite
def nights(draw):
    """Manifests, and for each what became of its items: made, skipped, named by some files, or lost."""
    sizes = draw(st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=4), min_size=1, max_size=3))
    manifests = [
        [
            f"{m}-{n}.jpg" if not files else Group(f"{m}-{n}/", [f"{m}-{n}/{i}.jpg" for i in range(files)])
            for n, files in enumerate(each)
        ]
        for m, each in enumerate(sizes)
    ]
    fates = st.sampled_from(["made", "skipped", "named", "lost"])
    return [[(one, draw(fates), draw(st.integers(1, 3))) for one in items] for items in manifests]


@settings(max_examples=60, deadline=None)
@given(nights(), st.sampled_from(["done", "failed", "cancelled"]), st.sampled_from([JPEG, b"", "forbidden"]))
def test_every_file_ends_as_registered_or_failed_together_with_its_item(night, status, content):
    with tempfile.TemporaryDirectory() as root:
        run = Run(Path(root), *[[one for one, _, _ in items] for items in night])
        run.store.objects = dict.fromkeys(run.store.objects, content)
        for number, items in enumerate(night):
            named = [error(*keys_of(one)[:some]) for one, fate, some in items if fate == "named"]
            made = [fate for _, fate, _ in items].count("made")
            run.outcome(number, status=status, done=made, failed=len(named), unit_errors=tuple(named))
        present = [one for items in night for one, fate, _ in items if fate in ("made", "skipped")]
        run.encord.held = held(*(tuple(keys_of(one)) for one in present))
        result = run.settle()
        states = run.states()
    every = [one for items in night for one, _, _ in items]
    assert set(states) == {key for one in every for key in keys_of(one)}
    for one in every:
        [state] = {states[key] for key in keys_of(one)}
        assert (state == "registered") == (one in present)
    assert result.registered + result.already_registered == len(present)
    assert result.registered + result.already_registered + result.failed == len(every)
    assert sum(tally.items for tally in result.by_type.values()) == len(present)
    assert sum(tally.files for tally in result.by_type.values()) == sum(len(keys_of(one)) for one in present)
    failed = {row.object_url for row in result.failures}
    for one in every:
        assert failed.isdisjoint(map(url, keys_of(one))) == (one in present)
