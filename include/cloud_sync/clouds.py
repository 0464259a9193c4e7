"""What the clouds call their own: regions, ARNs and the schemes of URLs, for whoever reads or writes them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

OTC_DOMAIN: Final = "otc.t-systems.com"
OTC_DOMAINS: Final[Mapping[str, str]] = {
    "eu-de": OTC_DOMAIN,
    "eu-nl": OTC_DOMAIN,
    "eu-ch2": f"sc.{OTC_DOMAIN}",
}
"""The regions of Open Telekom Cloud, each with its domain: the Swiss one stands apart."""

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
