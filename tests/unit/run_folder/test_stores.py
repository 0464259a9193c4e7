"""Where the bucket of a state folder is looked for."""

from __future__ import annotations

import boto3
import pytest

from cloud_sync.run_folder.stores import s3_store


@pytest.mark.parametrize(
    ("region", "endpoint_url"),
    [
        ("cn-north-1", "https://state.s3.cn-north-1.amazonaws.com.cn"),
        ("eusc-de-east-1", "https://state.s3.eusc-de-east-1.amazonaws.eu"),
        ("eu-west-2", None),
    ],
)
def test_a_region_that_obstore_does_not_know_is_looked_for_at_its_own_domain(region, endpoint_url):
    store = s3_store("state", session=boto3.Session("id", "secret", region_name=region))
    assert store.config.get("endpoint") == endpoint_url
    assert (store.config["region"], store.config["virtual_hosted_style_request"]) == (region, "true")
