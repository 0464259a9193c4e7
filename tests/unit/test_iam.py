"""The policies in include/iam: listing and reading below one prefix, or all that a state folder needs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

PROJECT = Path(__file__).parents[2]
FOLDER = PROJECT / "include" / "iam"
ALLOWED = {
    "aws-s3.json": {"s3:ListBucket", "s3:GetObject"},
    "google-gcs-role.yaml": {"storage.objects.list", "storage.objects.get"},
    "azure-blob-role.json": {"Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read"},
    "otc-obs.json": {"obs:bucket:ListBucket", "obs:object:GetObject"},
}
"""What reading needs, by file; Azure lists with the right to read."""
BLOBS = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs"
READ_BLOBS = f"{BLOBS}/read"
S3_STATE = ("ListBucket", "GetObject", "PutObject", "DeleteObject", "AbortMultipartUpload")
ALLOWED_FOR_STATE = {
    "aws-s3-state.json": {f"s3:{name}" for name in S3_STATE},
    "google-gcs-state-role.yaml": {
        *(f"storage.objects.{name}" for name in ("list", "get", "create", "delete")),
        *(f"storage.multipartUploads.{name}" for name in ("create", "abort")),
    },
    "azure-blob-state-role.json": {f"{BLOBS}/{name}" for name in ("read", "write", "delete")},
    "otc-obs-state.json": {f"obs:{'bucket' if 'Bucket' in name else 'object'}:{name}" for name in S3_STATE},
}
"""What a state folder needs, by file: an object that is written over is deleted, in Google's words."""


def load(name: str) -> dict[str, Any]:
    content = yaml.safe_load((FOLDER / name).read_text(encoding="utf-8"))  # JSON is YAML too
    assert isinstance(content, dict)
    return content


def as_list(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value]


def statements(name: str) -> list[dict[str, Any]]:
    found = load(name)["Statement"]
    assert {one["Effect"] for one in found} == {"Allow"}
    return found


def of_statements(name: str) -> Iterator[str]:
    for one in statements(name):
        yield from as_list(one["Action"])


ACTIONS: dict[str, Callable[[str], Any]] = {
    "aws-s3.json": of_statements,
    "otc-obs.json": of_statements,
    "google-gcs-role.yaml": lambda name: load(name)["includedPermissions"],
    "azure-blob-role.json": lambda name: load(name)["Actions"] + load(name)["DataActions"],
}


def allowed_by(name: str) -> list[str]:
    return sorted(ACTIONS[name.replace("-state", "")](name))


@pytest.mark.parametrize("name", ALLOWED)
def test_a_policy_allows_listing_and_reading_and_nothing_else(name):
    assert allowed_by(name) == sorted(ALLOWED[name])


@pytest.mark.parametrize("name", ALLOWED_FOR_STATE)
def test_a_state_folder_is_listed_read_written_and_deleted_and_nothing_else(name):
    assert allowed_by(name) == sorted(ALLOWED_FOR_STATE[name])


@pytest.mark.parametrize("name", ["aws-s3-state.json", "otc-obs-state.json"])
def test_the_state_folder_is_below_one_prefix_but_its_bucket_is_listed_without_a_condition(name):
    """With one, S3 says of a file that is not there that it is forbidden."""
    listing, objects = statements(name)
    (bucket,), (below,) = as_list(listing["Resource"]), as_list(objects["Resource"])
    assert below == f"{bucket.replace(':bucket:', ':object:')}/cloud-sync/*"
    assert "Condition" not in listing


def test_every_provider_has_a_policy_for_the_state_folder():
    assert {name.replace("-state", "") for name in ALLOWED_FOR_STATE} == set(ALLOWED)


@pytest.mark.parametrize("name", ["aws-s3.json", "otc-obs.json"])
def test_the_two_statements_name_one_bucket_and_one_prefix(name):
    listing, reading = statements(name)
    (bucket,), (objects,) = as_list(listing["Resource"]), as_list(reading["Resource"])
    assert bucket.endswith(":my-bucket")
    assert objects == f"{bucket.replace(':bucket:', ':object:')}/raw/*"
    (operator,) = listing["Condition"].values()
    (prefixes,) = operator.values()
    assert all(prefix.startswith("raw/") for prefix in prefixes)


def test_aws_looks_for_the_prefix_with_and_without_what_follows():
    listing, _ = statements("aws-s3.json")
    assert load("aws-s3.json")["Version"] == "2012-10-17"
    assert listing["Condition"] == {"StringLike": {"s3:prefix": ["raw/*", "raw/"]}}


def test_telekoms_policy_has_the_version_of_policies_with_actions():
    assert load("otc-obs.json")["Version"] == "1.1"


def test_googles_condition_holds_for_reading_and_for_listing():
    policy = load("google-gcs-binding.json")
    assert policy["version"] == 3, "older versions have no conditions"
    (binding,) = policy["bindings"]
    assert binding["role"].endswith("/cloudSyncReader")
    reading, listing = binding["condition"]["expression"].split(" || ")
    assert reading == "resource.name.startsWith('projects/_/buckets/my-bucket/objects/raw/')"
    assert listing == ("api.getAttribute('storage.googleapis.com/objectListPrefix', '').startsWith('raw/')")


def test_azures_condition_holds_for_reading_and_for_listing():
    assignment = load("azure-blob-assignment.json")
    assert assignment["roleName"] == load("azure-blob-role.json")["Name"]
    assert assignment["scope"].endswith("/containers/my-container")
    assert assignment["conditionVersion"] == "2.0"
    condition = assignment["condition"]
    assert set(re.findall(r"\bActionMatches\{'([^']+)'\}", condition)) == {READ_BLOBS}
    assert re.findall(r"(NOT |AND )SubOperationMatches\{'([^']+)'\}", condition) == [
        ("NOT ", "Blob.List"),
        ("AND ", "Blob.List"),
    ]
    assert re.findall(r"@(\w+)\[[^]]+:(\w+)\] StringStartsWith '([^']+)'", condition) == [
        ("Resource", "path", "raw/"),
        ("Request", "prefix", "raw/"),
    ]
    assert condition.count("(") == condition.count(")")


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda path: path.name)
def test_a_json_file_is_json(path):
    json.loads(path.read_text(encoding="utf-8"))


def test_the_docs_name_each_policy():
    docs = (PROJECT / "docs" / name for name in ("storage.md", "deployment.md"))
    text = "".join(path.read_text(encoding="utf-8") for path in docs)
    for path in FOLDER.iterdir():
        assert f"../include/iam/{path.name}" in text
