"""The proof: exact by key, and told in one line each."""

from __future__ import annotations

from pathlib import Path

from demo.media import Expectation
from demo.report import PlanLine, RunReport, key_of
from demo.verify import check_first_run, check_second_run, describe

BASE = "http://127.0.0.1:18333/demo-media"
EXPECTED = Expectation(
    good=frozenset({"incoming/a b.jpg", "incoming/c.mp4"}),
    bad={"incoming/bad.mp4": "text"},
    skipped={"incoming/x.tmp": "rule", "archive/y.jpg": "not listed"},
)
GOOD_URLS = [f"{BASE}/incoming/a%20b.jpg", f"{BASE}/incoming/c.mp4"]


def report(
    folder: Path, *, listed: int = 4, registered: int = 2, manifests: int = 1, known: int = 0
) -> RunReport:
    (folder / "failures.csv").write_text(f"object_url\r\n{BASE}/incoming/bad.mp4\r\n")
    return RunReport(
        verdict="ok_with_quarantine",
        listed_objects=listed,
        listed_bytes=1,
        planned=(PlanLine("register", "image", "new", 3), PlanLine("skip", "", "excluded", 1)),
        manifests=manifests,
        jobs={"done": manifests},
        registered=registered,
        already_registered=known,
        failed=1,
        causes=(),
        folder=folder,
    )


def test_a_key_is_read_from_its_url() -> None:
    assert key_of(f"{BASE}/incoming/Z%C3%BCrich%20%231%20%2B%20100%25.jpg") == "incoming/Zürich #1 + 100%.jpg"


def test_all_is_as_expected(tmp_path: Path) -> None:
    findings = check_first_run(EXPECTED, report(tmp_path), GOOD_URLS)
    assert len(findings) == 5
    assert all(finding.holds for finding in findings)


def test_each_difference_is_found_and_named(tmp_path: Path) -> None:
    urls = [GOOD_URLS[0], GOOD_URLS[0], f"{BASE}/incoming/x.tmp"]
    findings = check_first_run(EXPECTED, report(tmp_path, listed=5, registered=3), urls)
    faults = [fault for finding in findings for fault in finding.faults]
    assert faults == [
        "expected 4, found 5",
        "missing: incoming/c.mp4",
        "not expected: incoming/x.tmp",
        "more than once: incoming/a b.jpg",
        "expected 2, found 3",
    ]


def test_a_quiet_second_run_proves_that_nothing_is_registered_twice(tmp_path: Path) -> None:
    findings = check_second_run(GOOD_URLS, GOOD_URLS, report(tmp_path, registered=0, manifests=0, known=2))
    assert all(finding.holds for finding in findings)
    assert "the dataset had 2 items before it and has 2 after it" in findings[3].statement


def test_a_second_run_that_adds_anything_is_found_out(tmp_path: Path) -> None:
    after = [*GOOD_URLS, GOOD_URLS[1]]
    findings = check_second_run(GOOD_URLS, after, report(tmp_path, registered=1))
    assert [finding.holds for finding in findings] == [False] * 5
    assert findings[4].faults == ("twice: incoming/c.mp4",)


def test_a_finding_is_one_line_and_its_first_faults(tmp_path: Path) -> None:
    finding = check_first_run(EXPECTED, report(tmp_path), [f"{BASE}/{n}.jpg" for n in range(9)])[2]
    assert describe(finding).splitlines()[0].startswith("NO   the dataset holds exactly the 2 good files")
    assert describe(finding).splitlines()[-1].strip() == "and 6 more"
