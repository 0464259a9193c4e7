"""Titles by template."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_sync.titles import KEY_FIELDS, check_template, cut, fields_of_key, render, short_title


@pytest.mark.parametrize(
    ("key", "fields"),
    [
        ("raw/cam 1/b.tar.gz", ("raw/cam 1/b.tar.gz", "b.tar.gz", "b.tar", "gz", "raw/cam 1")),
        ("a", ("a", "a", "a", "", "")),
        ("/.hidden", ("/.hidden", ".hidden", ".hidden", "", "")),
        ("a/", ("a/", "", "", "", "a")),
    ],
)
def test_the_fields_of_a_key(key, fields):
    assert fields_of_key(key) == dict(zip(KEY_FIELDS, fields, strict=True))


@pytest.mark.parametrize(
    ("template", "title"),
    [
        ("{name}", "b.mp4"),
        ("{folder} - {stem}.{extension}", "raw/cam1 - b.mp4"),
        ("{{{camera}}}", "{cam1}"),
        ("no field", "no field"),
        ("{missing}", None),
        (" {missing} ", None),
        ("<{missing}>", "<>"),
    ],
)
def test_a_template_is_filled(template, title):
    assert render(template, fields_of_key("raw/cam1/b.mp4") | {"camera": "cam1"}) == title


@pytest.mark.parametrize(
    "template", ["{", "}", "{a", "{}", "{0}", "{other}", "{name.x}", "{name[0]}", "{name:>9}"]
)
def test_what_is_no_template_is_refused(template):
    with pytest.raises(ValueError, match=r"is no template|is no field of a title here"):
        check_template(template, KEY_FIELDS)


@given(st.text())
def test_any_text_is_a_template_or_refused_and_never_fails_later(text):
    try:
        check_template(text, KEY_FIELDS)
    except ValueError:
        return
    assert len(render(text, fields_of_key("a/b.jpg")) or "") <= 300


@given(st.text(min_size=301), st.text(min_size=301))
def test_cut_titles_stay_different(one, other):
    assert len(cut(one)) == 300
    assert (cut(one) == cut(other)) == (one == other)


def test_a_title_that_fits_stays():
    assert cut("x" * 300) == "x" * 300


@given(st.text(min_size=1, max_size=1024))
def test_a_short_title_is_never_too_long(key):
    assert len(short_title(key) or "") <= 300
