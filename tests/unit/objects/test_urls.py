"""URLs: what is built, what is read, and that reading undoes building."""

from __future__ import annotations

from typing import get_args

import pytest
from botocore.loaders import Loader
from hypothesis import given
from hypothesis import strategies as st

from cloud_sync.errors import ConfigError, ManifestError
from cloud_sync.integration.storage import STYLES, UrlStyleName
from cloud_sync.objects.addresses import ObjectAddress, endpoint_behind, key_in_bucket, parse_object_url
from cloud_sync.objects.url_bases import BASE_BUILDERS
from cloud_sync.objects.urls import ObjectUrls, UrlStyle
from tests.unit.manifest.samples import SECRET_URLS

ARN = "arn:aws:s3::123456789012:accesspoint/mfzwi23gnjvgw.mrap"
ENDPOINT = "http://store.local:8333"
ACCOUNT = "https://acct.blob.core.windows.net"
AZURITE = "http://127.0.0.1:10000/devstoreaccount1"

KEYS = st.text(st.characters(exclude_categories=("Cs",)), min_size=1).filter(
    lambda key: len(key.encode()) <= 1024
)

EVERY_STYLE = [
    ObjectUrls("s3", "media", UrlStyle.VIRTUAL_HOSTED, region="eu-west-2"),
    ObjectUrls("s3", "media", UrlStyle.PATH, region="eu-west-2"),
    ObjectUrls("s3", "media", UrlStyle.S3),
    ObjectUrls("s3", ARN, UrlStyle.MRAP, mrap_arn=ARN),
    ObjectUrls("s3", "media", UrlStyle.PATH, endpoint_url=ENDPOINT),
    ObjectUrls("s3", "media", UrlStyle.VIRTUAL_HOSTED, endpoint_url=ENDPOINT),
    ObjectUrls("gcs", "media", UrlStyle.GS),
    ObjectUrls("gcs", "media", UrlStyle.HTTPS),
    ObjectUrls("azure", "media", UrlStyle.HTTPS, endpoint_url=ACCOUNT),
    ObjectUrls("azure", "media", UrlStyle.HTTPS, endpoint_url=f"{AZURITE}/"),
    ObjectUrls("azure", "$root", UrlStyle.HTTPS, endpoint_url=ACCOUNT),
    ObjectUrls("otc", "media", UrlStyle.VIRTUAL_HOSTED, region="eu-de"),
    ObjectUrls("otc", "media", UrlStyle.PATH, region="eu-de"),
    ObjectUrls("otc", "media", UrlStyle.PATH, endpoint_url=ENDPOINT),
]


@pytest.mark.parametrize(
    ("urls", "expected"),
    list(
        zip(
            EVERY_STYLE,
            [
                "https://media.s3.eu-west-2.amazonaws.com/raw/a%20b%2B1.jpg",
                "https://s3.eu-west-2.amazonaws.com/media/raw/a%20b%2B1.jpg",
                "s3://media/raw/a%20b%2B1.jpg",
                f"{ARN}/raw/a%20b%2B1.jpg",
                "http://store.local:8333/media/raw/a%20b%2B1.jpg",
                "http://media.store.local:8333/raw/a%20b%2B1.jpg",
                "gs://media/raw/a%20b%2B1.jpg",
                "https://storage.cloud.google.com/media/raw/a%20b%2B1.jpg",
                "https://acct.blob.core.windows.net/media/raw/a%20b%2B1.jpg",
                "http://127.0.0.1:10000/devstoreaccount1/media/raw/a%20b%2B1.jpg",
                "https://acct.blob.core.windows.net/$root/raw/a%20b%2B1.jpg",
                "https://media.obs.eu-de.otc.t-systems.com/raw/a%20b%2B1.jpg",
                "https://obs.eu-de.otc.t-systems.com/media/raw/a%20b%2B1.jpg",
                "http://store.local:8333/media/raw/a%20b%2B1.jpg",
            ],
            strict=True,
        )
    ),
)
def test_each_style_is_written_as_documented(urls: ObjectUrls, expected: str):
    assert urls.build("raw/a b+1.jpg") == expected


@pytest.mark.parametrize(
    ("provider", "region", "base"),
    [
        ("s3", "cn-north-1", "https://media.s3.cn-north-1.amazonaws.com.cn/"),
        ("s3", "us-gov-west-1", "https://media.s3.us-gov-west-1.amazonaws.com/"),
        ("s3", "eusc-de-east-1", "https://media.s3.eusc-de-east-1.amazonaws.eu/"),
        ("otc", "eu-ch2", "https://media.obs.eu-ch2.sc.otc.t-systems.com/"),
    ],
)
def test_some_regions_have_a_domain_of_their_own(provider: str, region: str, base: str):
    assert ObjectUrls(provider, "media", region=region).base == base


def test_the_domains_of_aws_are_those_that_its_own_library_has():
    partitions = Loader().load_data("partitions")["partitions"]
    for partition in partitions:
        for region in partition["regions"]:
            if not region.endswith("-global"):
                urls = ObjectUrls("s3", "media", region=region)
                assert urls.base == f"https://media.s3.{region}.{partition['outputs']['dnsSuffix']}/"
                assert urls.key_of(urls.build("a b")) == "a b"


@pytest.mark.parametrize("urls", EVERY_STYLE, ids=lambda urls: urls.base)
@given(key=KEYS)
def test_reading_undoes_building(urls: ObjectUrls, key: str):
    url = urls.build(key)

    assert urls.parse(url) == key
    assert parse_object_url(url, urls.provider, urls.endpoint_url) == ObjectAddress(
        urls.provider, urls.bucket, key
    )


@pytest.mark.parametrize(
    "key",
    [
        *[
            "a b",
            "a+b",
            "a%20b",
            "a#b",
            "a?b",
            "a//b",
            "a/",
            "/a",
            "//",
            "é",
            "e\u0301",
            "😀",
            "a\nb",
            "x" * 1024,
        ],
        *["a/./b", "a/../b", "..", "a\\b", "$root", "gs://b/c", "é" * 512],
    ],
)
def test_known_odd_keys_survive(key: str):
    for urls in EVERY_STYLE:
        url = urls.build(key)
        assert urls.parse(url) == key
        assert urls.key_of(url) == key


@given(keys=st.lists(KEYS, max_size=20))
def test_urls_hold_only_safe_characters_and_differ_as_keys_do(keys: list[str]):
    urls = EVERY_STYLE[0].build_many(keys)

    assert len(set(urls)) == len(set(keys))
    for url in urls:
        assert url.isascii()
        assert not set(url) & set(" \t\n+#?\"'<>\\")
        assert len(url) <= 16 * 1024


def test_many_urls_are_the_single_ones_in_order():
    keys = [f"raw/{number}{' +' if number % 1_500 == 7 else ''}.jpg" for number in range(3_500)]

    assert EVERY_STYLE[0].build_many(keys) == [EVERY_STYLE[0].build(key) for key in keys]
    assert EVERY_STYLE[0].build_many([]) == []


def test_a_url_over_the_limit_is_refused_with_its_key():
    with pytest.raises(ManifestError, match=r"object 'x+'.*bytes; Encord accepts 16,384"):
        EVERY_STYLE[0].build("x" * 16_384)


@pytest.mark.parametrize(
    "url",
    [
        "https://media.s3.eu-west-2.amazonaws.com/raw/a.jpg",
        "https://media.s3.dualstack.eu-west-2.amazonaws.com/raw/a.jpg",
        "https://s3.eu-west-2.amazonaws.com/media/raw/a.jpg",
        "s3://media/raw/a.jpg",
        "S3://media/raw/a.jpg",
        "https://media.s3.amazonaws.com/raw/a.jpg",
        "https://s3.amazonaws.com/media/raw/a.jpg",
        "https://media.s3-eu-west-2.amazonaws.com/raw/a.jpg",
        "https://s3-eu-west-2.amazonaws.com/media/raw/a.jpg",
        "https://MEDIA.S3.amazonaws.com/raw/a.jpg",
        "https://s3-external-1.amazonaws.com/media/raw/a.jpg",
        "https://media.s3-external-1.amazonaws.com/raw/a.jpg",
        "https://media.s3-fips.us-east-1.amazonaws.com/raw/a.jpg",
        "https://s3-fips.dualstack.us-east-1.amazonaws.com/media/raw/a.jpg",
        "https://media.s3-accelerate.dualstack.amazonaws.com/raw/a.jpg",
        "https://media.s3.eu-west-2.amazonaws.com:443/raw/a.jpg",
        "http://media.s3.eu-west-2.amazonaws.com:80/raw/a.jpg",
        "https://media.s3.eusc-de-east-1.amazonaws.eu/raw/a.jpg",
        "https://media.s3.us-iso-east-1.c2s.ic.gov/raw/a.jpg",
    ],
)
def test_every_documented_form_of_s3_is_read(url: str):
    assert parse_object_url(url, "s3") == ObjectAddress("s3", "media", "raw/a.jpg")


@pytest.mark.parametrize("provider", ["s3", "otc"])
@pytest.mark.parametrize("base", ["http://store.local:8333/media", "http://MEDIA.store.local:8333"])
def test_both_forms_of_a_store_of_ones_own_are_read(provider: str, base: str):
    address = parse_object_url(f"{base.replace('MEDIA', 'media')}/raw/a.jpg", provider, f"{ENDPOINT}/")
    assert address == ObjectAddress(provider, "media", "raw/a.jpg")


@pytest.mark.parametrize(
    "url",
    [
        "gs://media/raw/a+b.jpg",
        "GS://media/raw/a%2Bb.jpg",
        "https://storage.cloud.google.com/media/raw/a+b.jpg",
        "https://storage.googleapis.com/media/raw/a%2bb.jpg",
        "https://media.storage.googleapis.com/raw/a+b.jpg",
    ],
)
def test_every_form_of_google_is_read(url: str):
    assert parse_object_url(url, "gcs") == ObjectAddress("gcs", "media", "raw/a+b.jpg")


@pytest.mark.parametrize(
    ("account_url", "url", "container", "key"),
    [
        (ACCOUNT, f"{ACCOUNT}/media/raw/a+b.jpg", "media", "raw/a+b.jpg"),
        (ACCOUNT, "https://ACCT.blob.core.windows.net/media/a.jpg", "media", "a.jpg"),
        (ACCOUNT, f"{ACCOUNT}/a%20b.jpg", "$root", "a b.jpg"),
        (ACCOUNT, f"{ACCOUNT}/%24root/a.jpg", "$root", "a.jpg"),
        (AZURITE, f"{AZURITE}/media/a.jpg", "media", "a.jpg"),
        *(
            (f"https://acct.blob.{cloud}", f"https://acct.blob.{cloud}/media/a.jpg", "media", "a.jpg")
            for cloud in ("core.chinacloudapi.cn", "core.usgovcloudapi.net", "storage.azure.net")
        ),
    ],
)
def test_every_form_of_an_azure_account_is_read(account_url: str, url: str, container: str, key: str):
    assert parse_object_url(url, "azure", account_url) == ObjectAddress("azure", container, key)


@pytest.mark.parametrize(
    "url",
    [
        "https://media.obs.eu-de.otc.t-systems.com/raw/a+b.jpg",
        "https://obs.eu-nl.otc.t-systems.com/media/raw/a%2Bb.jpg",
        "https://media.obs.eu-ch2.sc.otc.t-systems.com/raw/a+b.jpg",
    ],
)
def test_every_form_of_open_telekom_cloud_is_read(url: str):
    assert parse_object_url(url, "otc") == ObjectAddress("otc", "media", "raw/a+b.jpg")


@pytest.mark.parametrize(
    ("provider", "endpoint_url", "url"),
    [
        ("otc", "https://obs.eu-de.otc.t-systems.com", "https://media.obs.eu-nl.otc.t-systems.com/a.jpg"),
        ("s3", "https://s3.eu-west-2.amazonaws.com", "https://media.s3.amazonaws.com/a.jpg"),
    ],
)
def test_a_clouds_own_endpoint_leaves_its_other_forms_readable(provider: str, endpoint_url: str, url: str):
    assert parse_object_url(url, provider, endpoint_url) == ObjectAddress(provider, "media", "a.jpg")


def test_the_access_point_is_the_bucket():
    assert parse_object_url(f"{ARN}/raw/a.jpg", "s3") == ObjectAddress("s3", ARN, "raw/a.jpg")


def test_the_host_of_an_access_point_is_read_where_its_arn_is_known():
    alias = ARN.rpartition("/")[2]
    url = f"https://{alias}.accesspoint.s3-global.amazonaws.com/raw/a.jpg"
    assert parse_object_url(url, "s3") == ObjectAddress("s3", alias, "raw/a.jpg")
    assert ObjectUrls("s3", "media", UrlStyle.MRAP, mrap_arn=ARN).key_of(url) == "raw/a.jpg"
    with pytest.raises(ConfigError, match="none of the bucket media"):
        ObjectUrls("s3", "media", region="eu-west-2").key_of(url)


@pytest.mark.parametrize(
    ("url", "bucket"),
    [
        ("https://my.dotted.bucket.s3.eu-west-2.amazonaws.com/a", "my.dotted.bucket"),
        ("https://my.s3.data.s3.us-gov-west-1.amazonaws.com/a", "my.s3.data"),
        ("https://media-s3.s3.amazonaws.com/a", "media-s3"),
    ],
)
def test_buckets_with_dots(url: str, bucket: str):
    assert parse_object_url(url, "s3") == ObjectAddress("s3", bucket, "a")


def test_a_google_bucket_with_dots():
    url = "https://www.example.com.storage.googleapis.com/a"
    assert parse_object_url(url, "gcs") == ObjectAddress("gcs", "www.example.com", "a")


def test_a_bare_plus_is_a_space_where_s3_reads_it_so():
    documented = "https://cord-dev.s3.eu-west-2.amazonaws.com/food/1-Light+Environment/1+(32).jpg"

    assert parse_object_url(documented, "s3").key == "food/1-Light Environment/1 (32).jpg"
    assert parse_object_url("s3://media/a+b.jpg", "s3").key == "a+b.jpg"


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("https://media.s3.eu-west-2.amazonaws.com/a b.jpg", "whitespace"),
        ("s3://media/a\u00a0b.jpg", "whitespace"),
        ("https://example.com/media/a.jpg", "no known form"),
        ("https://media.s3.evil.com/a.jpg", "no known form"),
        ("https://media.s3.eu-west-2.amazonaws.com:80/a.jpg", "no known form"),
        ("https://s3.amazonaws.com.evil.com/media/a.jpg", "no known form"),
        ("ftp://media.s3.amazonaws.com/a.jpg", "no known form"),
        ("media/a.jpg", "no known form"),
        ("s3://media", "names no bucket and object"),
        ("s3://media/", "names no bucket and object"),
        ("https://media.s3.eu-west-2.amazonaws.com/%FF.jpg", "UTF-8"),
        ("arn:aws:s3::123456789012:accesspoint/x.mrap", "no known form"),
    ],
)
def test_other_urls_are_refused_by_name(url: str, fault: str):
    with pytest.raises(ConfigError, match=fault):
        parse_object_url(url, "s3")


@pytest.mark.parametrize(
    ("provider", "url", "fault"),
    [
        ("gcs", "s3://media/a.jpg", "no known form.*gs://<bucket>"),
        ("gcs", "https://storage.googleapis.com.evil.com/media/a.jpg", "no known form"),
        ("gcs", "https://media.storage.cloud.google.com/a.jpg", "no known form"),
        ("gcs", "gs://media/a b.jpg", "whitespace"),
        ("gcs", "https://storage.googleapis.com/media/a.jpg?X-Goog-Signature=1", "carries a query"),
        ("gcs", "gs://media", "names no bucket and object"),
        ("azure", "https://other.blob.core.windows.net/media/a.jpg", "no known form.*<container>"),
        ("azure", "https://acct.blob.core.windows.net.evil.com/media/a.jpg", "no known form"),
        ("azure", f"{ACCOUNT}/media/", "names no bucket and object"),
        ("azure", f"{ACCOUNT}/", "names no bucket and object"),
        ("azure", f"{ACCOUNT}/media/a.jpg?sv=1&sig=secret", "carries a query"),
        ("otc", "https://media.obs.eu-de.otc.t-systems.com.evil.com/a.jpg", "no known form"),
        ("otc", "https://media.s3.eu-west-2.amazonaws.com/a.jpg", "no known form.*obs.<region>"),
        ("otc", "s3://media/a.jpg", "no known form"),
    ],
)
def test_urls_of_another_store_are_refused_by_name(provider: str, url: str, fault: str):
    with pytest.raises(ConfigError, match=fault) as caught:
        parse_object_url(url, provider, ACCOUNT if provider == "azure" else None)
    assert "secret" not in str(caught.value)


def test_a_refusal_never_repeats_the_query():
    with pytest.raises(ConfigError, match="carries a query") as caught:
        parse_object_url("https://media.s3.eu-west-2.amazonaws.com/a.jpg?X-Amz-Signature=c4fe", "s3")

    assert "c4fe" not in str(caught.value)
    assert "a.jpg" in str(caught.value)


def test_a_url_of_another_base_is_not_parsed():
    with pytest.raises(ConfigError, match="does not start with"):
        EVERY_STYLE[0].parse("https://other.s3.eu-west-2.amazonaws.com/a.jpg")


@pytest.mark.parametrize("style", [UrlStyle.VIRTUAL_HOSTED, UrlStyle.PATH])
def test_aws_urls_need_the_region(style: UrlStyle):
    with pytest.raises(ConfigError, match=r"region.*region_name"):
        ObjectUrls("s3", "media", style)


@pytest.mark.parametrize("arn", [None, "arn:aws:s3:::media", ARN + "/x"])
def test_the_style_mrap_needs_the_arn(arn: str | None):
    with pytest.raises(ConfigError, match="mrap_arn"):
        ObjectUrls("s3", "media", UrlStyle.MRAP, mrap_arn=arn)


@pytest.mark.parametrize(
    "endpoint", ["store.local:8333", "http://user:secret@host", "http://host?x=secret", "ftp://host"]
)
def test_a_bad_endpoint_is_refused_without_repeating_it(endpoint: str):
    with pytest.raises(ConfigError, match="endpoint_url") as caught:
        ObjectUrls("s3", "media", UrlStyle.PATH, endpoint_url=endpoint)

    assert "secret" not in str(caught.value)


def test_azure_urls_need_the_account():
    with pytest.raises(ConfigError, match=r"container media: the storage account is unknown.*host"):
        ObjectUrls("azure", "media", UrlStyle.HTTPS)


def test_urls_of_open_telekom_cloud_need_the_region():
    with pytest.raises(ConfigError, match=r"region.*region_name"):
        ObjectUrls("otc", "media")


@pytest.mark.parametrize(
    "account_url", ["acct.blob.core.windows.net", f"{ACCOUNT}?sig=secret", "https://u:secret@acct.example"]
)
def test_a_bad_account_url_is_refused_without_repeating_it(account_url: str):
    with pytest.raises(ConfigError, match="Set the host of the connection") as caught:
        ObjectUrls("azure", "media", UrlStyle.HTTPS, endpoint_url=account_url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "10.0.0.7:9000", "[::1]:8333"])
def test_a_bucket_does_not_stand_in_front_of_an_ip_address(host: str):
    with pytest.raises(ConfigError, match="url_style: path"):
        ObjectUrls("s3", "media", UrlStyle.VIRTUAL_HOSTED, endpoint_url=f"http://{host}")


def test_an_unknown_provider_names_what_there_is():
    with pytest.raises(ConfigError, match="s3/virtual-hosted"):
        ObjectUrls("ftp", "media")


@pytest.mark.parametrize(
    ("provider", "style"),
    [
        ("gcs", "path"),
        ("gcs", "s3"),
        ("azure", "virtual-hosted"),
        ("otc", "s3"),
        ("s3", "gs"),
        ("s3", "https"),
    ],
)
def test_a_style_of_another_provider_is_refused(provider: str, style: str):
    with pytest.raises(ConfigError, match=f"there are no {provider} URLs in the style {style}"):
        ObjectUrls(provider, "media", UrlStyle(style), region="eu-de", endpoint_url=ENDPOINT)


def test_every_style_of_an_integration_file_can_be_written():
    styles = {(provider, style) for provider, names in STYLES.items() for style in names}
    assert styles == set(BASE_BUILDERS)
    assert set(get_args(UrlStyleName)) == set(UrlStyle)


class TestOfABucket:
    """Which URLs are a bucket's own, and in the form in which it writes them."""

    @pytest.mark.parametrize("urls", EVERY_STYLE, ids=lambda urls: urls.base)
    @given(key=KEYS)
    def test_what_is_built_is_own(self, urls: ObjectUrls, key: str):
        assert urls.is_own(urls.build(key))

    @pytest.mark.parametrize(
        "path", ["", "a+(1).jpg", "a%2fb", "%61.jpg", "a%zz", "%ff.jpg", "a.jpg?x=1", "a b.jpg", "é.jpg"]
    )
    def test_what_would_be_built_otherwise_is_not_own(self, path: str):
        for urls in EVERY_STYLE:
            assert not urls.is_own(urls.base + path)

    def test_what_begins_otherwise_is_not_own(self):
        assert not EVERY_STYLE[0].is_own("a.jpg")
        assert not EVERY_STYLE[0].is_own(EVERY_STYLE[1].build("a.jpg"))

    @pytest.mark.parametrize(
        ("urls", "url", "key"),
        [
            (EVERY_STYLE[0], "https://s3.eu-west-2.amazonaws.com/media/a.jpg", "a.jpg"),
            (EVERY_STYLE[0], "https://media.s3.amazonaws.com/a+(1).jpg", "a (1).jpg"),
            (EVERY_STYLE[0], "S3://media/a.jpg", "a.jpg"),
            (EVERY_STYLE[2], "https://media.s3.eu-west-2.amazonaws.com/%61.jpg", "a.jpg"),
            (ObjectUrls("s3", "media", UrlStyle.S3, mrap_arn=ARN), f"{ARN}/a.jpg", "a.jpg"),
            (EVERY_STYLE[4], "http://media.store.local:8333/a+b.jpg", "a+b.jpg"),
            (EVERY_STYLE[5], f"{ENDPOINT}/media/a.jpg", "a.jpg"),
            (EVERY_STYLE[4], "s3://media/a.jpg", "a.jpg"),
            (EVERY_STYLE[6], "https://storage.googleapis.com/media/a.jpg", "a.jpg"),
            (EVERY_STYLE[7], "gs://media/a.jpg", "a.jpg"),
            (EVERY_STYLE[8], "https://ACCT.blob.core.windows.net/media/a.jpg", "a.jpg"),
            (EVERY_STYLE[10], f"{ACCOUNT}/a.jpg", "a.jpg"),
            (EVERY_STYLE[11], "https://obs.eu-de.otc.t-systems.com/media/a.jpg", "a.jpg"),
        ],
    )
    def test_the_key_of_a_url_in_another_form(self, urls: ObjectUrls, url: str, key: str):
        assert urls.key_of(url) == key
        assert not urls.is_own(url)

    @pytest.mark.parametrize("urls", EVERY_STYLE, ids=lambda urls: urls.base)
    @pytest.mark.parametrize("key", ["a b", "a+b", "é", "a//b"])
    def test_the_key_of_a_url_in_the_own_form(self, urls: ObjectUrls, key: str):
        assert urls.key_of(urls.build(key)) == key

    @pytest.mark.parametrize(
        "url",
        [
            "https://other.s3.eu-west-2.amazonaws.com/a.jpg",
            "s3://other/a.jpg",
            "s3://media/",
            "gs://media/a.jpg",
            "a.jpg",
            "https://media.s3.eu-west-2.amazonaws.com/a.jpg?X-Amz-Signature=1",
            "https://media.s3.eu-west-2.amazonaws.com/a b.jpg",
        ],
    )
    def test_other_urls_have_no_key(self, url: str):
        with pytest.raises(ConfigError):
            EVERY_STYLE[0].key_of(url)

    @pytest.mark.parametrize("urls", EVERY_STYLE, ids=lambda urls: urls.base)
    def test_a_url_of_another_bucket_has_no_key(self, urls: ObjectUrls):
        if urls.provider == "s3" and urls.mrap_arn:
            other = "s3://other/a.jpg"
        else:
            other = ObjectUrls(
                urls.provider, "other", urls.style, region=urls.region, endpoint_url=urls.endpoint_url
            ).build("a.jpg")
        with pytest.raises(ConfigError, match="is none of the bucket"):
            urls.key_of(other)

    def test_a_bucket_of_aws_is_none_of_another_store(self):
        with pytest.raises(ConfigError, match="is none of the bucket media"):
            EVERY_STYLE[4].key_of("https://media.s3.eu-west-2.amazonaws.com/a.jpg")


@pytest.mark.parametrize("urls", EVERY_STYLE, ids=lambda urls: urls.base)
def test_a_bucket_is_read_by_what_its_urls_start_with(urls: ObjectUrls):
    endpoint_url = endpoint_behind(urls.base, urls.provider, urls.bucket)
    key = key_in_bucket(urls.build("a b.jpg"), urls.provider, urls.bucket, endpoint_url, urls.mrap_arn)
    assert key == "a b.jpg"


@pytest.mark.parametrize("url", SECRET_URLS)
def test_errors_repeat_no_secret_of_a_url(url):
    with pytest.raises(ConfigError) as caught:
        parse_object_url(url, "s3")
    assert "secret" not in str(caught.value)
