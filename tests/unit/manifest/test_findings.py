"""The table of codes: each is used, and each stands in docs/lint.md."""

from __future__ import annotations

import re
from pathlib import Path

from cloud_sync.manifest import findings
from cloud_sync.manifest.findings import CODES, Finding

ROOT = Path(__file__).parents[3]
ROWS = re.compile(r"^\| `([a-z-]+)` \| (\w+) \| (.+) \|$", re.MULTILINE)


def test_the_documentation_has_the_same_table():
    rows = ROWS.findall((ROOT / "docs/lint.md").read_text())
    assert [(code, (level, meaning)) for code, level, meaning in rows] == list(CODES.items())


def test_every_code_is_used():
    room = Path(findings.__file__).parent
    sources = "".join(path.read_text() for path in room.glob("*.py") if path.name != "findings.py")
    unused = [code for code in CODES if f'"{code}"' not in sources and code != "findings-omitted"]
    assert unused == []


def test_one_line():
    finding = Finding("error", "url-query", "line 3", "has a query.", "Remove it.")
    assert str(finding) == "error [url-query] line 3: has a query. Remove it."
    assert str(Finding("note", "encoding", "", "is UTF-16.")) == "note [encoding] is UTF-16."
