"""The failure CSV, and its JSONL twin for machines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields

import msgspec

from cloud_sync.failures.model import Failure
from cloud_sync.run_folder import RunFolder

CSV_NAME = "failures.csv"
JSONL_NAME = "failures.jsonl"
COLUMNS = tuple(field.name for field in fields(Failure))

# Cells that begin so are formulas to a spreadsheet; a quote in front makes them text. Some spreadsheets take
# the full-width forms of the signs too.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def write_failures(folder: RunFolder, failures: Sequence[Failure]) -> None:
    """Write `failures.csv` (UTF-8, RFC 4180, safe in spreadsheets) and `failures.jsonl`.

    Both are written without a failure too: a file with headings says "none", no file says nothing.
    """
    import pandas as pd

    table = pd.DataFrame([asdict(failure) for failure in failures], columns=list(COLUMNS))
    for column in table.columns.drop("attempts"):
        table[column] = table[column].map(defuse)
    with folder.writing(CSV_NAME) as path:
        table.to_csv(path, index=False, lineterminator="\r\n", encoding="utf-8")
    encoder = msgspec.json.Encoder()
    folder.write(JSONL_NAME, b"".join(encoder.encode(failure) + b"\n" for failure in failures))


def defuse(cell: str) -> str:
    """Return the cell such that no spreadsheet runs it."""
    return f"'{cell}" if cell.startswith(FORMULA_STARTS) else cell
