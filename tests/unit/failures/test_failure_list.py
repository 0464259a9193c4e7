"""Failure lists: every form that is understood, and clear errors for the others."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloud_sync.errors import ManifestError
from cloud_sync.failures import failure_list
from cloud_sync.failures.failure_csv import CSV_NAME, write_failures
from cloud_sync.failures.failure_list import ListedFailure, read_failure_list
from cloud_sync.run_folder import RunFolder
from tests.unit.failures.test_failure_csv import failure

URL = "https://b/1.jpg"


def read(tmp_path: Path, text: str | bytes) -> list[ListedFailure]:
    path = tmp_path / "list.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_failure_list(path, file="list.csv")


def urls(rows: list[ListedFailure]) -> list[str]:
    return [row.object_url for row in rows]


def test_our_own_failure_csv_is_read_back(tmp_path):
    rows = [
        failure(object_url="https://b/a,b.jpg", title="=cmd|x", failure_class="forbidden", run_id="night 1"),
        failure(object_url="https://b/c.jpg", title='says "hi"\nthere', failure_class="transient"),
    ]
    write_failures(RunFolder(tmp_path), rows)
    first, second = read_failure_list(tmp_path / CSV_NAME, file="failures.csv")
    assert (first.object_url, first.title, first.failure_class, first.run_id, first.line) == (
        "https://b/a,b.jpg",
        "=cmd|x",
        "forbidden",
        "night 1",
        2,
    )
    assert (second.title, second.item_type, second.line) == ('says "hi"\nthere', rows[1].item_type, 3)


def test_a_failure_csv_of_an_earlier_version_is_read_as_well(tmp_path):
    write_failures(RunFolder(tmp_path), [failure(), failure(object_url=URL, failure_class="transient")])
    table = pd.read_csv(tmp_path / CSV_NAME, keep_default_na=False).drop(columns=["key", "next_step"])
    now = read_failure_list(tmp_path / CSV_NAME, file="x")
    assert read(tmp_path, table.to_csv(index=False)) == now
    assert (now[1].object_url, now[1].failure_class, now[1].run_id) == (URL, "transient", "night 1")


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(exclude_categories=["Cs", "Cc"])).map(str.strip))
def test_a_title_survives_the_way_there_and_back(tmp_path, title):
    if title.startswith("'") and title[1:].startswith(("=", "+", "-", "@")):
        return  # cannot be told from a defused cell
    write_failures(RunFolder(tmp_path), [failure(title=title)])
    assert read_failure_list(tmp_path / CSV_NAME, file="x")[0].title == title


def test_no_failure_is_no_row(tmp_path):
    write_failures(RunFolder(tmp_path), [])
    assert read_failure_list(tmp_path / CSV_NAME, file="x") == []


@pytest.mark.parametrize(
    "heading", ["object_url", "objectUrl", "OBJECTURL", "url", "URL", "Object URL", "object-url"]
)
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_column_of_urls_is_enough(tmp_path, heading, separator):
    text = f"Error{separator}{heading}\n\nbroken{separator}{URL}\nbroken{separator}https://b/2.jpg\n"
    rows = read(tmp_path, text)
    assert [(row.line, row.object_url) for row in rows] == [(3, URL), (4, "https://b/2.jpg")]
    assert rows[0] == ListedFailure(3, URL)


def test_columns_of_another_file_mean_nothing_even_if_they_are_called_as_ours(tmp_path):
    assert read(tmp_path, f"url,title,run_id\n{URL},Row 1,7\n") == [ListedFailure(2, URL)]


@pytest.mark.parametrize(
    "text",
    [
        f"{URL}\ns3://b/2.jpg\n",
        f"\ufeff{URL}\r\n\r\ns3://b/2.jpg",
        f'"{URL}"\n"s3://b/2.jpg"\n',
        f"url\n{URL}\ns3://b/2.jpg\n",
    ],
)
def test_a_list_of_urls_needs_no_heading(tmp_path, text):
    assert urls(read(tmp_path, text)) == [URL, "s3://b/2.jpg"]


def test_a_plain_url_may_hold_what_separates_cells(tmp_path):
    text = "https://b/a,b;c.jpg\narn:aws:s3::1:accesspoint/x.mrap/d,e.jpg\n"
    assert urls(read(tmp_path, text)) == text.split()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "list.csv: is empty. Give it a column object_url"),
        ("\n \n", "list.csv: is empty."),
        ("a,b\n1,2\n", "list.csv, line 1: has no column of object URLs. Give it a column object_url"),
        ("1.jpg\n", "list.csv, line 1: has no column of object URLs."),
        (f"url,x\n{URL},1\n,2\n", "list.csv, line 3: has no object URL. Fill it in, or remove the row."),
        (f'url,x\n{URL}\n"\'" ,1"x\n', "list.csv, line 3: is not CSV:"),
        (
            f"object_url,failure_class\n{URL},Broken\n",
            "list.csv, line 2: 'Broken' is no failure class. Write one of transient, missing,",
        ),
        (b"url\n\xff\xfe\n", "list.csv: is not UTF-8 text. Save it as UTF-8."),
    ],
)
def test_errors_name_file_line_and_remedy(tmp_path, text, message):
    with pytest.raises(ManifestError) as caught:
        read(tmp_path, text)
    assert str(caught.value).startswith(message)


def test_a_file_that_cannot_be_read_is_an_error(tmp_path):
    with pytest.raises(ManifestError, match=r"x: cannot be read: Is a directory\."):
        read_failure_list(tmp_path, file="x")


def test_there_is_a_limit_of_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(failure_list, "MAX_URLS", 2)
    assert len(read(tmp_path, f"url\n{URL}\n{URL}\n")) == 2
    with pytest.raises(ManifestError, match="holds more than 2 rows"):
        read(tmp_path, f"url\n{URL}\n{URL}\n{URL}\n")
