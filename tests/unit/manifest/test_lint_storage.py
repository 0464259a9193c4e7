"""Object URLs beside those of an integration."""

from __future__ import annotations

import pytest

from cloud_sync.manifest.lint_storage import lint_storage
from cloud_sync.objects.urls import ObjectUrls, UrlStyle
from tests.unit.manifest.samples import B, example, read

URLS = ObjectUrls("s3", "b", region="eu-central-1")


def videos(*urls: str) -> str:
    entries = ",\n".join(f'{{"objectUrl": "{url}"}}' for url in urls)
    return f'{{"videos": [\n{entries}\n]}}'


def found(*urls: str, of: ObjectUrls = URLS) -> list[str]:
    return [str(finding) for finding in lint_storage(read(videos(*urls)), of)]


def test_own_urls_say_nothing():
    assert URLS.base == B
    assert found(f"{B}a.mp4", f"{B}deep/a%20b.mp4") == []


def test_another_form_is_counted_and_shown_once():
    path_style = "https://s3.eu-central-1.amazonaws.com/b/"
    assert found(f"{B}a.mp4", f"{path_style}1.mp4", f"{path_style}2.mp4", "s3://b/3.mp4") == [
        "warning [url-other-form] line 3, column 1, videos[1] and on: 3 object URLs of the integration's "
        f"bucket are written otherwise than the sync writes them, such as {path_style}1.mp4; Encord tells "
        "duplicates by the exact URL, so these files can be in the dataset twice. Write them so that they "
        f"begin with {B}, percent-encoded."
    ]


@pytest.mark.parametrize("url", [f"{B}a+b.mp4", f"{B}%61.mp4", f"{B}ü.mp4"])
def test_another_encoding_is_another_form(url):
    [finding] = found(url)
    assert finding.startswith("warning [url-other-form] line 2, column 1, videos[0]: 1 object URLs")


@pytest.mark.parametrize("url", ["s3://other/a.mp4", "gs://b/a.mp4", "https://example.com/a.mp4", "a.mp4"])
def test_another_bucket(url):
    [finding] = found(url)
    assert finding.startswith("warning [url-other-storage]")
    assert f"such as {url};" in finding
    assert finding.endswith(f"Check that this is the right integration; its URLs begin with {B}.")


def test_no_query_is_shown():
    [finding] = found(f"{B}a.mp4?token=secret")
    assert "secret" not in finding


def test_both_at_once_and_every_file_of_a_group_counts():
    manifest = example("image_groups.json")
    [finding] = lint_storage(manifest, URLS)
    assert finding.code == "url-other-storage"
    assert finding.message.startswith("4 object URLs")
    both = lint_storage(read(videos("s3://b/a.mp4", "s3://c/a.mp4")), URLS)
    assert [one.code for one in both] == ["url-other-form", "url-other-storage"]


def test_the_style_of_the_integration_decides():
    assert found("s3://b/a.mp4", of=ObjectUrls("s3", "b", UrlStyle.S3)) == []


ACCOUNT = "https://acct.blob.core.windows.net"
OTHER_PROVIDERS = {
    "gcs": ObjectUrls("gcs", "b", UrlStyle.GS),
    "azure": ObjectUrls("azure", "b", UrlStyle.HTTPS, endpoint_url=ACCOUNT),
    "otc": ObjectUrls("otc", "b", region="eu-de"),
}


@pytest.mark.parametrize(
    ("provider", "url", "code"),
    [
        ("gcs", "gs://b/a.mp4", None),
        ("gcs", "https://storage.cloud.google.com/b/a.mp4", "url-other-form"),
        ("gcs", "https://storage.cloud.google.com/c/a.mp4", "url-other-storage"),
        ("azure", f"{ACCOUNT}/b/a.mp4", None),
        ("azure", "https://ACCT.blob.core.windows.net/b/a.mp4", "url-other-form"),
        ("azure", "https://other.blob.core.windows.net/b/a.mp4", "url-other-storage"),
        ("otc", "https://b.obs.eu-de.otc.t-systems.com/a.mp4", None),
        ("otc", "https://obs.eu-de.otc.t-systems.com/b/a.mp4", "url-other-form"),
        ("otc", "s3://b/a.mp4", "url-other-storage"),
    ],
)
def test_each_provider_knows_its_own_forms(provider, url, code):
    manifest = read(videos(url))
    assert [one.code for one in lint_storage(manifest, OTHER_PROVIDERS[provider])] == ([code] if code else [])
