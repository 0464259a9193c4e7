"""URLs fit for messages and logs: without what can be a password."""

from __future__ import annotations

import re


def without_secrets(url: str) -> str:
    """Return a URL without its user part, query and fragment, whatever else is wrong with it."""
    start = re.split(r"[?#]", url, maxsplit=1)[0]
    scheme, separator, rest = start.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{separator}{host.rpartition('@')[2]}{slash}{path}" if separator else start
