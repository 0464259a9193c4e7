"""Encord's documented limits."""

from __future__ import annotations

from typing import Final

MAX_FILE_BYTES: Final = 100 * 1000 * 1000
MAX_ITEMS: Final = 500_000
MAX_URLS: Final = 1_000_000
MAX_VALUES: Final = 10_000_000
"""Not Encord's limit: more values than this in one JSON file would fill the memory."""

MAX_URL_BYTES: Final = 16 * 1024
MAX_TITLE_CHARACTERS: Final = 300
MAX_CLIENT_METADATA_BYTES: Final = 10_000_000
"""Of one item, as compact JSON. Encord says 10 MB; the smaller reading of that is refused by nobody."""

ITEMS_AT_ONE_TIME: Final = 10_000
"""How many Encord works on at one time; more in one manifest may be refused by the account's plan."""
