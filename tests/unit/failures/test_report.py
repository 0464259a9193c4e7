"""The report: counts, the verdict, the text in the task log."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest

from cloud_sync.failures.accounting import Tally
from cloud_sync.failures.model import NextStep
from cloud_sync.failures.report import CAUSES_IN_LOG, RunFacts, failures_by_cause, summary
from cloud_sync.failures.report import make_report as report_with
from cloud_sync.failures.settle import RoundTally, Settlement
from cloud_sync.failures.verdict import RunFailed, check_verdict
from cloud_sync.integration import Failures
from cloud_sync.manifest.model import ManifestEntry
from cloud_sync.planning.model import PlanRow
from cloud_sync.registration.model import BREAKER_NAME, Outcome, Trip
from cloud_sync.run_folder import RunFolder
from tests.unit.failures.test_failure_csv import failure


@pytest.fixture
def folder(tmp_path) -> RunFolder:
    return RunFolder(tmp_path / "run")


def ended(status: str = "done", items: int = 10) -> tuple[ManifestEntry, Outcome]:
    entry = ManifestEntry(0, "manifests/0000-abc.json", items, items, "abc")
    outcome = Outcome(
        manifest_number=0,
        manifest=entry.name,
        job_id="job",
        status=status,
        items=items,
        made=items,
        done=items,
        failed=0,
        cancelled=0,
        unit_errors=(),
        job_errors=(),
        linked=0,
        submitted_at="",
        finished_at="",
    )
    return entry, outcome


NEW = PlanRow("register", "image", "new", 10, 1000, ("a.jpg",), items=10)
QUARANTINED = PlanRow("skip", "image", "quarantined", 1, 10, ("bad.jpg",), items=1)
REGISTERED = PlanRow("skip", "image", "registered", 30, 300, ("old.jpg",), items=30)
SERIES = PlanRow("skip", "dicom_series", "registered", 700, 7000, ("ct/1.dcm",), items=2)
GROUPS = PlanRow("retry", "image_group", "failed_before", 48, 480, ("g/1.jpg",), items=2)
OTHER = PlanRow("skip", None, "unknown_type", 2, 20, ("x.txt",))


def make_report(folder, facts, settlement):
    return report_with(folder, facts, settlement, Failures())


def facts(mode: str = "sync", plan=(NEW, OTHER)) -> RunFacts:
    return RunFacts(
        integration="cameras",
        dag_id="sync__cameras",
        run_id="night 1",
        mode=mode,
        dataset={"uuid": "6f1e", "title": "Cameras"},
        listed={"objects": 12, "total_bytes": 1020},
        plan=plan,
        started_at="2026-01-02T00:00:00+00:00",
        finished_at="2026-01-02T00:01:00+00:00",
    )


def settlement() -> Settlement:
    return Settlement(
        ended=[ended()],
        registered=7,
        already_registered=1,
        by_type={"image": Tally(6, 6), "image_group": Tally(2, 2400)},
        failed=2,
        quarantined_files=9,
        newly_quarantined=8,
        rounds=[RoundTally(1, 5, 3)],
        failures=[failure(object_url=f"https://b/{n}.jpg") for n in range(7)]
        + [failure(object_url="https://b/x.jpg", reason="Gone.", failure_class="missing", remedy="Nothing.")],
    )


COUNTS = {
    "manifests": 1,
    "jobs": {"done": 1, "failed": 0, "cancelled": 0},
    "registered": 7,
    "already_registered": 1,
    "registered_by_type": {"image": {"items": 6, "files": 6}, "image_group": {"items": 2, "files": 2400}},
    "retry_rounds": [{"number": 1, "sent": 5, "registered": 3}],
    "failed": 2,
    "failed_files": 8,
    "quarantined": 1,
    "newly_quarantined": 8,
    "quarantined_files": 9,
    "waiting": 0,
    "causes": 2,
}


def test_the_report_tells_of_which_run_it_is_and_what_came_of_it(folder):
    make_report(folder, facts(plan=(NEW, OTHER, QUARANTINED)), settlement())
    report = json.loads(folder.read("report.json"))
    assert {name: value for name, value in report.items() if name not in {*COUNTS, "planned"}} == {
        "integration": "cameras",
        "dag_id": "sync__cameras",
        "run_id": "night 1",
        "mode": "sync",
        "dataset": {"uuid": "6f1e", "title": "Cameras"},
        "listed": {"objects": 12, "total_bytes": 1020},
        "started_at": "2026-01-02T00:00:00+00:00",
        "finished_at": "2026-01-02T00:01:00+00:00",
        "verdict": "ok_with_quarantine",
        "why": "2 items failed, and 1 is quarantined since earlier runs.",
        "remedy": f"See {folder.path('failures.csv')}; cloud-sync quarantine list shows what is quarantined.",
        "failures_by_cause": failures_by_cause(settlement().failures),
        "files": {
            "report": str(folder.path("report.json")),
            "failures_csv": str(folder.path("failures.csv")),
            "failures_jsonl": str(folder.path("failures.jsonl")),
            "plan": str(folder.path("plan.parquet")),
        },
    }


def test_the_report_has_the_plan(folder):
    make_report(folder, facts(plan=(NEW, OTHER, QUARANTINED)), settlement())
    assert json.loads(folder.read("report.json"))["planned"] == [
        {**asdict(row), "examples": list(row.examples)} for row in (NEW, OTHER, QUARANTINED)
    ]


def test_the_report_counts_everything(folder):
    make_report(folder, facts(plan=(NEW, OTHER, QUARANTINED)), settlement())
    report = json.loads(folder.read("report.json"))
    assert {name: report[name] for name in COUNTS} == COUNTS


def test_what_the_plan_skipped_as_registered_counts_as_registered_already(folder):
    assert make_report(folder, facts(plan=(NEW, REGISTERED)), settlement())["already_registered"] == 31


def test_items_are_counted_and_not_their_files(folder):
    plan = (NEW, GROUPS, SERIES)
    assert make_report(folder, facts(plan=plan), settlement())["already_registered"] == 3
    assert make_report(folder, facts(plan=plan), Settlement(unbuilt=True))["waiting"] == 12
    text = summary(make_report(folder, facts(plan=plan), settlement()))
    assert "  plan: register             10 items, image: new" in text
    assert "  plan: retry                 2 items of 48 objects, image_group: failed before" in text
    assert "  plan: skip                  2 items of 700 objects, dicom_series: registered already" in text


def test_causes_are_counted_the_most_frequent_first():
    assert failures_by_cause(settlement().failures) == [
        {
            "failure_class": "corrupt",
            "reason": "The object is empty.",
            "remedy": "Upload it again, or delete it.",
            "count": 7,
            "quarantined": 7,
            "examples": [f"https://b/{n}.jpg" for n in range(5)],
        },
        {
            "failure_class": "missing",
            "reason": "Gone.",
            "remedy": "Nothing.",
            "count": 1,
            "quarantined": 1,
            "examples": ["https://b/x.jpg"],
        },
    ]
    assert failures_by_cause([]) == []


def test_the_summary_in_the_log(folder):
    text = summary(make_report(folder, facts(), settlement()))
    assert text == "\n".join(
        [
            "Integration cameras, run night 1: ok_with_quarantine",
            "  dataset             Cameras (6f1e)",
            "  listed                     12 objects, 1,020 bytes",
            "  plan: register             10 items, image: new since the last run",
            "  plan: skip                  2 objects, other: its extension stands under no type",
            "  manifests                   1",
            "  registered                  7 items",
            "  already registered          1 item",
            "  sent, registered            6 items of 6 files, image",
            "  sent, registered            2 items of 2,400 files, image_group",
            "  retry round 1               5 items sent again, 3 registered",
            "  failed                      2 items",
            "  quarantined now             8 files until they change or are released",
            "  in quarantine               9 files in all",
            "  7 x corrupt: The object is empty. Upload it again, or delete it.",
            *[f"      https://b/{n}.jpg" for n in range(5)],
            "  1 x missing: Gone. Nothing.",
            "      https://b/x.jpg",
            f"  all failures: {folder.path('failures.csv')}",
            f"  all of this: {folder.path('report.json')}",
            "ok_with_quarantine: 2 items failed. "
            f"See {folder.path('failures.csv')}; cloud-sync quarantine list shows what is quarantined.",
        ]
    )


NOTHING = {"why": "the bucket media holds no objects.", "remedy": "Check its name."}


class TestNothingListed:
    def facts(self, mode: str = "sync", plan=()) -> RunFacts:
        return replace(facts(mode, plan), listed={"objects": 0, "total_bytes": 0}, nothing_listed=NOTHING)

    def test_a_good_run_is_good_for_that_reason(self, folder):
        report = make_report(folder, self.facts(), Settlement())
        assert (report["verdict"], report["nothing_listed"]) == ("ok", NOTHING)
        assert report["why"] == "nothing was listed: the bucket media holds no objects."
        text = summary(report)
        assert text.endswith("\nok: nothing was listed: the bucket media holds no objects. Check its name.")
        assert text.count("nothing was listed") == 1

    def test_a_plan_says_it_beside_the_number(self, folder):
        text = summary(make_report(folder, self.facts("plan"), Settlement()))
        line = "  nothing was listed: the bucket media holds no objects. Check its name."
        assert text.splitlines()[3] == line

    def test_a_failed_run_says_both(self, folder):
        gone = PlanRow("unlink", "image", "removed", 1, 10, ("a.jpg",), items=1)
        report = make_report(folder, self.facts(plan=(gone,)), Settlement())
        assert report["verdict"] == "failed"
        assert "should have left the dataset" in report["why"]
        assert "\n  nothing was listed: the bucket media" in summary(report)

    def test_other_reports_say_nothing_of_it(self, folder):
        assert "nothing_listed" not in make_report(folder, facts(), settlement())


def test_what_is_quarantined_is_counted_each_night(folder):
    text = summary(make_report(folder, facts(plan=(QUARANTINED,)), Settlement()))
    assert "  quarantined before          1 item, which was not sent" in text
    assert "quarantined before" not in summary(make_report(folder, facts(), Settlement()))


def test_what_passes_is_not_quarantined(folder):
    forbidden = failure(failure_class="forbidden", next_step=NextStep.RETRIED)
    report = make_report(folder, facts(), Settlement(failures=[forbidden]))
    assert report["failures_by_cause"][0]["quarantined"] == 0
    assert report["newly_quarantined"] == 0
    assert "quarantined now" not in summary(report)


def test_the_last_line_says_why_a_run_failed_and_what_to_do(folder):
    report = make_report(folder, facts(), Settlement(ended=[ended(items=2)], failed=2, failures=[failure()]))
    assert summary(report).splitlines()[-1] == (
        "failed: all 2 items that were sent failed. "
        f"See {folder.path('failures.csv')} for the reason and the remedy of each."
    )


def test_of_very_many_causes_the_log_shows_the_most_frequent(folder):
    odd = [failure(reason=f"Odd {n}.") for n in range(1500)]
    report = make_report(folder, facts(), Settlement(ended=[ended()], registered=7, failures=odd))
    assert (report["causes"], len(report["failures_by_cause"])) == (1500, 1000)
    text = summary(report)
    assert text.count(" x corrupt: Odd ") == CAUSES_IN_LOG
    assert "  and 1,480 more causes\n" in text


def test_a_plan_only_run_speaks_of_the_plan_only(folder):
    text = summary(make_report(folder, facts(mode="plan"), Settlement()))
    assert "registered " not in text
    assert text.startswith("Integration cameras, run night 1: plan only, nothing was sent\n")
    assert "its extension stands under no type\n      x.txt\n" in text
    assert text.endswith(f"all of this: {folder.path('report.json')}")


class TestGiven:
    """The report of an upload of a manifest that a person gave."""

    FACTS = replace(
        facts(mode="upload", plan=(PlanRow("register", "image", "given", 10, 0, ("https://b/0.jpg",), 10),)),
        given={
            "file": "week.csv",
            "items": 10,
            "files": 2410,
            "findings": {"error": 0, "warning": 2, "note": 1},
        },
    )

    def test_it_tells_of_the_manifest_and_its_findings_instead_of_a_listing(self, folder):
        report = make_report(folder, self.FACTS, settlement())
        assert report["given"] == self.FACTS.given
        assert report["files"]["findings"] == str(folder.path("findings.json"))
        assert "plan" not in report["files"]
        assert summary(report).splitlines()[2:5] == [
            "  given                      10 items, 2,410 files: week.csv",
            "  findings            errors: 0, warnings: 2, notes: 1",
            "  plan: register             10 items, image: stands in the given manifest",
        ]

    def test_a_sync_has_none(self, folder):
        assert "given" not in make_report(folder, facts(), settlement())

    def test_one_that_was_refused_says_why(self, folder):
        refused = replace(self.FACTS, given={**self.FACTS.given, "error": "week.csv: 2 errors."})
        report = make_report(folder, refused, Settlement(unbuilt=True))
        assert (report["verdict"], report["why"]) == ("failed", "week.csv: 2 errors.")

    def test_nobody_waits_for_a_next_run(self, folder):
        with pytest.raises(RunFailed, match="; upload once more what can pass"):
            check_verdict(make_report(folder, self.FACTS, Settlement(ended=[ended("failed")], registered=5)))


def test_a_run_that_stopped_itself_says_why_before_all_else(folder):
    trip = Trip("Access denied", "Access denied to s3://b/1.jpg", failed=28, sent=30, manifests=3)
    folder.write_json(BREAKER_NAME, asdict(trip))
    report = make_report(folder, facts(), Settlement(ended=[ended()], waiting=[ended(items=1200)[0]]))
    assert report["verdict"] == "failed"
    assert f"  stopped: {trip}" in summary(report).splitlines()
    with pytest.raises(RunFailed, match=r"28 of the first 30 items failed.*trigger a new run"):
        check_verdict(report)
