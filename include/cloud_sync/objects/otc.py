"""Where Open Telekom Cloud has its object storage (OBS), which speaks the language of S3."""

from __future__ import annotations

from urllib.parse import urlsplit

from cloud_sync.clouds import OTC_DOMAIN, OTC_DOMAINS
from cloud_sync.errors import ConfigError
from cloud_sync.nearest import one_of


def otc_endpoint(region: str) -> str:
    """Return the address of a region's object storage, without the bucket.

    OBS wants the bucket in the host name: give the address to `open_s3` with `virtual_hosted=True`, which
    puts it there. Asked otherwise, some clients list nothing and say nothing.

    Args:
        region: `eu-de`, `eu-nl` or `eu-ch2`.

    Raises:
        ConfigError: It is none of these.
    """
    if region not in OTC_DOMAINS:
        raise ConfigError(
            f"{region!r} is no region of Open Telekom Cloud that this release knows.",
            where="region",
            remedy=f"Give {one_of(OTC_DOMAINS)}; of a newer region also the endpoint: `endpoint_url` among "
            "the extras of the connection, or --endpoint-url.",
        )
    return f"https://obs.{region}.{OTC_DOMAINS[region]}"


def is_otc(endpoint_url: str) -> bool:
    """Tell whether an endpoint is Open Telekom Cloud's own, which wants the bucket in the host name."""
    host = urlsplit(endpoint_url).hostname or ""
    return host.endswith(f".{OTC_DOMAIN}")
