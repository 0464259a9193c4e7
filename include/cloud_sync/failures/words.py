"""Diagnose by Encord's words: the last resort, for files that lie in no store that this project can ask.

Encord's errors carry no code and its texts may change, so a text that matches nothing is taken for one whose
cause may pass.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from cloud_sync.failures.model import Diagnosis, FailureClass

PATTERNS: Final = (
    (r"expected an? .*got a file of type", FailureClass.WRONG_TYPE),
    (r"does not exist|not found|no such (?:key|object|file|bucket)|\b404\b", FailureClass.MISSING),
    (
        r"forbidden|denied|refused access|permission|not authori[sz]ed|outside the integration|\b40[13]\b",
        FailureClass.FORBIDDEN,
    ),
    (r"too large|exceeds the .*limit", FailureClass.TOO_LARGE),
    (r"unsupported|not supported", FailureClass.UNSUPPORTED),
    (r"corrupt|truncated|damaged|is empty", FailureClass.CORRUPT),
)
"""Each with its class; the first that matches decides."""

REMEDIES: Final[Mapping[FailureClass, str]] = {
    FailureClass.WRONG_TYPE: "Put it under the key or heading of its type, or leave it out.",
    FailureClass.MISSING: "Correct its URL, or upload the object.",
    FailureClass.FORBIDDEN: "Allow the credential stored in Encord to read it, or choose one that may.",
    FailureClass.TOO_LARGE: "Split or compress it, or leave it out.",
    FailureClass.UNSUPPORTED: "Convert it, or leave it out.",
    FailureClass.CORRUPT: "Replace the object, or leave it out.",
}
"""What to do about a file that a person put into a manifest."""


def diagnose_by_words(said: str) -> Diagnosis | None:
    """Return what Encord's text about a file says, or None if it says nothing that is known."""
    for pattern, failure_class in PATTERNS:
        if re.search(pattern, said, re.IGNORECASE):
            reason = f"It lies outside the integration's bucket. Encord said: {said}"
            return Diagnosis(failure_class, reason, REMEDIES[failure_class])
    return None
