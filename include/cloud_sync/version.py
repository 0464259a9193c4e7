"""Which version this is, and how it names itself to the servers that it speaks to."""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, version

DISTRIBUTION = "encord-cloud-sync"
"""The name that pip and Airflow's provider manager know."""


@cache
def own_version() -> str:
    """Return the installed version; `0+unknown` where only the source is on the path."""
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return "0+unknown"


def user_agent() -> str:
    """Return what server logs show, as `product/version`."""
    return f"{DISTRIBUTION}/{own_version()}"
