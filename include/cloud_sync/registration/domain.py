"""The API domain of Encord: which one, and whether it can be one."""

from __future__ import annotations

from urllib.parse import urlsplit

from cloud_sync.errors import ConfigError
from cloud_sync.registration.errors import DOMAIN_RULE

DEFAULT_DOMAIN = "https://api.encord.com"


def check_domain(domain: str) -> str:
    """Return an API domain without a slash at its end.

    Raises:
        ConfigError: It is not `http://host` or `https://host`, with a port at most.
    """
    cleaned = domain.strip().rstrip("/")
    try:
        parts = urlsplit(cleaned)
        good = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good or cleaned != f"{parts.scheme}://{parts.netloc}" or "@" in parts.netloc:
        raise ConfigError(f"{DOMAIN_RULE.message}.", where="Encord connection", remedy=DOMAIN_RULE.remedy)
    return cleaned
