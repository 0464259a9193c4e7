"""Where Open Telekom Cloud has its object storage (OBS), which speaks the language of S3."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

from cloud_sync.errors import ConfigError

REGION: Final = re.compile(r"[a-z]{2}-[a-z]{2,}\d*")
DOMAIN: Final = "otc.t-systems.com"
DOMAIN_OF_REGION: Final = {"eu-ch2": f"sc.{DOMAIN}"}
"""Regions of clouds that stand apart: the Swiss one."""


def otc_endpoint(region: str) -> str:
    """Return the address of a region's object storage, without the bucket.

    OBS wants the bucket in the host name: give the address to `open_s3` with `virtual_hosted=True`, which
    puts it there. Asked otherwise, some clients list nothing and say nothing.

    Args:
        region: `eu-de`, `eu-nl` or `eu-ch2`, or one that is new.

    Raises:
        ConfigError: It cannot be the name of a region.
    """
    if not REGION.fullmatch(region):
        raise ConfigError(
            f"{region!r} is no region of Open Telekom Cloud.",
            where="storage.region",
            remedy="Give one as eu-de, eu-nl or eu-ch2.",
        )
    return f"https://obs.{region}.{DOMAIN_OF_REGION.get(region, DOMAIN)}"


def is_otc(endpoint_url: str) -> bool:
    """Tell whether an endpoint is Open Telekom Cloud's own, which wants the bucket in the host name."""
    host = urlsplit(endpoint_url).hostname or ""
    return host.endswith(f".{DOMAIN}")
