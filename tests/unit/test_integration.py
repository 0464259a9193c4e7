"""The integration file: its fields, its errors, its schema, its example."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any, get_origin

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from cloud_sync import yaml_file
from cloud_sync.errors import CloudSyncError, ConfigError
from cloud_sync.integration import (
    Integration,
    check_integration,
    is_uuid,
    json_schema,
    load_files,
    load_integration,
    load_integrations,
    write_json_schema,
)
from cloud_sync.integration.files import section_of

REPOSITORY = Path(__file__).parents[2]
INTEGRATIONS = REPOSITORY / "include" / "integrations"
SCHEMA = INTEGRATIONS / "integration.schema.json"

MINIMAL = """\
name: cameras
storage: {provider: s3, connection_id: aws, bucket: recordings}
target: {connection_id: encord, dataset: Cameras}
"""


def write(folder: Path, text: str, name: str = "one.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def error_of(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load_integration(path)
    assert not caught.value.transient
    return str(caught.value)


def test_every_field_that_may_be_left_out_has_its_default(tmp_path):
    assert load_integration(write(tmp_path, MINIMAL)).model_dump() == {
        "name": "cameras",
        "description": "",
        "schedule": None,
        "owner": "data-team",
        "tags": (),
        "storage": {
            "provider": "s3",
            "connection_id": "aws",
            "bucket": "recordings",
            "prefix": "",
            "listing_shards": 1,
            "url_style": "virtual-hosted",
            "region": None,
            "account": None,
            "mrap_arn": None,
        },
        "target": {
            "connection_id": "encord",
            "dataset": "Cameras",
            "encord_integration": None,
            "folder": None,
        },
        "select": {"include": (), "exclude": (), "minimum_age": "0s", "maximum_size": None},
        "types": {
            "videos": ("mp4", "mov", "m4v", "webm", "mkv"),
            "images": ("jpg", "jpeg", "png", "webp", "avif", "bmp", "tif", "tiff"),
            "audio": ("mp3", "wav", "flac"),
            "pdf": ("pdf",),
            "nifti": ("nii", "nii.gz"),
            "dicom": ("dcm", "dicom"),
            "text": (),
        },
        "groups": (),
        "metadata": {"constants": {}, "from_key": None, "table": None, "sidecar": False},
        "title": None,
        "approval": None,
        "changes": {"removed": "report", "moved": "report"},
        "upload": {
            "items_per_manifest": 1000,
            "ignore_errors": True,
            "skip_duplicate_urls": True,
            "jobs_in_flight": 4,
            "stop_after_manifests": 3,
            "stop_at_share": 0.9,
        },
        "alerts": (),
        "retry": {"rounds": 2, "first_wait": "30s", "longest_wait": "900s", "items_per_manifest": 100},
        "failures": {"fail_at_count": None, "fail_at_share": 0.5, "diagnosis_requests": 20_000},
    }


def test_values_are_read_as_a_person_means_them(tmp_path):
    text = MINIMAL + (
        "description: 2026-01-01\n"
        "select: {minimum_age: 10 M, maximum_size: 1.5 MB, exclude: ['raw/**']}\n"
        "types: {videos: [.MP4, mp4], images: [Tar.GZ]}\n"
    )
    integration = load_integration(write(tmp_path, text))
    assert integration.description == "2026-01-01"
    assert integration.select.minimum_age == timedelta(minutes=10)
    assert integration.select.maximum_size == 1_500_000
    assert integration.types.videos == ("mp4", "mp4")
    assert integration.types.images == ("tar.gz",)
    assert integration.dag_id == "sync__cameras"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s", 30), ("10m", 600), ("2h", 7200), ("1d", 86400), ("0s", 0), (" 5 D ", 432000)],
)
def test_durations(tmp_path, text, seconds):
    path = write(tmp_path, f"{MINIMAL}select: {{minimum_age: '{text}'}}\n")
    assert load_integration(path).select.minimum_age == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("text", "share"),
    [("50%", 0.5), ("0.5", 0.5), ("' 7 % '", 7 / 100), ("33.3%", 333 / 1000), ("0%", 0), ("0", 0), ("1", 1)],
)
def test_shares(tmp_path, text, share):
    path = write(tmp_path, f"{MINIMAL}failures: {{fail_at_share: {text}}}\n")
    assert load_integration(path).failures.fail_at_share == share
    assert schema_errors(path) == []


@pytest.mark.parametrize("text", ["101%", "-1%", "50", "-0.1", "half", "true", ".nan", "'0.5'", "''", "[1]"])
def test_what_is_no_share(tmp_path, text):
    path = write(tmp_path, f"{MINIMAL}failures: {{fail_at_share: {text}}}\n")
    assert ", line 4, failures.fail_at_share: write a share such as 50% or 0.5, from 0% to 100%" in error_of(
        path
    )


@pytest.mark.parametrize(
    ("retry", "problem"),
    [
        ("{first_wait: 20m}", "line 4, retry: longest_wait is shorter than first_wait"),
        ("{longest_wait: 7h}", "line 4, retry: longest_wait is more than 6h"),
        ("{rounds: 6}", "line 4, retry.rounds: "),
        ("{items_per_manifest: 0}", "line 4, retry.items_per_manifest: "),
    ],
)
def test_retry_rounds_have_limits(tmp_path, retry, problem):
    error = error_of(write(tmp_path, f"{MINIMAL}retry: {retry}\n"))
    assert error.startswith(f"{tmp_path}/one.yaml, {problem}")


def test_retry_rounds_at_their_limits(tmp_path):
    text = f"{MINIMAL}retry: {{rounds: 5, first_wait: 6h, longest_wait: 6h, items_per_manifest: 10000}}\n"
    assert load_integration(write(tmp_path, text)).retry.rounds == 5


@pytest.mark.parametrize(
    ("text", "share"), [("90%", 0.9), ("0.5", 0.5), ("1", 1), ("' 12.5 % '", 0.125), ("7%", 0.07)]
)
def test_shares_of_uploads(tmp_path, text, share):
    integration = load_integration(write(tmp_path, f"{MINIMAL}upload: {{stop_at_share: {text}}}\n"))
    assert integration.upload.stop_at_share == share
    assert Integration.model_validate(integration.model_dump(mode="json")) == integration


@pytest.mark.parametrize("schedule", ["0 2 * * *", "*/5 * * * *", "0 0 1 jan mon", "0 0 l * *", "0 0 * * 7"])
def test_schedules_that_airflow_runs(tmp_path, schedule):
    assert load_integration(write(tmp_path, f"{MINIMAL}schedule: '{schedule}'\n")).schedule == schedule


@pytest.mark.parametrize(
    "schedule", ["* * * * * *", "R * * * *", "H 2 * * *", "0 0 31 2 *", "61 * * * *", "@reboot", "nightly"]
)
def test_schedules_that_airflow_would_not_run_as_meant(tmp_path, schedule):
    error = error_of(write(tmp_path, f"{MINIMAL}schedule: '{schedule}'\n"))
    assert error.startswith(f"{tmp_path}/one.yaml, line 4, schedule: write a cron expression of five fields")


BAD_YAML: list[tuple[str | bytes, int, str]] = [
    ("\tname: a\n", 1, "found character that cannot start any token"),
    ("name: a\n\tstorage: b\n", 2, "found a tab character that violates indentation"),
    ("name: [a\nstorage: b\n", 2, "did not find expected"),
    ("name: a\nname: b\n", 2, "the field 'name' stands here a second time; keep one of them"),
    ("a:\n  b: 1\n  c: 2\n  b: 3\n", 4, "the field 'b' stands here a second time"),
    ("name: *missing\n", 1, "found undefined alias"),
    ("---\nname: a\n---\nname: b\n", 3, "but found another document"),
    ("name: a\nx: \x07\n", 2, "it holds a control character"),
    ("name: a\nx: \x00\n", 2, "it holds a control character"),
    (b"name: a\nx: caf\xe9\n", 2, "is not UTF-8 text"),
    ("name: a\n".encode("utf-16"), 1, "is not UTF-8 text"),
    ("[" * 100_000, 1, "it is nested too deeply"),
    ("- " * 100_000, 1, "it is nested too deeply"),
    ("{a: " * 50_000, 1, "it is nested too deeply"),
    (
        "x: !!python/object/apply:os.system [ls]\n",
        1,
        "the tag 'python/object/apply:os.system' has no use here",
    ),
    ("x: 1\ny: !secret a\n", 2, "the tag '!secret' has no use here"),
    ("x: !!bool maybe\n", 1, "this is no value of the type 'bool'"),
    ("x: !!int ''\n", 1, "this is no value of the type 'int'"),
    ("x: !!float ''\n", 1, "this is no value of the type 'float'"),
    ("x: !!timestamp soon\n", 1, "x: is not a field"),
    ("y: 1\nx: " + "9" * 5000, 2, "this is no value of the type 'int'"),
    ("? [a]\n: b\n", 1, "unhashable key"),
    ("<<: 1\n", 1, "expected a mapping or list of mappings for merging"),
]


@pytest.mark.parametrize("loader", [yaml.SafeLoader, yaml.CSafeLoader])
@pytest.mark.parametrize("text", [r'"\.jpg"', r'"\d+"', r'"\xyz"', r'"\u12"'])
def test_a_backslash_in_double_quotes_is_told_to_want_single_ones(tmp_path, monkeypatch, text, loader):
    monkeypatch.setattr(yaml_file, "LOADER", loader)
    error = error_of(write(tmp_path, f"{MINIMAL}select:\n  include: [{text}]\n"))
    assert error.startswith(f"{tmp_path}/one.yaml, line 5: is not valid: ")
    assert "Write it in single quotes" in error


@pytest.mark.parametrize(("content", "line", "problem"), BAD_YAML)
def test_what_is_not_yaml_is_named_with_file_line_and_remedy(tmp_path, content, line, problem):
    path = tmp_path / "bad.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    error = error_of(path)
    assert str(path) in error
    assert f"line {line}" in error
    assert problem in error
    assert error.rstrip().endswith(".")
    assert "in single quotes" not in error


FOLDERS = "groups:\n  - type: image_group\n    by: folder"
GROUP = "groups:\n  - type: image_group\n    by: regex"
BAD_FIELDS = [
    ("name: Cameras", "line 1, name: ", "string should match pattern"),
    ("name: ''", "line 1, name: ", "string should match pattern"),
    ("tags: [ok, '']", "line 4, tags[1]: ", "it says ''"),
    (f"tags: [{'x' * 101}]", "line 4, tags[0]: ", "at most 100 characters"),
    ("tags: abc", "line 4, tags: ", "must be a list, such as [a, b]"),
    ("owner: 12", "line 4, owner: ", "valid string (it says 12)"),
    ("owner: no", "line 4, owner: ", "valid string (it says False)"),
    ("descripton: x", "line 4, descripton: ", "is not a field. Did you mean description?"),
    ("zzz: x", "line 4, zzz: ", "is not a field. Fields here: name, description, schedule,"),
    (
        "select: []",
        "line 4, select: ",
        "must hold fields, one a line, indented. Fields here: include, exclude",
    ),
    ("select:", "line 4, select: ", "must hold fields"),
    ("select:\n  include: ['!a']", "line 5, select.include[0]: ", "to leave objects out use select.exclude"),
    ("select:\n  include: ['/']", "line 5, select.include[0]: ", "the pattern '/' matches nothing"),
    ("select:\n  exclude: [a, '[z-a]']", "line 5, select.exclude[1]: ", "bad character range"),
    ("select:\n  exclude: ['[[:alpha:]]']", "line 5, select.exclude[0]: ", "character class"),
    ("select: {minimum_age: 10}", "line 4, select.minimum_age: ", "a whole number and a unit"),
    ("select: {minimum_age: -1d}", "line 4, select.minimum_age: ", "a whole number and a unit"),
    ("select: {minimum_age: 99999999d}", "line 4, select.minimum_age: ", "at most 3650d"),
    ("select: {minimum_age: 9999999999999999d}", "line 4, select.minimum_age: ", "at most 3650d"),
    ("select: {maximum_size: .nan}", "line 4, select.maximum_size: ", "it says nan"),
    ("select: {maximum_size: 5 parsecs}", "line 4, select.maximum_size: ", "byte unit: parsecs"),
    ("select: {maximum_size: 0}", "line 4, select.maximum_size: ", "greater than or equal to 1"),
    ("select: {maximum_size: 9999999999 TB}", "line 4, select.maximum_size: ", "less than or equal to"),
    (
        "types: {videos: [jpg], images: [JPG]}",
        "line 4, types: ",
        "extension jpg stands under videos and under images: leave it in one of them",
    ),
    ("types: {images: [pdf]}", "line 4, types: ", "extension pdf stands under images and under pdf"),
    ("groups: {by: folder}", "line 4, groups: ", "must be a list, such as [a, b]"),
    ("groups: [a]", "line 4, groups[0]: ", "must hold fields, one a line, indented. Fields here: type, by,"),
    ("groups:\n  - by: folder", "line 5, groups[0].type: ", "is missing. Add it: What each group becomes."),
    (f"{FOLDERS}\n    patern: x", "line 7, groups[0].patern: ", "is not a field. Did you mean pattern?"),
    (f"{FOLDERS}\n    complete: {{cuont: 2}}", "line 7, groups[0].complete.cuont: ", "Did you mean count?"),
    (f"{FOLDERS}\n    complete: {{count: 0}}", "line 7, groups[0].complete.count: ", "greater than or equal"),
    (
        f"{GROUP}\n    pattern: '('",
        "line 7, groups[0].pattern: ",
        "cannot be used as a regular expression: missing )",
    ),
    (
        f"{GROUP}\n    pattern: '(?P<group>a)(?=b)'",
        "line 7, groups[0].pattern: ",
        "invalid perl operator: (?=",
    ),
    (f"{GROUP}\n    pattern: '(?P<group>a)\\1'", "line 7, groups[0].pattern: ", "invalid escape sequence"),
    (f"{GROUP}\n    pattern: '(?P<name>a)'", "line 5, groups[0]: ", "the pattern has no named group `group`"),
    (GROUP, "line 5, groups[0]: ", "by: regex and pattern go together: give both or neither"),
    (
        f"{FOLDERS}\n    title: '{{camera}}'",
        "line 7, groups[0].title: ",
        "{camera} is no field of a title here",
    ),
    (
        "groups:\n  - {type: image_group, by: series_uid}",
        "line 5, groups[0]: ",
        "goes with type: dicom_series",
    ),
    ("title: '{group}'", "line 4, title: ", "there are: key, name, stem, extension, folder"),
    ("title: '{'", "line 4, title: ", "write a brace that is text twice, as {{"),
    ("title: '{key!r}'", "line 4, title: ", "{key} is no field of a title here"),
    ("metadata: {from_key: 'a.b'}", "line 4, metadata.from_key: ", "has no named group"),
    ("metadata: {constants: [a]}", "line 4, metadata.constants: ", "input should be a valid dictionary"),
    ("metadata: {constants: {a: .nan}}", "line 4, metadata.constants: ", "write names with texts, numbers"),
    (
        "metadata: {table: a.csv}",
        "line 4, metadata.table: ",
        "must hold fields, one a line, indented. Fields",
    ),
    ("metadata: {table: {path: ../a.csv}}", "line 4, metadata.table.path: ", "inside the folder of tables"),
    ("metadata: {table: {path: a.xlsx}}", "line 4, metadata.table.path: ", "a .csv or .parquet file"),
    ("metadata: {sidecar: maybe}", "line 4, metadata.sidecar: ", "True, False or 'required'"),
    ("types: {videos: ['mp 4']}", "line 4, types.videos[0]: ", "write a file name extension, such as mp4"),
    ("upload: {items_per_manifest: 0}", "line 4, upload.items_per_manifest: ", "greater than or equal to 1"),
    ("upload: {items_per_manifest: 10001}", "line 4, upload.items_per_manifest: ", "equal to 10000"),
    ("upload: {items_per_manifest: true}", "line 4, upload.items_per_manifest: ", "valid integer"),
    ("upload: {ignore_errors: 'false'}", "line 4, upload.ignore_errors: ", "valid boolean"),
    ("alerts: {email: a}", "line 4, alerts: ", "must be a list, such as [a, b]"),
    ("alerts:\n  - when: [failed_run]", "line 5, alerts[0]: ", "write one of email, slack and webhook"),
    (
        "alerts:\n  - {slack: {connection_id: a}, webhook: {connection_id: b}}",
        "line 5, alerts[0]: ",
        "for another make another entry of the list",
    ),
    (
        "alerts:\n  - email: {connection_id: a}",
        "line 5, alerts[0].email.to: ",
        "is missing. Add it: Addresses of who is told.",
    ),
    ("alerts:\n  - email: {connection_id: a, to: []}", "line 5, alerts[0].email.to: ", "write at least one"),
    (
        "alerts:\n  - email: {connection_id: a, to: ['a@b.c, d@e.f']}",
        "line 5, alerts[0].email.to[0]: ",
        "write one address, such as oncall@example.com",
    ),
    (
        'alerts:\n  - email: {connection_id: a, to: ["a@b.c\\nBcc: d@e.f"]}',
        "line 5, alerts[0].email.to[0]: ",
        "write one address, such as oncall@example.com",
    ),
    (
        "alerts:\n  - slack: {connection_id: a}\n    when: [failure]",
        "line 6, alerts[0].when[0]: ",
        "input should be 'failed_run', 'failed_task', 'quarantine' or 'approval'",
    ),
    (
        "alerts:\n  - slack: {connection_id: a}\n    when: []",
        "line 6, alerts[0].when: ",
        "write at least one",
    ),
    (
        "alerts:\n  - {slak: {connection_id: a}, webhook: {connection_id: b}}",
        "line 5, alerts[0].slak: ",
        "Did you mean slack?",
    ),
    ("dataset: Cameras", "line 4, dataset: ", "is not a field. Did you mean target.dataset?"),
    ("title: 12", "line 4, title: ", "valid string (it says 12). Write it in quotes."),
    ("upload: {stop_after_manifests: -1}", "line 4, upload.stop_after_manifests: ", "equal to 0"),
    ("upload: {stop_at_share: 101%}", "line 4, upload.stop_at_share: ", "50% or 0.5, from 0% to 100%"),
    ("upload: {stop_at_share: 0}", "line 4, upload.stop_at_share: ", "greater than 0"),
    ("upload: {stop_at_share: 90}", "line 4, upload.stop_at_share: ", "50% or 0.5"),
    ("upload: {stop_at_share: true}", "line 4, upload.stop_at_share: ", "50% or 0.5"),
    ("upload: {stop_at_share: .nan}", "line 4, upload.stop_at_share: ", "50% or 0.5"),
    ("upload: {stop_at_share: most}", "line 4, upload.stop_at_share: ", "50% or 0.5"),
    ("upload: {jobs_in_flight: 65}", "line 4, upload.jobs_in_flight: ", "less than or equal to 64"),
]


@pytest.mark.parametrize(("text", "place", "problem"), BAD_FIELDS)
def test_a_wrong_field_is_named_with_file_line_and_remedy(tmp_path, text, place, problem):
    body = MINIMAL.replace("name: cameras", text) if text.startswith("name:") else f"{MINIMAL}{text}\n"
    error = error_of(write(tmp_path, body))
    assert error.startswith(f"{tmp_path}/one.yaml, {place}")
    assert problem in error
    assert len(error.removeprefix(str(tmp_path))) < 500


def test_several_problems_come_at_once_in_the_order_of_the_file(tmp_path):
    text = "name: A\nstorage:\n  provider: ftp\n  connection_id: bad id\n  buket: b\n"
    error = error_of(write(tmp_path, text))
    lines = error.splitlines()
    assert lines[0] == f"{tmp_path}/one.yaml: 6 problems."
    assert [line.split(":")[0].strip() for line in lines[1:]] == [
        "line 1, name",
        "line 1, target",
        "line 2, storage.bucket",
        "line 3, storage.provider",
        "line 4, storage.connection_id",
        "line 5, storage.buket",
    ]
    assert "Did you mean bucket?" in error
    assert "is missing. Add it: The Encord dataset that is kept in step." in error


@pytest.mark.parametrize("text", ["", "# only a comment\n", "- a\n", "hello\n", "null\n"])
def test_a_file_without_fields_says_which_there_are(tmp_path, text):
    assert "the file: must hold fields, one a line, indented. Fields here: name," in error_of(
        write(tmp_path, text)
    )


def test_anchors_and_merges_are_plain_yaml(tmp_path):
    text = MINIMAL + "tags: &both [a, b]\nselect: {include: ['*.mp4'], exclude: &none []}\n"
    assert load_integration(write(tmp_path, text)).tags == ("a", "b")
    recursive = error_of(write(tmp_path, MINIMAL + "tags: &a [*a]\n"))
    assert "line 4, tags[0]: input should be a valid string" in recursive


@pytest.mark.parametrize("style", ["mrap", "path"])
def test_the_arn_goes_with_its_url_style(tmp_path, style):
    extra = "url_style: mrap" if style == "mrap" else "url_style: path, mrap_arn: arn"
    text = MINIMAL.replace("bucket: recordings", f"bucket: recordings, {extra}")
    problem = {
        "mrap": "line 2, storage.url_style: mrap and mrap_arn go together",
        "path": "line 2, storage.mrap_arn: goes with url_style: mrap",
    }[style]
    assert problem in error_of(write(tmp_path, text))


STORAGES = {
    "gcs": "provider: gcs, connection_id: google, bucket: recordings",
    "azure": "provider: azure, connection_id: azure, bucket: recordings, account: myaccount",
    "otc": "provider: otc, connection_id: otc, bucket: recordings, region: eu-de",
}


def of_provider(provider: str, extra: str = "") -> str:
    """Return the least integration file of a provider."""
    return MINIMAL.replace(
        "provider: s3, connection_id: aws, bucket: recordings", f"{STORAGES[provider]}{extra}"
    )


@pytest.mark.parametrize(
    ("provider", "style"), [("gcs", "gs"), ("azure", "https"), ("otc", "virtual-hosted")]
)
def test_each_provider_has_its_usual_url_style(tmp_path, provider, style):
    storage = load_integration(write(tmp_path, of_provider(provider))).storage
    assert (storage.provider, storage.url_style) == (provider, style)


@pytest.mark.parametrize(("provider", "style"), [("gcs", "https"), ("azure", "https"), ("otc", "path")])
def test_another_url_style_can_be_chosen(tmp_path, provider, style):
    text = of_provider(provider, f", url_style: {style}")
    assert load_integration(write(tmp_path, text)).storage.url_style == style


@pytest.mark.parametrize(
    ("provider", "extra", "error"),
    [
        ("gcs", "url_style: s3", "storage.url_style: gcs has no such URLs: write gs or https (it says 's3')"),
        ("azure", "url_style: path", "storage.url_style: azure has no such URLs: write https"),
        ("otc", "url_style: mrap", "storage.url_style: otc has no such URLs: write virtual-hosted or path"),
        ("gcs", "region: europe-west3", "storage.region: means nothing for gcs: remove it"),
        ("azure", "region: westeurope", "storage.region: means nothing for azure: remove it"),
        ("gcs", "account: myaccount", "storage.account: means nothing for gcs: remove it"),
        ("otc", "mrap_arn: arn", "storage.mrap_arn: means nothing for otc: remove it"),
    ],
)
def test_what_a_provider_does_not_have_is_refused(tmp_path, provider, extra, error):
    assert error in error_of(write(tmp_path, of_provider(provider, f", {extra}")))


@pytest.mark.parametrize(
    ("provider", "field"), [("otc", "region: evil.com/x"), ("azure", "account: My-Account")]
)
def test_what_stands_in_a_host_name_is_checked(tmp_path, provider, field):
    name = field.partition(":")[0]
    text = re.sub(rf", {name}: [a-z-]+", f", {field}", of_provider(provider))
    assert f"storage.{name}: string should match pattern" in error_of(write(tmp_path, text))


def test_stores_of_ones_own_may_name_their_regions_as_they_like(tmp_path):
    text = MINIMAL.replace("bucket: recordings", "bucket: recordings, region: RegionOne")
    assert load_integration(write(tmp_path, text)).storage.region == "RegionOne"


def test_a_wrong_provider_is_told_once(tmp_path):
    error = error_of(write(tmp_path, MINIMAL.replace("provider: s3", "provider: [gs]")))
    assert "storage.provider" in error
    assert "problems" not in error


def test_a_file_that_cannot_be_opened(tmp_path):
    (tmp_path / "folder.yaml").mkdir()
    assert error_of(tmp_path / "folder.yaml").endswith("Check that it is a file and its permissions.")
    assert "No such file" in error_of(tmp_path / "absent.yaml")


def test_a_long_wrong_value_is_cut_short(tmp_path):
    error = error_of(write(tmp_path, MINIMAL.replace("cameras", "X" * 10_000)))
    assert len(error) < 400


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.one_of(st.text(), st.binary().map(lambda data: data.decode("latin-1"))))
def test_any_text_is_an_integration_or_a_config_error(tmp_path, text):
    path = tmp_path / "any.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    error = refusal_of(path)
    assert error is None or str(path) in str(error)


def refusal_of(path: Path) -> ConfigError | None:
    """Load a file; any other exception than a ConfigError passes through and fails the test."""
    try:
        load_integration(path)
    except ConfigError as error:
        return error
    return None


VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(10**20), 10**20),
        st.floats(),
        st.text(max_size=5),
        st.sampled_from(["s3", "1d", "5 GB", "0 2 * * *", "*.mp4", "path", "mrap"]),
    ),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


def fields_of(model: type[BaseModel], place: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """List the fields of a model and of its sections, as paths; of a list of sections the first."""
    found = []
    for name, field in model.model_fields.items():
        section = section_of(field.annotation)
        entry = (0,) if get_origin(field.annotation) is tuple else ()
        found += fields_of(section, (*place, name, *entry)) if section else [(*place, name)]
    return found


FIELDS = fields_of(Integration)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.sampled_from(FIELDS), VALUES)
def test_any_value_in_any_field_is_taken_or_refused_with_its_place(tmp_path, place, value):
    data: dict[str, Any] = {
        "name": "cameras",
        "storage": {"provider": "s3", "connection_id": "aws", "bucket": "recordings"},
        "target": {"connection_id": "encord", "dataset": "Cameras"},
    }
    put(data, place, value)
    path = write(tmp_path, json.dumps(data).replace("\x7f", ""))
    if error := refusal_of(path):
        assert str(path) in str(error)
        return
    integration = load_integration(path)
    dumped = integration.model_dump(mode="json")
    assert Integration.model_validate(json.loads(json.dumps(dumped, allow_nan=False))) == integration


LENGTH_OF_ENTRY = len(("alerts", 0))


def put(data: dict[str, Any], place: tuple[str | int, ...], value: Any) -> None:
    """Set a value, with the sections around it; an entry of a list gets the fields that it must have."""
    *around, name = place
    section: Any = data
    for step in around:
        if step == 0:
            section.append({"type": "image_group", "by": "folder"} if "groups" in around else {})
            section = section[0]
        else:
            section = section.setdefault(step, [] if step in {"groups", "alerts"} else {})
    if around[:1] == ["alerts"]:
        section |= (
            {"connection_id": "a"} if len(around) > LENGTH_OF_ENTRY else {"slack": {"connection_id": "a"}}
        )
    if around[-1:] == ["email"]:
        section["to"] = ["a@example.com"]
    if around[-1:] == ["table"]:
        section["path"] = "a.csv"
    section[name] = value


class TestSettingsThatStandInNoFile:
    GOOD = {  # noqa: RUF012 (only read)
        "name": "cams",
        "storage": {"provider": "s3", "connection_id": "a", "bucket": "media"},
        "target": {"connection_id": "e", "dataset": "d"},
    }

    def test_good_ones_are_an_integration(self):
        assert check_integration(self.GOOD, names={}) == Integration.model_validate(self.GOOD)

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"name": "X"}, "--name: string should match"),
            ({"title": "{x}"}, "title: {x} is no field of a title here"),
            (
                {"groups": [{"type": "image_group", "by": "regex", "pattern": "("}]},
                "--pattern: cannot be used",
            ),
            ({"groups": [{"type": "image_group", "by": "x"}]}, "--groups: input should be 'folder'"),
            ({"name": "X", "title": "{x}"}, "2 problems.\n  --name: "),
        ],
    )
    def test_a_wrong_one_is_called_as_its_person_calls_it(self, wrong, message):
        names = {"name": "--name", "groups": "--groups", "groups.pattern": "--pattern"}
        with pytest.raises(ConfigError) as caught:
            check_integration({**self.GOOD, **wrong}, names=names)
        assert str(caught.value).startswith(message)


class TestAlerts:
    def test_a_channel_is_of_one_kind_and_told_of_failed_runs_and_tasks(self, tmp_path):
        text = (
            "alerts:\n  - webhook: {connection_id: a}\n  - email: {connection_id: b, to: [c@example.com]}\n"
        )
        webhook, email = load_integration(write(tmp_path, MINIMAL + text)).alerts
        assert (webhook.kind, webhook.connection_id) == ("webhook", "a")
        assert (email.kind, email.connection_id) == ("email", "b")
        assert webhook.when == ("failed_run", "failed_task", "approval")


def test_the_frozen_form_gives_the_same_integration_back():
    integration = load_integration(INTEGRATIONS / "_example.yaml")
    text = json.dumps(integration.model_dump(mode="json"), allow_nan=False)
    assert Integration.model_validate(json.loads(text)) == integration


class TestFolder:
    def test_bad_files_do_not_hide_the_others(self, tmp_path):
        write(tmp_path, MINIMAL, "b.yaml")
        write(tmp_path, MINIMAL.replace("cameras", "second"), "a.yml")
        write(tmp_path, "name: [", "c.yaml")
        write(tmp_path, MINIMAL + "zzz: 1\n", "d.yaml")
        loaded = load_integrations(tmp_path)
        assert [(path.name, one.name) for path, one in loaded.integrations] == [
            ("a.yml", "second"),
            ("b.yaml", "cameras"),
        ]
        assert [Path(str(error.where).split(",")[0]).name for error in loaded.errors] == ["c.yaml", "d.yaml"]

    def test_two_files_of_one_name_are_both_wrong(self, tmp_path):
        write(tmp_path, MINIMAL, "a.yaml")
        write(tmp_path, MINIMAL, "b.yaml")
        write(tmp_path, MINIMAL.replace("cameras", "other"), "c.yaml")
        loaded = load_integrations(tmp_path)
        assert [one.name for _, one in loaded.integrations] == ["other"]
        assert [str(error) for error in loaded.errors] == [
            f"{tmp_path}/{one}, name: the name 'cameras' stands in {two} too. "
            "Give each integration a name of its own."
            for one, two in [("a.yaml", "b.yaml"), ("b.yaml", "a.yaml")]
        ]

    def test_what_is_wrong_with_a_file_can_be_looked_up_by_the_name_that_it_says(self, tmp_path):
        write(tmp_path, MINIMAL, "good.yaml")
        texts = {
            "torn.yaml": MINIMAL.replace("cameras", "torn") + "select: [",
            "field.yaml": MINIMAL.replace("cameras", '"field"') + "zzz: 1\n",
            "nameless.yaml": "[",
            "copy.yaml": MINIMAL + "zzz: 1\n",
        }
        for file, text in texts.items():
            write(tmp_path, text, file)
        broken = load_integrations(tmp_path).broken
        files = {name: Path(str(error.where).split(",")[0]).name for name, error in broken.items()}
        assert files == {"torn": "torn.yaml", "field": "field.yaml", "nameless": "nameless.yaml"}

    def test_files_of_other_folders_and_files_left_alone_may_share_a_name(self, tmp_path):
        (tmp_path / "other").mkdir()
        files = [write(tmp_path, MINIMAL, name) for name in ("a.yaml", "_draft.yaml", "other/b.yaml")]
        loaded = load_files([*files, files[0]])
        assert [path for path, _ in loaded.integrations] == files
        assert loaded.errors == ()

    def test_only_yaml_files_with_open_names_are_read(self, tmp_path):
        for name in ["_draft.yaml", ".hidden.yaml", "notes.txt", "old.yaml.bak", "x.yxml"]:
            write(tmp_path, "name: [", name)
        loaded = load_integrations(tmp_path)
        assert loaded.integrations == () == loaded.errors

    def test_a_folder_that_is_not_there_is_an_error(self, tmp_path):
        loaded = load_integrations(tmp_path / "absent")
        assert loaded.integrations == ()
        assert [str(error) for error in loaded.errors] == [
            f"{tmp_path}/absent: is not a folder. Create it, or correct the setting integrations_folder "
            "in the section cloud_sync."
        ]

    def test_the_projects_own_files_are_good(self):
        loaded = load_integrations(INTEGRATIONS)
        assert loaded.errors == ()
        assert "demo" in [one.name for _, one in loaded.integrations]


class TestSchema:
    def test_the_committed_schema_is_the_models(self, tmp_path):
        write_json_schema(tmp_path / "schema.json")
        fresh = (tmp_path / "schema.json").read_text(encoding="utf-8")
        assert SCHEMA.read_text(encoding="utf-8") == fresh, "run `make schema` and commit the file"
        assert json.loads(fresh) == json_schema()

    @pytest.mark.parametrize("name", ["demo.yaml", "_example.yaml"])
    def test_it_accepts_good_files(self, name):
        assert schema_errors(INTEGRATIONS / name) == []

    @pytest.mark.parametrize(
        "text",
        [
            "zzz: 1",
            "select: {minimum_age: soon}",
            "upload: {jobs_in_flight: 0}",
            "failures: {fail_at_share: 12}",
            "failures: {fail_at_count: 0}",
            "failures: {diagnosis_requests: -1}",
            "types: {videos: mp4}",
            "groups: [{type: image_group}]",
            "groups: [{type: image_group, by: folder, complete: {count: 0}}]",
            "metadata: {sidecar: maybe}",
            "tags: ['']",
            "alerts: [{slack: {connection_id: a}, when: [sometimes]}]",
            "alerts: [{email: {connection_id: a, to: [nobody]}}]",
        ],
    )
    def test_it_refuses_bad_ones(self, tmp_path, text):
        assert schema_errors(write(tmp_path, f"{MINIMAL}{text}\n")) != []
        with pytest.raises(CloudSyncError):
            load_integration(tmp_path / "one.yaml")

    def test_each_field_has_an_explanation(self):
        schema = json_schema()
        sections = {"": schema, **schema["$defs"]}
        undescribed = [
            f"{section}.{name}"
            for section, part in sections.items()
            for name, field in part["properties"].items()
            if "description" not in field and "$ref" not in field
        ]
        assert undescribed == []


def schema_errors(path: Path) -> list[str]:
    """Check a file as an editor does: with the exported schema."""
    import yaml
    from jsonschema import Draft202012Validator

    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    return [error.message for error in Draft202012Validator(json.loads(SCHEMA.read_text())).iter_errors(data)]


def test_the_example_shows_every_field_with_a_comment():
    path = INTEGRATIONS / "_example.yaml"
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# yaml-language-server: $schema=integration.schema.json\n")
    shown = [load_integration(path).model_dump(exclude_unset=True), *other_storages(text)]
    missing = [place for place in FIELDS if all(lookup(each, place) is None for each in shown)]
    assert missing == []
    blocks = [block for block in text.split("\n\n") if not block.lstrip().startswith("#") and ":" in block]
    # A bucket needs no comment, nor does a second rule; every other field has one.
    assert blocks == ["  bucket: traffic-recordings", "  - type: dicom_series\n    by: series_uid"]


def other_storages(text: str) -> list[dict[str, Any]]:
    """Return the sections `storage` of the other providers, which stand in comments of the example."""
    blocks = re.findall(r"^#   storage:\n(?:#     .+\n)+", text, re.MULTILINE)
    return [yaml.safe_load(block.replace("#   ", "")) for block in blocks]


def test_the_example_has_a_good_section_for_each_provider(tmp_path):
    text = (INTEGRATIONS / "_example.yaml").read_text(encoding="utf-8")
    whole = yaml.safe_load(text)
    found = [
        load_integration(write(tmp_path, yaml.safe_dump({**whole, **other}))).storage.provider
        for other in other_storages(text)
    ]
    assert found == ["gcs", "azure", "otc"]


def lookup(data: Any, place: tuple[str | int, ...]) -> Any:
    """Return what stands at a place; of a list in whichever entry has it, since some exclude each other."""
    for depth, step in enumerate(place):
        if isinstance(step, int):
            found = (lookup(entry, place[depth + 1 :]) for entry in data or ())
            return next((value for value in found if value is not None), None)
        if data:
            data = data.get(step)
    return data


@pytest.mark.parametrize(
    ("text", "expected"),
    [("6f1e1c6e-0f62-4f6c-9c8e-0a4d6a7f6b1d", True), ("Cameras", False), ("", False), ("1234", False)],
)
def test_a_hash_is_told_from_a_title(text, expected):
    assert is_uuid(text) is expected
    if text:
        data = {"connection_id": "e", "dataset": text}
        target = Integration.model_fields["target"].annotation
        assert target.model_validate(data).dataset_is_hash is expected


@pytest.mark.parametrize("approval", ["", "approval: {new_count: 5}\n"])
def test_nothing_leaves_the_dataset_without_a_limit(tmp_path, approval):
    error = error_of(write(tmp_path, f"{MINIMAL}changes: {{removed: unlink}}\n{approval}"))
    assert "changes.removed: unlink takes labels out of projects" in error
    assert "approval.removed_count, such as 0" in error


@pytest.mark.parametrize("limit", ["removed_count: 0", "removed_share: 1%"])
def test_with_a_limit_it_may(tmp_path, limit):
    path = write(tmp_path, f"{MINIMAL}changes: {{removed: unlink}}\napproval: {{{limit}}}\n")
    assert load_integration(path).changes.removed == "unlink"


@pytest.mark.parametrize(
    ("section", "problem"),
    [
        ("{}", "gives no limit"),
        ("{wait: 2h}", "gives no limit"),
        ("{new_count: 5, wait: 30s}", "wait is shorter than a minute"),
        ("{new_share: 120%}", "write a share"),
        ("{new_count: -1}", "greater than or equal to 0"),
    ],
)
def test_an_approval_without_sense_is_refused(tmp_path, section, problem):
    error = error_of(write(tmp_path, f"{MINIMAL}approval: {section}\n"))
    assert "line" in error
    assert "approval" in error
    assert problem in error
