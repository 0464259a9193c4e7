"""The proof: exact by type, files and their order, and told in one line each."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from cloud_sync.failures.settle import RoundTally
from cloud_sync.planning.model import PlanRow
from demo.content import BucketContent, Item, Medium
from demo.dataset import DatasetItem
from demo.report import RunReport, key_of
from demo.verify import Finding, check_first_run, check_second_run, describe

BASE = "http://127.0.0.1:18333/demo-media/"


def an_item(item_type: str, *names: str, title: str = "t") -> Item:
    return Item(item_type, tuple(Medium(f"incoming/{name}", b"") for name in names), title, {"n": "1"})


CONTENT = BucketContent(
    good=(an_item("image", "a b.jpg"), an_item("image_group", "g/2.jpg", "g/10.jpg")),
    bad={"incoming/bad.mp4": an_item("video", "bad.mp4")},
    held=(an_item("image_group", "h/1.jpg", "h/2.jpg"),),
    skipped=(Medium("incoming/x.tmp", b""), Medium("archive/y.jpg", b"")),
)


def as_registered(item: Item, **changes: Any) -> DatasetItem:
    urls = tuple(BASE + key.replace(" ", "%20") for key in item.keys)
    made = DatasetItem(f"uuid {urls[0]}", item.item_type, item.title, urls, dict(item.client_metadata))
    return replace(made, **changes)


SINGLE, GROUP = map(as_registered, CONTENT.good)


def report(folder: Path, *, manifests: int = 1, held: int = 2, late: int = 1, **counts: int) -> RunReport:
    (folder / "failures.csv").write_text(f"object_url\r\n{BASE}incoming/bad.mp4\r\n")
    return RunReport(
        verdict="ok_with_quarantine",
        listed_objects=counts.get("listed", 7),
        listed_bytes=1,
        planned=(
            PlanRow("register", "image", "new", 4, 1, (), 3),
            PlanRow("hold", "image_group", "incomplete", held, 1, (), 1),
            PlanRow("skip", None, "excluded", 1, 1, ()),
        ),
        manifests=manifests,
        jobs={"done": manifests},
        registered=counts.get("registered", 2),
        already_registered=counts.get("known", 0),
        failed=1,
        retry_rounds=(RoundTally(1, 1, late),),
        causes=(),
        folder=folder,
    )


def faults_of(findings: list[Finding]) -> list[str]:
    return [fault for finding in findings for fault in finding.faults]


def test_a_key_is_read_from_its_url() -> None:
    assert key_of(f"{BASE}incoming/Z%C3%BCrich%20%231%20%2B%20100%25.jpg") == "incoming/Zürich #1 + 100%.jpg"


def test_all_is_as_expected(tmp_path: Path) -> None:
    findings = check_first_run(CONTENT, report(tmp_path), [SINGLE, GROUP])
    assert len(findings) == 8
    assert faults_of(findings) == []


def test_each_difference_is_found_and_named(tmp_path: Path) -> None:
    items = [SINGLE, SINGLE, as_registered(CONTENT.held[0])]
    findings = check_first_run(CONTENT, report(tmp_path, listed=8, registered=3, held=0, late=0), items)
    assert faults_of(findings) == [
        "expected 7, found 8",
        "expected 2, found 0",
        "missing: image_group of incoming/g/2.jpg, incoming/g/10.jpg",
        "more than once: image of incoming/a b.jpg",
        "not expected: image_group of incoming/h/1.jpg, incoming/h/2.jpg",
        "expected 2, found 3",
        "expected 1, found 0",
    ]


def test_another_order_is_another_group(tmp_path: Path) -> None:
    findings = check_first_run(CONTENT, report(tmp_path), [SINGLE, replace(GROUP, urls=GROUP.urls[::-1])])
    assert faults_of(findings) == [
        "missing: image_group of incoming/g/2.jpg, incoming/g/10.jpg",
        "not expected: image_group of incoming/g/10.jpg, incoming/g/2.jpg",
    ]


def test_another_type_is_another_item(tmp_path: Path) -> None:
    items = [SINGLE, replace(GROUP, item_type="image_sequence")]
    assert len(faults_of(check_first_run(CONTENT, report(tmp_path), items))) == 2


def test_title_and_client_metadata_are_compared(tmp_path: Path) -> None:
    items = [replace(SINGLE, title="x"), replace(GROUP, client_metadata={})]
    assert faults_of(check_first_run(CONTENT, report(tmp_path), items)) == [
        "image of incoming/a b.jpg has 'x', {'n': '1'}",
        "image_group of incoming/g/2.jpg, incoming/g/10.jpg has 't', {}",
    ]


def test_a_quiet_second_run_proves_that_nothing_is_registered_twice(tmp_path: Path) -> None:
    quiet = report(tmp_path, registered=0, manifests=0, known=2)
    findings = check_second_run(CONTENT, quiet, [SINGLE, GROUP], [SINGLE, GROUP])
    assert faults_of(findings) == []
    assert "the dataset had 2 items before it and has 2 after it" in findings[4].statement


def test_a_second_run_that_adds_anything_is_found_out(tmp_path: Path) -> None:
    after = [SINGLE, GROUP, replace(GROUP, uuid="another")]
    findings = check_second_run(CONTENT, report(tmp_path, registered=1, held=0), [SINGLE, GROUP], after)
    assert [finding.holds for finding in findings] == [False] * 6
    assert findings[5].faults == ("twice: image_group of incoming/g/2.jpg, incoming/g/10.jpg",)


def test_an_item_that_was_changed_meanwhile_is_found_out(tmp_path: Path) -> None:
    quiet = report(tmp_path, registered=0, manifests=0, known=2)
    after = [SINGLE, replace(GROUP, title="renamed")]
    findings = check_second_run(CONTENT, quiet, [SINGLE, GROUP], after)
    assert faults_of(findings) == ["they differ"]


def test_a_finding_is_one_line_and_its_first_faults(tmp_path: Path) -> None:
    others = [as_registered(an_item("image", f"{n}.jpg")) for n in range(9)]
    finding = check_first_run(CONTENT, report(tmp_path), others)[3]
    assert describe(finding).splitlines()[0].startswith("NO   the dataset holds exactly the 2 good items")
    assert describe(finding).splitlines()[-1].strip() == "and 6 more"
