"""Tables, cells and lines: for terminals, for pipes."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from cloud_sync.cli.output import Column, printable, say, show_table
from tests.unit.cli.shell import Terminal, terminal_of

COLUMNS = (
    Column("level / code"),
    Column("place / remedy"),
    Column("objects", "count"),
    Column("size", "bytes"),
)
ROWS = [(("error", "url"), ("line [3]", "Do\tit."), 1234, 5678), (("note", "x"), ("", ""), 0, 0)]


@pytest.fixture(autouse=True)
def without_wishes_of_the_surroundings(monkeypatch):
    """Decide here whether there are colours."""
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)


def test_on_a_terminal_a_table_with_texts_above_each_other(monkeypatch):
    terminal = terminal_of(monkeypatch)
    show_table(COLUMNS, ROWS, title="m.json")
    lines = [line.strip() for line in terminal.getvalue().splitlines() if line.strip()]
    assert [" ".join(line.split()) for line in lines if not line.startswith("─")] == [
        "m.json",
        "level / code place / remedy objects size",
        "error line [3] 1,234 5.7 kB",
        "url Do\\tit.",
        "note 0 0 bytes",
        "x",
    ]


def test_on_a_terminal_no_more_than_a_person_reads(monkeypatch, capsys):
    terminal = terminal_of(monkeypatch)
    show_table(COLUMNS[:1], [((f"row {number}"),) for number in range(150)])
    assert terminal.getvalue().count("row ") == 100
    assert "50 more rows" in capsys.readouterr().err


def test_what_is_left_out_can_be_a_row_of_its_own(monkeypatch, capsys):
    terminal = terminal_of(monkeypatch)
    rows = [(f"row {number}", number) for number in range(5)]
    columns = (Column("a"), Column("b", "count"))
    show_table(columns, rows, most=3, rest=lambda left: [f"{len(left)} more", sum(row[1] for row in left)])
    lines = [" ".join(line.split()) for line in terminal.getvalue().splitlines()]
    assert [line for line in lines if "row" in line or "more" in line] == [
        "row 0 0",
        "row 1 1",
        "row 2 2",
        "2 more 7",
    ]
    assert capsys.readouterr().err == ""


KEY_COLUMNS = (Column("class"), Column("key", "key"), Column("last failed", "time"))
FAILED_AT = "2026-01-02T01:04:59+02:00"


def key_shown(terminal: Terminal, key: str) -> str:
    show_table(KEY_COLUMNS, [("corrupt", key, FAILED_AT)])
    (line,) = [line for line in terminal.getvalue().splitlines() if line.strip().startswith("corrupt")]
    _, shown, *when = line.split()
    assert when == ["2026-01-01", "23:04Z"]
    return shown


@pytest.mark.parametrize("key", ["raw/a.jpg", "長" * 10, r"a\x1b"])
def test_a_key_with_room_is_shown_whole(monkeypatch, key):
    assert key_shown(terminal_of(monkeypatch), key) == key


@pytest.mark.parametrize("key", ["raw/" * 50 + "cam-1.jpg", "長" * 80 + "cam-1.jpg"])
def test_a_key_that_is_too_long_keeps_its_end(monkeypatch, key):
    terminal = terminal_of(monkeypatch)
    monkeypatch.setenv("TERM", "xterm")  # of a dumb one rich takes 80 columns for granted
    shown = key_shown(terminal, key)
    assert shown[0] == "…"
    assert key.endswith(shown[1:])
    assert shown.endswith("cam-1.jpg")
    widths = {cell_len(line) for line in terminal.getvalue().splitlines() if "cam-1" in line}
    assert widths <= {59, 60}


def test_in_a_pipe_keys_and_times_are_whole(capsys):
    key = "raw/" * 50
    show_table(KEY_COLUMNS, [("corrupt", key, FAILED_AT)])
    assert capsys.readouterr().out == f"corrupt\t{key}\t{FAILED_AT}\n"


def test_in_a_pipe_cells_between_tabs(capsys):
    show_table(COLUMNS, ROWS, title="m.json")
    assert capsys.readouterr().out.splitlines() == [
        "m.json\terror\turl\tline [3]\tDo\\tit.\t1234\t5678",
        "m.json\tnote\tx\t\t\t0\t0",
    ]


def test_lines_are_as_long_as_they_are(capsys):
    say("x " * 200 + "\nnext \x1b[31m")
    first, second = capsys.readouterr().err.splitlines()
    assert len(first) == 400
    assert second == r"next \x1b[31m"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ü", "plain ü"),
        ("\x1b[2J", r"\x1b[2J"),
        ("a\u202eb", r"a\u202eb"),
        ("\udc80", r"\udc80"),
        ("", ""),
    ],
)
def test_printable(text, shown):
    assert printable(text) == shown
