"""The API domain, before it is called."""

from __future__ import annotations

import pytest

from cloud_sync.errors import ConfigError
from cloud_sync.registration.connection import check_domain


@pytest.mark.parametrize(
    "domain", ["api.encord.com", "ftp://x", "https://", "https://x/y", "https://a:b@x", ""]
)
def test_a_domain_that_cannot_be_called_is_refused(domain):
    with pytest.raises(ConfigError, match="API domain"):
        check_domain(domain)


def test_white_space_and_a_slash_at_the_end_are_no_part_of_it():
    assert check_domain(" https://api.example.com:8443/ ") == "https://api.example.com:8443"
