"""How Encord is reached: at which API domain, and how long to wait for it."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from cloud_sync.errors import ConfigError
from cloud_sync.registration.errors import DOMAIN_RULE

DEFAULT_DOMAIN = "https://api.encord.com"


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds to wait for Encord.

    Attributes:
        connect_s: To open a connection.
        request_s: For an answer. Starting a job with 10,000 items takes the service a while.
        poll_s: For the state of a job, which the service has at hand.
    """

    connect_s: int = 10
    request_s: int = 120
    poll_s: int = 30


DEFAULT_TIMEOUTS = Timeouts()


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
