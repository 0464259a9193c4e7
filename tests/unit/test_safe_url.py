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


@pytest.mark.parametrize(
    ("url", "bare"),
    [
        ("https://b.example/k.jpg?X-Amz-Signature=cafe&a=b", "https://b.example/k.jpg"),
        ("https://b.example/k.jpg#part?x", "https://b.example/k.jpg"),
        ("https://me@home:pass@b.example/k.jpg", "https://b.example/k.jpg"),
        ("https://b.example?sig=cafe", "https://b.example"),
        ("no url?sig=cafe", "no url"),
        ("", ""),
    ],
)
def test_a_url_is_cut(url, bare):
    assert without_secrets(url) == bare


@pytest.mark.parametrize(
    "url",
    [
        "https://b.s3.eu-central-1.amazonaws.com/a%20b/it's%3F%23.jpg",
        "s3://b/me@home/k.jpg",
        "gs://b/k://x@y.jpg",
        "https://account.blob.core.windows.net/c/k.jpg",
        "s3://arn:aws:s3::123456789012:accesspoint/mrap.mrap/k.jpg",
        "http://127.0.0.1:9000/b/k.jpg",
    ],
)
def test_an_object_url_comes_back_as_it_is(url):
    assert without_secrets(url) == url


@given(st.text())
def test_any_text_comes_back_shorter_or_as_it_is(text):
    assert len(without_secrets(text)) <= len(text)
    assert not {"?", "#"} & set(without_secrets(text))
