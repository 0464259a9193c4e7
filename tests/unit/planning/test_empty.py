"""What is said of a listing of nothing."""

from __future__ import annotations

import pytest

from cloud_sync.integration import Storage
from cloud_sync.planning.empty import NothingListed


@pytest.mark.parametrize(
    ("provider", "prefix", "why"),
    [
        ("s3", "", "the bucket media holds no objects."),
        ("s3", "raw/", "the bucket media holds no objects whose keys begin with 'raw/'."),
        ("azure", "", "the container media holds no objects."),
    ],
)
def test_it_says_where_nothing_was_and_what_to_check(provider, prefix, why):
    storage = Storage(provider=provider, connection_id="a", bucket="media")
    nothing = NothingListed.under(storage, prefix, access="the connection a")
    assert nothing.why == why
    assert nothing.remedy.endswith("and the connection a.")
    assert ("case counts" in nothing.remedy) is bool(prefix)
