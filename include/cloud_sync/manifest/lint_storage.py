"""Compare a manifest's object URLs with those of an integration: are they of its bucket, in its form?"""

from __future__ import annotations

from collections import Counter
from typing import Protocol

from cloud_sync.errors import CloudSyncError
from cloud_sync.manifest.content import ReadManifest
from cloud_sync.manifest.findings import Finding, Findings
from cloud_sync.manifest.lint_urls import SHOWN_CHARACTERS
from cloud_sync.safe_url import without_secrets

MESSAGES = {
    "url-other-form": (
        "{count} object URLs of the integration's bucket are written otherwise than the sync writes them, "
        "such as {example}; Encord tells duplicates by the exact URL, so these files can be in the dataset "
        "twice.",
        "Write them so that they begin with {base}, percent-encoded.",
    ),
    "url-other-storage": (
        "{count} object URLs lie outside the integration's bucket, such as {example}; whether Encord's "
        "credential reads them is not known, and failures among them cannot be looked at.",
        "Check that this is the right integration; its URLs begin with {base}.",
    ),
}
"""Message and remedy of each code."""


class StorageUrls(Protocol):
    """What this needs of an integration's URLs (`cloud_sync.objects.urls.ObjectUrls`)."""

    base: str

    def is_own(self, url: str) -> bool:
        """Tell whether the sync would write exactly this URL."""

    def key_of(self, url: str) -> str:
        """Return the key of a URL of the bucket in any form, else raise a CloudSyncError."""


def lint_storage(manifest: ReadManifest, urls: StorageUrls) -> tuple[Finding, ...]:
    """Return one finding for each way in which URLs differ from the integration's: how many, and the first.

    Args:
        manifest: A manifest without errors.
        urls: Those of the integration.
    """
    counts: Counter[str] = Counter()
    first: dict[str, tuple[int, str]] = {}
    for position, item in enumerate(manifest.items):
        for url in item.object_urls:
            if not urls.is_own(url):
                code = _code(url, urls)
                counts[code] += 1
                first.setdefault(code, (position, url))
    findings = Findings()
    for code, (message, remedy) in MESSAGES.items():
        if code in first:
            position, url = first[code]
            shown = {"count": f"{counts[code]:,}", "example": without_secrets(url)[:SHOWN_CHARACTERS]}
            place = (
                f"{manifest.place_of(position)} and on" if counts[code] > 1 else manifest.place_of(position)
            )
            findings.add(code, place, message.format(**shown), remedy.format(base=urls.base))
    return findings.all()


def _code(url: str, urls: StorageUrls) -> str:
    try:
        urls.key_of(url)
    except CloudSyncError:
        return "url-other-storage"
    return "url-other-form"
