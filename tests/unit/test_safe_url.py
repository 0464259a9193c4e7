"""URLs in messages hold no secret."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_sync.safe_url import without_secrets
from tests.unit.manifest.samples import SECRET_URLS


@pytest.mark.parametrize("url", SECRET_URLS)
def test_what_can_be_a_password_is_taken_out(url):
    assert without_secrets(url) == "https://b/k"


@pytest.mark.parametrize("url", ["s3://b/a@b/c.jpg", "a@b.jpg", "", "arn:aws:s3::1:accesspoint/a.mrap/x@y"])
def test_all_else_stays(url):
    assert without_secrets(url) == url


@given(st.text())
def test_any_text_comes_back_shorter_or_as_it_is(text):
    assert len(without_secrets(text)) <= len(text)
    assert not {"?", "#"} & set(without_secrets(text))
