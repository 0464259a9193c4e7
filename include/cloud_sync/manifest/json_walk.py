"""Walk through a JSON manifest entry by entry: with offsets, repeated keys, and syntax errors by line.

The standard library's scanner decodes one entry at a time, in C, so that neither the memory nor the time
of a strange file explodes, and the place of each entry is known.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, NoReturn

import msgspec

from cloud_sync.errors import ManifestError
from cloud_sync.manifest.source import Lines

SURROGATE = re.compile(r"\\u[dD]")
WHITESPACE = re.compile(r"[ \t\n\r]*")
# A string is matched whole, so that a comma inside one is never taken for another.
# One that never ends is matched to the end of the text, so that the search stays linear.
TRAILING_COMMA = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|,(?=[ \t\n\r]*+[\]}])', re.DOTALL)


SOME_ENTRIES: Final = [...]


class RepeatingObject(dict[str, Any]):
    """A JSON object some of whose keys stand in it twice; it has the last value of each."""

    repeated: tuple[str, ...] = ()


class Entry(NamedTuple):
    """One value of the top level, or one entry of a list there.

    Attributes:
        key: The top-level key.
        position: In its list; None for the value itself, which is `SOME_ENTRIES` for a list that has some.
        offset: Where the entry (or the key) begins in the text.
        value: The decoded value.
    """

    key: str
    position: int | None
    offset: int
    value: Any


@dataclass(frozen=True, slots=True)
class JsonText:
    """The text of a manifest, and what to call the file in errors."""

    file: str
    text: str

    def entries(self) -> Iterator[Entry]:
        """Yield each top-level key, then the entries of its list.

        Raises:
            ManifestError: The text is not a JSON object; names line and column.
        """
        position = self._skip(0)
        if self._at(position) != "{":
            self._fail(position, "does not begin with {: a manifest is a JSON object")
        position = self._skip(position + 1)
        more = self._at(position) != "}"
        if not more:
            position += 1
        while more:
            start = position
            if self._at(start) != '"':
                self._fail(start, "lacks a key in double quotes here")
            key, position = self._scan(start)
            position = self._skip(position)
            if self._at(position) != ":":
                self._fail(position, "lacks a colon here")
            position = self._skip(position + 1)
            if self._at(position) == "[":
                empty = self._at(self._skip(position + 1)) == "]"
                yield Entry(key, None, start, [] if empty else SOME_ENTRIES)
                position = yield from self._list(key, position)
            else:
                value, position = self._scan(position)
                yield Entry(key, None, start, value)
            position, more = self._separator(position, "}")
        self._end(position)

    def _list(self, key: str, position: int) -> Generator[Entry, None, int]:
        """Yield the entries of the list that begins here; return the position behind it."""
        position = self._skip(position + 1)
        if self._at(position) == "]":
            return position + 1
        index = 0
        while True:
            start = position
            value, position = self._scan(start)
            yield Entry(key, index, start, value)
            index += 1
            position, more = self._separator(position, "]")
            if not more:
                return position

    def _separator(self, position: int, closing: str) -> tuple[int, bool]:
        position = self._skip(position)
        found = self._at(position)
        if found == closing:
            return position + 1, False
        if found != ",":
            self._fail(position, f"lacks a comma or {closing} here")
        position = self._skip(position + 1)
        return position, True

    def _end(self, position: int) -> None:
        position = self._skip(position)
        if position < len(self.text):
            self._fail(position, "goes on after its end")

    def _skip(self, position: int) -> int:
        match = WHITESPACE.match(self.text, position)
        return match.end() if match else position

    def _at(self, position: int) -> str:
        return self.text[position : position + 1]

    def _scan(self, position: int) -> tuple[Any, int]:
        try:
            value, end = _SCAN(self.text, position)
            if SURROGATE.search(self.text, position, end):
                msgspec.json.encode(value)
            return value, end
        except json.JSONDecodeError as error:
            self._fail(error.pos, _plain(error.msg))
        except StopIteration as error:
            self._fail(error.value, "lacks a value here")
        except RecursionError:
            self._fail(position, "is nested too deeply")
        except UnicodeEncodeError:
            self._fail(position, "holds half a character (a lone surrogate)")
        except ValueError as error:  # what the hooks below refuse, and numbers of thousands of digits
            self._fail(position, str(error))

    def _fail(self, position: int, fault: str) -> NoReturn:
        comma = self._comma_before(position)
        if comma is not None:
            position, fault = comma, "has a comma before a closing bracket"
            remedy = "Remove the comma, or read it with --lenient."
        elif position >= len(self.text):
            fault, remedy = "is cut off", "Write it again; the end of the file is missing."
        else:
            remedy = "Correct it there."
        raise ManifestError(
            f"is not a JSON manifest: it {fault}.",
            where=f"{self.file}, {Lines(self.text).place(position)}",
            remedy=remedy,
        )

    def _comma_before(self, position: int) -> int | None:
        """Return where the comma stands, if the error is one before a closing bracket."""
        if self._at(position) == ",":  # Python 3.13 points at the comma
            position = self._skip(position + 1)
        before = len(self.text[max(0, position - 1000) : position].rstrip())
        comma = max(0, position - 1000) + before - 1
        closes = self._at(position) in {"]", "}"}
        return comma if closes and before and self.text[comma] == "," else None


def without_trailing_commas(text: str) -> tuple[str, list[int]]:
    """Replace commas before closing brackets by spaces, so that offsets stay; return them as well."""
    offsets: list[int] = []

    def replace(match: re.Match[str]) -> str:
        if match[0] != ",":
            return match[0]
        offsets.append(match.start())
        return " "

    return TRAILING_COMMA.sub(replace, text), offsets


def repeats_key(value: Any) -> bool:
    """Tell whether any object in a decoded value has a key twice."""
    todo = [value]
    while todo:
        one = todo.pop()
        if isinstance(one, RepeatingObject):
            return True
        if isinstance(one, dict):
            todo += one.values()
        elif isinstance(one, list):
            todo += one
    return False


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    repeating = RepeatingObject(found)
    repeating.repeated = tuple(
        name for name, count in Counter(name for name, _ in pairs).items() if count > 1
    )
    return repeating


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"has a number that is out of range: {text[:20]}")
    return number


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"holds {name}, which is no JSON")


def _plain(message: str) -> str:
    """Turn `Expecting property name enclosed in double quotes` into the end of a sentence."""
    return f"says something else than JSON here ({message[0].lower()}{message[1:]})"


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_float=_finite, parse_constant=_refuse_constant)
_SCAN: Callable[[str, int], tuple[Any, int]] = _DECODER.scan_once  # type: ignore[attr-defined] # typeshed lacks it
"""Decodes the JSON value at an offset; returns it and the offset behind it."""
