"""Include and exclude patterns: what .gitignore's rules say, DuckDB answers."""

from __future__ import annotations

import re
import warnings

import duckdb
import pathspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud_sync import patterns
from cloud_sync.errors import ConfigError
from cloud_sync.patterns import compiled_regex, names_by_number, patterns_to_regex

PIECES = [
    "a",
    "b",
    "mp4",
    "raw",
    "é",
    "日",
    "🎥",
    " ",
    ".",
    "+",
    "(",
    ")",
    "|",
    "{2}",
    "^",
    "$",
    "%",
    "'",
    '"',
    "_",
    "-",
]
NAMES = st.lists(st.sampled_from(PIECES), min_size=1, max_size=3).map("".join)
# pathspec takes a leading `./` off, as of a path; in a key it is text like any other.
KEYS = st.lists(NAMES.filter(lambda name: name != "."), min_size=1, max_size=4).map("/".join)
PATTERN_NAMES = st.lists(
    st.sampled_from([*PIECES, "*", "**", "?", "[ab]", "[!a]", "[a-m]", "\\*", "\\ "]), min_size=1, max_size=3
).map("".join)
PATTERNS = st.tuples(
    st.sampled_from(["", "/", "**/"]),
    st.lists(PATTERN_NAMES, min_size=1, max_size=3).map("/".join),
    st.sampled_from(["", "/", "/**"]),
).map("".join)

# What regular expressions are made of, both engines or only one of them willing.
PARTS = [
    *("a", "é", "_", " ", "-", "/", ".", "#", ":", "<", "|", "^", "$", "&&", "--", "z-a"),
    *("*", "+", "?", "??", "{2}", "{40}", "{2,3}", "{2,}", "{,3}", "{0}", "{", "}"),
    *(
        "(",
        ")",
        "(?:",
        "(?P<x>",
        "(?P<y>",
        "(?=",
        "[ab]",
        "[^/]",
        "[\\w-]",
        "[",
        "[^",
        "[a-",
        "]",
        "[]",
        "[^]",
    ),
    *("\\d", "\\w", "\\b", "\\n", "\\.", "\\-", "\\]", "\\\\", "\\_", "\\ ", "\\1", "\\A", "\\Z", "\\é"),
]


def matches(patterns: list[str], key: str) -> bool:
    """Ask DuckDB as the plan does."""
    regex = patterns_to_regex(patterns, where="test")
    [(answer,)] = duckdb.execute("SELECT regexp_matches($1, $2, 's')", [key, regex]).fetchall()
    return bool(answer)


@settings(max_examples=200, deadline=None)
@given(st.lists(PATTERNS, min_size=1, max_size=3), KEYS)
def test_the_verdict_is_that_of_pathspec(patterns, key):
    try:
        spec = pathspec.GitIgnoreSpec.from_lines(patterns)
    except ValueError:
        return
    try:
        verdict = matches(patterns, key)
    except ConfigError:
        return
    # With several patterns git lets the last decide; without `!` that is the same as any of them.
    assert verdict == spec.match_file(key, separators=())


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("*.mp4", ["a.mp4", "x/y/a.mp4", "a.mp4/b"], ["a.mp4x", "amp4"]),
        ("/raw/**", ["raw/a", "raw/b/c"], ["x/raw/a", "raw"]),
        ("drafts/", ["drafts/a", "x/drafts/a/b"], ["drafts", "mydrafts/a"]),
        ("a/**/b", ["a/b", "a/x/b", "a/x/y/b"], ["ab", "x/a/b"]),
        ("a?c", ["abc", "x/aéc", "a🎥c"], ["a/c", "ac"]),
        ("[!a]b", ["cb", "éb"], ["ab", "b"]),
        ("x.y+(1)|{2}^$", ["x.y+(1)|{2}^$"], ["xxy+(1)|{2}^$", "x.yy1"]),
        ("\\#a", ["#a"], ["a"]),
        ("a\\ b", ["a b"], ["ab"]),
        ("*", ["a", "a/b", "a\nb"], []),
        ("raw/**", ["raw/a\nb"], []),
        ("*.mp4", ["a\nb.mp4"], ["a.mp4\n"]),
        ("/b", ["b"], ["./b"]),
    ],
)
def test_known_verdicts(pattern, yes, no):
    assert [key for key in yes if not matches([pattern], key)] == []
    assert [key for key in no if matches([pattern], key)] == []


def test_no_pattern_is_no_expression():
    assert patterns_to_regex([], where="test") is None


@pytest.mark.parametrize(
    "pattern", ["", "  ", "# note", "!a", "/", "a[", "[z-a]", "foo\\", "[[:alpha:]]x[a]"]
)
def test_a_malformed_pattern_is_named_with_its_place(pattern):
    with pytest.raises(ConfigError) as caught:
        patterns_to_regex(["*.mp4", pattern], where="integration cameras, select.include")
    assert str(caught.value).startswith(f"integration cameras, select.include: the pattern {pattern!r} ")
    assert str(caught.value).endswith("Write it as in a .gitignore file, such as '*.mp4' or 'raw/**'.")


class TestRegularExpressions:
    @pytest.mark.parametrize(
        ("pattern", "fault"),
        [
            ("(", "missing ), unterminated subpattern"),
            ("(?P<group>a)(?=b)", "invalid perl operator: (?="),
            (r"(?P<group>a)\1", "invalid escape sequence: \\1"),
            ("a{1001}", "invalid repetition size"),
            ("(?<group>a)", "unknown extension ?<g"),
            (r"\pL", "bad escape"),
            (r"a\Z", "invalid escape sequence"),
            ("[[:alpha:]]", "character class"),
            ("(?P<a>x)(?P<a>y)", "redefinition of group name"),
            ("(" * 2000 + ")" * 2000, "."),
        ],
    )
    def test_what_one_of_the_two_engines_does_not_know_is_refused(self, pattern, fault):
        with pytest.raises(ConfigError, match="cannot be used as a regular expression") as caught:
            compiled_regex(pattern)
        assert fault in str(caught.value)
        assert "without lookaround and backreferences" in str(caught.value)
        assert ("Write (?P<name>...) instead" in str(caught.value)) is pattern.startswith("(?<")

    @pytest.mark.parametrize(
        "pattern",
        [
            r"^(?P<group>in/(?P<camera>[^/]+)/[^/]+)/(?P<index>[0-9]+)-of-(?P<count>[0-9]+)\.jpg$",
            r"cameras/(?P<camera>[^/]+)/(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})/",
            r"(?P<group>.+?)_(?:left|right)\b",
            r"(?P<group>[\w.-]{1,20})",
        ],
    )
    def test_the_usual_ones_need_no_duckdb(self, pattern, monkeypatch):
        monkeypatch.setattr(patterns, "_refusal_of_re2", lambda pattern: "asked")
        assert compiled_regex.__wrapped__(pattern).pattern == pattern
        with pytest.raises(ConfigError, match="asked"):
            compiled_regex.__wrapped__(pattern + "(?=x)")

    @pytest.mark.parametrize("part", [".", "a", "é", r"\W", "[^é]", "[a-zé-🎥]"])
    @pytest.mark.parametrize("times", ["", "{10}", "{99}", "{99}){10}"])
    def test_large_ones_that_count_as_plain_are_refused_by_neither(self, part, times):
        wrapped = times.count(")") + 1
        for many in (50, 90, 900):
            pattern = "(?:" * wrapped + part * many + ")" + times
            if patterns._is_plain(pattern):
                assert patterns._refusal_of_re2(pattern) is None

    @settings(max_examples=1000, deadline=None)
    @given(st.lists(st.sampled_from(PARTS), min_size=1, max_size=10).map("".join))
    def test_what_counts_as_plain_is_refused_by_neither(self, pattern):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # such as of `--` in a class
                re.compile(pattern, re.ASCII | re.DOTALL)
        except re.error:
            return
        if patterns._is_plain(pattern):
            assert patterns._refusal_of_re2(pattern) is None

    def test_captures_are_named_by_their_number(self):
        pattern = compiled_regex(r"(?P<group>[(]a|\(b)-(x)(?:y)(?P<_2>z)(?P<Group>u)(?P<index>[0-9]+)")
        assert names_by_number(pattern, wanted=("group", "index")) == ("group", "_2", "_3", "_4", "index")

    @settings(max_examples=200, deadline=None)
    @given(
        st.lists(st.sampled_from("ab01_/.-\né"), max_size=12).map("".join),
        st.sampled_from(
            [
                r"(?P<group>.+)_(?P<index>\d+)",
                r"^(?P<group>[^/]*)/(.*?)(?P<index>[0-9]*)$",
                r"(?P<group>a+|b)(?:_|-)?(?P<index>0|1)?",
                r"\b(?P<group>\w+)\b",
                r"(?i)(?P<group>A.B)",
            ]
        ),
    )
    def test_both_engines_find_the_same(self, key, text):
        pattern = compiled_regex(text)
        names = names_by_number(pattern, wanted=("group", "index"))
        [(found, does_match)] = duckdb.execute(
            f"SELECT regexp_extract($1, $2, {list(names)}, 's'), regexp_matches($1, $2, 's')", [key, text]
        ).fetchall()
        match = pattern.search(key)
        if key.endswith("\n") and text.endswith("$"):
            return  # Python's `$` also stands before a last new line
        assert does_match == bool(match)
        expected = (
            [match[number] or "" for number in range(1, len(names) + 1)] if match else [""] * len(names)
        )
        assert list(found.values()) == expected
