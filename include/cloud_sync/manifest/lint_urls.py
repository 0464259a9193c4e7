"""What can be wrong with an object URL, told from the URL alone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final
from urllib.parse import quote, unquote

import msgspec

from cloud_sync.encord_limits import MAX_URL_BYTES
from cloud_sync.safe_url import without_secrets

# The forms that Encord reads. What is wrong inside them is for the store to say.
KNOWN_FORM = re.compile(
    r"(?:https?|s3|gs)://[^/\s]+/\S|arn:aws[a-z-]*:s3::\d{12}:accesspoint/[^/\s]+/\S", re.IGNORECASE
)
USUAL_FORM = re.compile(r"(?:https?|s3|gs)://[A-Za-z0-9.-]+/[\x21\x22\x24-\x3e\x41-\x7e]+")
"""No whitespace, query, fragment, user name or character beyond ASCII: nothing to say about it."""
USUAL_START = re.compile(r"(?:https?|s3|gs)://[A-Za-z0-9.-]+/")
USUAL_BYTES: Final = bytes(code for code in range(0x21, 0x7F) if code not in b"#?@")

SIGNATURES = re.compile(
    r"[?&](?:x-amz-(?:signature|security-token|credential)|x-goog-(?:signature|credential)"
    r"|signature|sig|awsaccesskeyid|googleaccessid|token)=",
    re.IGNORECASE,
)
SHOWN_CHARACTERS: Final = 200


def are_usual(urls: Sequence[str]) -> bool:
    """Tell whether all URLs are of the usual form and not too long; many are asked about at once, in C."""
    if not urls or max(map(len, urls)) > MAX_URL_BYTES:
        return not urls
    text = msgspec.json.encode(urls)
    start = USUAL_START.match(urls[0])
    # Mostly all are of one bucket. In JSON a quote stands before each, and only there and behind it.
    opening = b'"' + start[0].encode() if start else b""
    if not start or text.count(opening) < len(urls) or opening + b'"' in text or b"\\" in text:
        return all(map(USUAL_FORM.fullmatch, urls))
    return not text.translate(None, USUAL_BYTES)


def url_faults(url: str, *, has_video_metadata: bool) -> list[tuple[str, str, str]]:
    """Return code, message and remedy for each fault of a URL; no message repeats a query."""
    faults = []
    if url and url.split() != [url]:
        encoded = "".join(quote(one) if one.isspace() else one for one in without_secrets(url))
        faults.append(
            (
                "url-whitespace",
                "contains whitespace in its object URL.",
                f"Write it as {encoded[:SHOWN_CHARACTERS]}",
            )
        )
    if len(url) > MAX_URL_BYTES or len(url.encode(errors="replace")) > MAX_URL_BYTES:
        faults.append(
            (
                "url-too-long",
                f"has an object URL of more than {MAX_URL_BYTES:,} bytes.",
                "Rename the object, or leave it out.",
            )
        )
    return faults + _form_faults(url, has_video_metadata) + _secret_faults(url)


def file_name(url: str) -> str:
    """Return the decoded name of a URL's file: the title of an item that has none."""
    return unquote(without_secrets(url).rpartition("/")[2])


def _form_faults(url: str, has_video_metadata: bool) -> list[tuple[str, str, str]]:
    if KNOWN_FORM.match(url):
        return []
    if url.strip() and "://" not in url and has_video_metadata:
        return [
            (
                "url-name-only",
                "has a bare file name as object URL; only its videoMetadata says what it is.",
                "Write the full URL, unless access is strictly from the client.",
            )
        ]
    return [
        (
            "url-unknown-form",
            f"has no full URL as object URL: {without_secrets(url)[:SHOWN_CHARACTERS]!r}.",
            "Write it as https://, s3:// or gs:// with bucket and key, or as ARN and key.",
        )
    ]


def _secret_faults(url: str) -> list[tuple[str, str, str]]:
    if "@" in url.partition("://")[2].partition("/")[0]:
        return [
            (
                "url-credentials",
                "has a user name in its object URL.",
                "Remove it: Encord reads with its own credential.",
            )
        ]
    if SIGNATURES.search(url):
        return [
            (
                "url-presigned",
                "has a signed object URL, which expires and holds a secret.",
                "Write the URL without its query: Encord signs for itself.",
            )
        ]
    if "?" in url or "#" in url:
        return [
            (
                "url-query",
                "has a query or a fragment in its object URL.",
                "Remove it; a ? or # of the key itself is written %3F or %23.",
            )
        ]
    return []
