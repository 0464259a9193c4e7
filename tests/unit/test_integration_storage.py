"""The section `storage` of an integration file: what cannot be is refused, with what to write instead."""

from __future__ import annotations

import re

import pytest

from cloud_sync.integration import Storage, doubts_about, load_integration
from tests.unit.test_integration import MINIMAL, STORAGES, error_of, of_provider, write


def storage_error(tmp_path, fields: str) -> str:
    """Return what is said of the fields of `storage`, without the file."""
    text = MINIMAL.replace("provider: s3, connection_id: aws, bucket: recordings", fields)
    return error_of(write(tmp_path, text)).removeprefix(f"{tmp_path}/one.yaml, ")


def bucket_error(tmp_path, provider: str, bucket: str, extra: str = "") -> str:
    fields = STORAGES.get(provider, f"provider: {provider}, connection_id: aws, bucket: recordings")
    return storage_error(tmp_path, fields.replace("bucket: recordings", f"bucket: '{bucket}'{extra}"))


@pytest.mark.parametrize(
    ("provider", "bucket", "broken", "meant"),
    [
        ("s3", "Recordings", "has capital letters: a bucket of S3 has 3 to 63", "recordings"),
        ("s3", "my_media", "has underscores", "my-media"),
        ("s3", "my media", "has spaces", "my-media"),
        ("s3", "-media", "does not begin and end with a letter or digit", "media"),
        ("s3", "my..media", "has two dots in a row", "my-media"),
        ("s3", "ab", "has 2 characters", None),
        ("s3", "m" * 64, "has 64 characters", None),
        ("s3", "m" * 256, "has 256 characters", None),
        ("s3", "médias", "has the character 'é'", None),
        ("gcs", "My_Media", "has capital letters: a bucket of Google has", "my_media"),
        ("gcs", "m" * 64, "has more than 63 characters without a dot", None),
        ("gcs", ".".join(["m" * 60] * 4), "has 243 characters", None),
        ("gcs", "media_", "does not begin and end", "media"),
        ("azure", "Recordings", "has capital letters: a container has 3 to 63", "recordings"),
        ("azure", "re", "has 2 characters", None),
        ("azure", "a--b", "has two hyphens in a row", "a-b"),
        ("azure", "-ab", "does not begin and end", None),
        ("azure", "a_b_c", "has underscores", "a-b-c"),
        ("azure", "a.b.c", "has dots", "a-b-c"),
        ("azure", "$logs2", "has the character '$'", None),
        ("otc", "my_media", "has underscores: a bucket of OBS has 3 to 63", "my-media"),
        ("otc", "my.-media", "has a dot beside a hyphen", "my-media"),
    ],
)
def test_a_name_that_no_bucket_has_is_refused_with_the_rule(tmp_path, provider, bucket, broken, meant):
    error = bucket_error(tmp_path, provider, bucket)
    assert error.startswith("line 2, storage.bucket: '")
    assert broken in error
    assert (f"Did you mean {meant}?" in error) if meant else ("Did you mean" not in error)


@pytest.mark.parametrize(
    ("provider", "bucket"),
    [
        ("s3", "my-media-2"),
        ("s3", "my.media"),
        ("s3", "123"),
        ("s3", "m" * 63),
        ("gcs", "my_media.example.com"),
        ("gcs", ".".join(["m" * 63, "n" * 63, "o" * 63])),
        ("gcs", "google-public"),
        ("azure", "$root"),
        ("azure", "$web"),
        ("azure", "rec-1-2"),
        ("otc", "my.media"),
    ],
)
def test_names_that_buckets_have_are_good(tmp_path, provider, bucket):
    fields = STORAGES.get(provider, "provider: s3, connection_id: aws, bucket: recordings")
    text = MINIMAL.replace(
        "provider: s3, connection_id: aws, bucket: recordings",
        fields.replace("bucket: recordings", f"bucket: '{bucket}'"),
    )
    assert load_integration(write(tmp_path, text)).storage.bucket == bucket


@pytest.mark.parametrize("bucket", ["Old_Media", "m" * 255, "my_media"])
@pytest.mark.parametrize("style", ["path", "s3"])
def test_old_names_of_s3_are_good_where_they_stand_in_no_host_name(tmp_path, bucket, style):
    text = MINIMAL.replace("bucket: recordings", f"bucket: {bucket}, url_style: {style}")
    assert load_integration(write(tmp_path, text)).storage.bucket == bucket
    assert "write url_style: path." in bucket_error(tmp_path, "s3", bucket)


@pytest.mark.parametrize(
    ("provider", "bucket", "instead"),
    [
        ("s3", "s3://media/raw/", "`bucket: media` and `prefix: raw/`."),
        ("s3", "s3://media", "`bucket: media`."),
        ("s3", "s3://media/raw/*.jpg", "`bucket: media` and `prefix: raw/`."),
        ("s3", "gs://media/raw/", "`provider: gcs`, `bucket: media` and `prefix: raw/`."),
        ("azure", "abfss://media@acc.dfs.core.windows.net/raw", "`bucket: media` and `prefix: raw`."),
        ("azure", "https://acc.blob.core.windows.net/media/raw", "`bucket: media` and `prefix: raw`."),
        ("s3", "https://media.s3.eu-central-1.amazonaws.com/raw/", "`bucket: media` and `prefix: raw/`."),
        ("s3", "https://s3.eu-central-1.amazonaws.com/media", "`bucket: media`."),
        ("otc", "obs://media/", "`bucket: media`."),
        ("s3", "arn:aws:s3:::media/raw/*", "`bucket: media` and `prefix: raw/`."),
        ("s3", "media/raw/", "`bucket: media`, and the part behind the slash as the prefix: `prefix: raw/`."),
        ("s3", "media/", "`bucket: media`."),
    ],
)
def test_an_address_is_taken_apart(tmp_path, provider, bucket, instead):
    error = bucket_error(tmp_path, provider, bucket)
    assert error == f"line 2, storage.bucket: write the bucket's name alone: {instead}"


@pytest.mark.parametrize(
    "bucket", ["localhost:9000/media", "//media", "https://console.example.com/x", "a:b"]
)
def test_other_addresses_are_refused(tmp_path, bucket):
    assert "the bucket's name alone, without the address of its store" in bucket_error(tmp_path, "s3", bucket)


def test_the_address_of_a_store_belongs_into_the_connection(tmp_path):
    assert "192.168.5.4 is the address of a store." in bucket_error(tmp_path, "s3", "192.168.5.4")


@pytest.mark.parametrize("bucket", ["https://x.example/c?sig=canary", "https://me:canary@x.example/c"])
def test_no_secret_of_an_address_is_repeated(tmp_path, bucket):
    assert "canary" not in bucket_error(tmp_path, "azure", bucket)
    assert "canary" not in storage_error(tmp_path, f"{STORAGES['azure']}, url_style: '{bucket}'")


def test_the_arn_of_an_access_point_is_no_bucket(tmp_path):
    error = bucket_error(tmp_path, "s3", "arn:aws:s3::123456789012:accesspoint/abc.mrap")
    assert "Write it as mrap_arn, with url_style: mrap, and here the name of one of the buckets" in error


def test_an_arn_that_is_none_is_refused(tmp_path):
    error = bucket_error(tmp_path, "s3", "media", ", url_style: mrap, mrap_arn: abc.mrap")
    assert error == (
        "line 2, storage.mrap_arn: 'abc.mrap' is no such ARN: "
        "write arn:aws:s3::<account>:accesspoint/<alias>.mrap."
    )


@pytest.mark.parametrize(
    ("prefix", "instead"),
    [
        ("s3://recordings/cams/", "a prefix begins behind the bucket: write `prefix: cams/`."),
        ("s3://recordings", "a prefix begins behind the bucket: write nothing, for the whole bucket."),
        (
            "gs://other/cams/*.jpg",
            "a prefix begins behind the bucket: write `provider: gcs`, `bucket: other` and `prefix: cams/`.",
        ),
        (
            "cams/*.jpg",
            "a prefix is no pattern: write `prefix: cams/`, and put it into select.include: ['cams/*.jpg'].",
        ),
        ("*.jpg", "a prefix is no pattern: leave it out, and put it into select.include: ['*.jpg']."),
        ("**/*", "a prefix is no pattern: leave it out, which takes all that is below."),
        ("cams/**/*", "a prefix is no pattern: write `prefix: cams/`, which takes all that is below."),
        ("cams/2*", "a prefix is no pattern: write `prefix: cams/2`, which takes all that begins with it."),
    ],
)
def test_a_prefix_is_neither_address_nor_pattern(tmp_path, prefix, instead):
    assert bucket_error(tmp_path, "s3", "recordings", f", prefix: '{prefix}'") == (
        f"line 2, storage.prefix: {instead}"
    )


DOUBTS = [
    ("/cams/", "begins with a slash"),
    ("./cams/", "begins like a path on a disk"),
    ("cams\\a", "has a backslash"),
    (" cams/", "begins or ends with whitespace"),
    ("cams/ ", "begins or ends with whitespace"),
    ("cam?/", "looks like a pattern"),
    ("cam[0-9]/", "looks like a pattern"),
    ("{a,b}/", "looks like a pattern"),
]


@pytest.mark.parametrize(("prefix", "told"), DOUBTS)
def test_a_prefix_that_some_keys_have_is_good_and_doubted(tmp_path, prefix, told):
    path = write(tmp_path, MINIMAL.replace("recordings}", f"recordings,\n  prefix: '{prefix}'}}"))
    integration = load_integration(path)
    [doubt] = doubts_about(path, integration)
    assert doubt.startswith(f"{path}, line 3, storage.prefix: {prefix!r} {told}")
    assert integration.storage.prefix == prefix


@pytest.mark.parametrize("prefix", ["", "cams/", "https://example.com/", "a (1)/", "x=1/y{z}", "10:30/[open"])
def test_other_prefixes_are_not_doubted(tmp_path, prefix):
    path = write(tmp_path, MINIMAL.replace("recordings}", f"recordings, prefix: '{prefix}'}}"))
    assert doubts_about(path, load_integration(path)) == []


@pytest.mark.parametrize(("style", "doubts"), [("virtual-hosted", 1), ("path", 0)])
def test_dots_in_a_host_name_are_doubted(tmp_path, style, doubts):
    path = write(tmp_path, MINIMAL.replace("bucket: recordings", f"bucket: my.media, url_style: {style}"))
    assert len(doubts_about(path, load_integration(path))) == doubts


@pytest.mark.parametrize(
    ("region", "meant"), [("eu-d", "eu-de"), ("EU-DE", "eu-de"), ("eu-ch", "eu-ch2"), ("us-west-2", None)]
)
def test_an_unknown_region_of_otc_is_refused_with_the_known_ones(tmp_path, region, meant):
    error = storage_error(tmp_path, STORAGES["otc"].replace("eu-de", region))
    assert error.startswith(
        f"line 2, storage.region: '{region}' is no region of Open Telekom Cloud that this release knows: "
        "write eu-de, eu-nl or eu-ch2."
    )
    assert (f"Did you mean {meant}?" in error) if meant else ("Did you mean" not in error)
    assert "For a newer one leave region out, and give the connection region_name and endpoint_url" in error


def test_a_newer_region_of_otc_is_for_the_connection_to_say(tmp_path):
    text = of_provider("otc").replace(", region: eu-de", "")
    assert load_integration(write(tmp_path, text)).storage.region is None


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        *(("obs", "otc"), ("Open Telekom Cloud", "otc"), ("GCS", "gcs"), ("google", "gcs"), ("gs", "gcs")),
        *(("aws", "s3"), ("S3", "s3"), ("MinIO", "s3"), ("azure_blob", "azure"), ("azure-blob", "azure")),
        *(("wasb", "azure"), ("azur", "azure"), ("ftp", None)),
    ],
)
def test_a_provider_by_another_name_is_told_its_name_here(tmp_path, said, meant):
    error = storage_error(tmp_path, f"provider: {said}, connection_id: aws, bucket: recordings")
    assert error.startswith(f"line 2, storage.provider: {said!r} is no provider: write s3 (AWS")
    assert (f"Did you mean {meant}?" in error) if meant else ("Did you mean" not in error)


@pytest.mark.parametrize(
    ("field", "instead"),
    [
        ("container", "Write bucket instead."),
        (
            "endpoint_url",
            "Remove it: it belongs into the Airflow connection that connection_id names, for",
        ),
        ("account_url", "names, as its host. Here account can name the account."),
        ("region_name", "Write region instead, for s3 and otc."),
        ("secret_access_key", "names, as all credentials do."),
        ("path", "Write prefix instead."),
        ("include", "Did you mean select.include or groups.include?"),
        ("dataset", "Did you mean target.dataset?"),
        ("prefx", "Did you mean prefix?"),
        ("zzz", "Fields here: provider, connection_id, bucket,"),
    ],
)
def test_a_field_that_belongs_elsewhere_is_told_where(tmp_path, field, instead):
    error = storage_error(tmp_path, f"provider: s3, connection_id: aws, bucket: recordings, {field}: x")
    assert error.startswith(f"line 2, storage.{field}: is not a field. ")
    assert instead in error


def test_what_people_look_for_is_no_field():
    assert not Storage.instead_of.keys() & Storage.model_fields.keys()


MANY = """\
name: cameras
storage:
  provider: s3
  connection_id: aws
  bucket: My_Media
  prefix: cams/*
  url_style: mrap
target: {connection_id: encord, dataset: ''}
types: {videos: ['mp 4'], images: [pdf]}
groups:
  - {type: image_group, by: regex}
  - {type: images, by: series_uid, pattern: '(a)'}
approval: {wait: soon}
changes: {removed: unlink, moved: away}
alerts:
  - when: [failure]
retry: {first_wait: 20m, rounds: 9}
"""


def test_no_mistake_hides_another(tmp_path):
    lines = error_of(write(tmp_path, MANY)).splitlines()[1:]
    places = [re.sub(r"^ +line (\d+), ([^:]+):.*", r"\1 \2", line) for line in lines]
    assert places == [
        "6 storage.prefix",
        "7 storage.url_style",
        "8 target.dataset",
        "9 types",
        "9 types.videos[0]",
        "11 groups[0]",
        "12 groups[1]",
        "12 groups[1].type",
        "13 approval",
        "13 approval.wait",
        "14 changes.moved",
        "16 alerts[0]",
        "16 alerts[0].when[0]",
        "17 retry",
        "17 retry.rounds",
    ]


@pytest.mark.parametrize(
    ("section", "place"),
    [
        ("groups: [{type: image_group, by: regex, pattern: '('}]", "groups[0].pattern"),
        ("groups: [{type: image_group, by: x, pattern: '(?P<group>a)'}]", "groups[0].by"),
        ("groups: [{type: x, by: series_uid}]", "groups[0].type"),
        ("approval: {new_count: -1}", "approval.new_count"),
        ("alerts: [{slack: {}}]", "alerts[0].slack.connection_id"),
        ("retry: {first_wait: soon, longest_wait: 1s}", "retry.first_wait"),
        ("approval: {removed_count: x}\nchanges: {removed: unlink}", "approval.removed_count"),
    ],
)
def test_a_wrong_field_makes_no_second_mistake(tmp_path, section, place):
    assert f"one.yaml, line 4, {place}: " in error_of(write(tmp_path, f"{MINIMAL}{section}\n"))
