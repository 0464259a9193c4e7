"""The failure CSV: for people and spreadsheets; its twin: for machines."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud_sync.failures.failure_csv import COLUMNS, FORMULA_STARTS, defuse, write_failures
from cloud_sync.failures.model import Failure, FailureClass, NextStep
from cloud_sync.run_folder import RunFolder


@pytest.fixture
def folder(tmp_path) -> RunFolder:
    return RunFolder(tmp_path / "run")


def failure(**changes) -> Failure:
    values = {
        "object_url": "https://b/a.jpg",
        "item_type": "image",
        "title": "a.jpg",
        "failure_class": FailureClass.CORRUPT,
        "reason": "The object is empty.",
        "remedy": "Upload it again, or delete it.",
        "attempts": 1,
        "first_failed_at": "2026-01-02T00:00:05+00:00",
        "last_failed_at": "2026-01-02T00:00:05+00:00",
        "upload_job_id": "job 1",
        "unit_id": "unit 1",
        "manifest": "manifests/0000-abc.json",
        "integration": "cameras",
        "dataset": "Cameras",
        "run_id": "night 1",
        "key": "a.jpg",
        "next_step": NextStep.QUARANTINED,
    }
    return Failure(**{**values, **changes})


HEADINGS = (
    "object_url,item_type,title,failure_class,reason,remedy,attempts,first_failed_at,last_failed_at,"
    "upload_job_id,unit_id,manifest,integration,dataset,run_id,key,next_step\r\n"
)
NEXT = "Quarantined: no sync sends it until it changes or is released."
WHEN = "2026-01-02T00:00:05+00:00"
REST = f"1,{WHEN},{WHEN},job 1,unit 1,manifests/0000-abc.json,cameras,Cameras,night 1,a.jpg,{NEXT}\r\n"


def test_the_bytes(folder):
    rows = [
        failure(),
        failure(title='=HYPERLINK("x")', reason='He said "no",\nthen left.', remedy="-1"),
        failure(object_url="https://b/%F0%9F%8E%A5.jpg", title="🎥 日本.jpg", reason="a\rb"),
    ]
    write_failures(folder, rows)
    assert folder.read("failures.csv").decode() == (
        HEADINGS
        + 'https://b/a.jpg,image,a.jpg,corrupt,The object is empty.,"Upload it again, or delete it.",'
        + REST
        + 'https://b/a.jpg,image,"\'=HYPERLINK(""x"")",corrupt,"He said ""no"",\nthen left.",\'-1,'
        + REST
        + 'https://b/%F0%9F%8E%A5.jpg,image,🎥 日本.jpg,corrupt,"a\rb","Upload it again, or delete it.",'
        + REST
    )


def test_without_failures_there_are_headings(folder):
    write_failures(folder, [])
    assert folder.read("failures.csv").decode() == HEADINGS
    assert folder.read("failures.jsonl") == b""


def test_the_twin_has_the_exact_values(folder):
    rows = [failure(title="=1+1", reason="zwei\nZeilen 🎥"), failure(attempts=2)]
    write_failures(folder, rows)
    lines = folder.read("failures.jsonl").decode().splitlines()
    assert [json.loads(line) for line in lines] == [asdict(row) for row in rows]
    assert list(json.loads(lines[0])) == list(COLUMNS)


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)


@settings(max_examples=50, deadline=None)
@given(st.lists(TEXT, min_size=1, max_size=4))
def test_any_text_is_read_back_by_csv_and_pandas(tmp_path_factory, texts):
    folder = RunFolder(tmp_path_factory.mktemp("run"))
    write_failures(folder, [failure(reason=text) for text in texts])
    data = folder.read("failures.csv").decode()
    wanted = [defuse(text) for text in texts]
    rows = list(csv.DictReader(io.StringIO(data, newline="")))
    assert [row["reason"] for row in rows] == wanted
    if not any("\r" in text for text in texts):  # pandas reads a lone CR within quotes as LF
        table = pd.read_csv(io.StringIO(data, newline=""), keep_default_na=False, dtype={"reason": str})
        assert table["reason"].tolist() == wanted
        assert table["attempts"].tolist() == [1] * len(texts)


@given(TEXT)
def test_no_cell_is_a_formula(text):
    cell = defuse(text)
    assert not cell.startswith(FORMULA_STARTS)
    assert cell in {text, f"'{text}"}


@pytest.mark.parametrize("sign", ["\uff1d", "\uff0b", "\uff0d", "\uff20"])
def test_full_width_signs_are_signs_too(sign):
    assert defuse(f"{sign}1") == f"'{sign}1"
