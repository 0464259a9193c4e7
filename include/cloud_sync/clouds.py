"""What the clouds call their own: regions, ARNs and the schemes of URLs, for whoever reads or writes them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

OTC_DOMAIN: Final = "otc.t-systems.com"
OTC_DOMAINS: Final[Mapping[str, str]] = {
    "eu-de": OTC_DOMAIN,
    "eu-nl": OTC_DOMAIN,
    "eu-ch2": f"sc.{OTC_DOMAIN}",
}
"""The regions of Open Telekom Cloud, each with its domain: the Swiss one stands apart."""

AWS_DOMAIN: Final = "amazonaws.com"
AWS_DOMAINS: Final[Mapping[str, str]] = {
    "cn-": "amazonaws.com.cn",
    "eusc-": "amazonaws.eu",
    "us-iso-": "c2s.ic.gov",
    "us-isob-": "sc2s.sgov.gov",
    "us-isof-": "csp.hci.ic.gov",
    "eu-isoe-": "cloud.adc-e.uk",
}
"""The parts of AWS that stand apart: what their regions begin with, and their domain."""


def aws_domain(region: str) -> str:
    """Return the domain of a region of AWS."""
    return next((found for start, found in AWS_DOMAINS.items() if region.startswith(start)), AWS_DOMAIN)


def aws_endpoint(region: str) -> str:
    """Return the address of S3 in a region of AWS."""
    return f"https://s3.{region}.{aws_domain(region)}"


def is_aws(url: str) -> bool:
    """Tell whether an endpoint is one of AWS: also one of a private network, dual-stack or FIPS."""
    host = urlsplit(url).hostname or ""
    return host.endswith(tuple(f".{domain}" for domain in (AWS_DOMAIN, *AWS_DOMAINS.values())))


MRAP_ARN: Final = re.compile(r"arn:aws[a-z-]*:s3::\d{12}:accesspoint/[A-Za-z0-9.-]+\.mrap")
MRAP_FORM: Final = "arn:aws:s3::<account>:accesspoint/<alias>.mrap"

PROVIDER_OF_SCHEME: Final[Mapping[str, str]] = {
    "s3": "s3",
    "s3a": "s3",
    "gs": "gcs",
    "az": "azure",
    "wasb": "azure",
    "wasbs": "azure",
    "abfs": "azure",
    "abfss": "azure",
    "obs": "otc",
}
"""The provider that is meant by the scheme of a URL."""
