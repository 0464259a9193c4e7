"""Where Open Telekom Cloud has its buckets."""

from __future__ import annotations

import pytest

from cloud_sync.errors import ConfigError
from cloud_sync.objects.otc import is_otc, otc_endpoint


@pytest.mark.parametrize(
    ("region", "endpoint"),
    [
        ("eu-de", "https://obs.eu-de.otc.t-systems.com"),
        ("eu-nl", "https://obs.eu-nl.otc.t-systems.com"),
        ("eu-ch2", "https://obs.eu-ch2.sc.otc.t-systems.com"),
    ],
)
def test_each_region_has_its_endpoint(region: str, endpoint: str):
    assert otc_endpoint(region) == endpoint


@pytest.mark.parametrize("region", ["", "EU-DE", "eu-de.evil.example/", "eu-de ", "de", "eu-de\n", "eu-fr"])
def test_what_is_no_region_is_refused(region: str):
    with pytest.raises(ConfigError, match="no region of Open Telekom Cloud") as caught:
        otc_endpoint(region)
    assert "Give eu-de, eu-nl or eu-ch2; of a newer region also the endpoint" in str(caught.value)


@pytest.mark.parametrize(
    ("endpoint_url", "expected"),
    [
        ("https://obs.eu-de.otc.t-systems.com", True),
        ("https://obs.eu-ch2.sc.otc.t-systems.com:443", True),
        ("http://127.0.0.1:8333", False),
        ("https://obs.eu-de.otc.t-systems.com.example.com", False),
    ],
)
def test_its_own_endpoints_are_known(endpoint_url, expected):
    assert is_otc(endpoint_url) is expected
