"""One table from what the encord SDK raises to what this project raises.

The SDK's exceptions are told by their class names, so that this module can be read and tested without
importing the SDK (1 s); a test holds the names against the installed SDK.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cloud_sync.errors import CloudSyncError, ConfigError, EncordError

LONGEST_TEXT = 300
NEAR_TITLES = 5  # as many are named of the others, if none is near
# An apostrophe may be part of a URL, so it does not end one.
URL_QUERY = re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s?#\"<>]*)[?#][^\s\"<>]*", re.IGNORECASE)
USER_INFO = re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^\s/?#]*@", re.IGNORECASE)
PEM = re.compile(r"-----BEGIN.*?(-----END[^-]*-----|$)", re.DOTALL)


class EncordRefusedError(EncordError):
    """Encord answered no and changed nothing: the same request may be made again without harm."""


class ManifestRefusedError(EncordRefusedError):
    """Encord will not take this one manifest, for what is in it; other manifests are not concerned."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What one class of the SDK's exceptions means.

    Attributes:
        kind: The class to raise.
        message: What went wrong, in a sentence without its full stop.
        remedy: What to do about it.
        transient: Whether the same call may succeed later.
        quote: Whether Encord's own text says more than the message does.
        about_content: Whether it is about what was sent, and not about who sent it or where to.
    """

    kind: type[CloudSyncError]
    message: str
    remedy: str
    transient: bool = False
    quote: bool = True
    about_content: bool = False


KEY_REMEDY = (
    "Add the key's public half to an Encord user or service account, and check the API domain "
    "(https://api.encord.com, or https://api.us.encord.com in the US). "
    "Signatures hold for minutes only, so the clock of this machine has to be right."
)
LATER_REMEDY = "It is tried again by itself; if it stays, check https://status.encord.com and the network."

RULES: dict[str, Rule] = {
    # The key and what it may do
    "AuthenticationError": Rule(ConfigError, "Encord does not accept the SSH key", KEY_REMEDY, quote=False),
    "SshKeyNotFound": Rule(ConfigError, "Encord does not know the SSH key", KEY_REMEDY, quote=False),
    "DuplicateSshKeyError": Rule(
        ConfigError,
        "Encord knows the SSH key of two users",
        "Use a key that only one user has.",
        quote=False,
    ),
    "AuthorisationError": Rule(
        ConfigError,
        "Encord refused access",
        "Check that it exists and that the key's user may write to it; "
        "to register data the user needs the role Admin on the Encord integration.",
    ),
    "ResourceNotFoundError": Rule(
        EncordRefusedError, "Encord does not have it", "Check whether it was removed in Encord."
    ),
    # Requests that Encord understood and declined
    "RateLimitExceededError": Rule(
        EncordRefusedError, "Encord asks for fewer requests", LATER_REMEDY, transient=True, quote=False
    ),
    "PayloadTooLargeError": Rule(
        EncordRefusedError,
        "Encord finds the manifest too large",
        "Lower upload.items_per_manifest in the integration file.",
        about_content=True,
    ),
    "InvalidArgumentsError": Rule(
        EncordRefusedError, "Encord refused the request", "Correct what it names.", about_content=True
    ),
    "ResourceExistsError": Rule(
        EncordRefusedError, "Encord has it already", "Choose another name or use the one that exists."
    ),
    "MethodNotAllowedError": Rule(
        EncordRefusedError,
        "Encord does not offer this request",
        "Check the API domain and the SDK's version.",
    ),
    "OperationNotAllowed": Rule(
        EncordRefusedError, "Encord does not allow this", "Check the role of the key's user."
    ),
    # No clear answer: the request may have been carried out
    "TimeOutError": Rule(
        EncordError, "Encord did not answer in time", LATER_REMEDY, transient=True, quote=False
    ),
    "RequestException": Rule(
        EncordError, "Encord could not be reached", LATER_REMEDY, transient=True, quote=False
    ),
    "UnknownException": Rule(EncordError, "Encord had an internal error", LATER_REMEDY, transient=True),
    "GenericServerError": Rule(
        EncordError, "Encord had an internal error", LATER_REMEDY, transient=True, quote=False
    ),
    "EncordException": Rule(
        EncordError,
        "Encord's answer is not one that the installed SDK understands",
        "Check the API domain, then for a newer version of this project.",
    ),
}
CERTIFICATE_RULE = Rule(
    ConfigError,
    "the certificate of the API domain is not trusted",
    "Check the API domain; for a private certificate authority set REQUESTS_CA_BUNDLE.",
    quote=False,
)
DOMAIN_RULE = Rule(
    ConfigError,
    "the API domain is not a URL that can be called",
    "Write it as https://api.encord.com, without a path.",
    quote=False,
)
NO_CONNECTION_RULE = Rule(
    EncordRefusedError, "Encord could not be reached", LATER_REMEDY, transient=True, quote=False
)
# By the class names of requests, urllib3 and our transport, which the SDK lets through or wraps.
TRANSPORT_RULES: dict[str, Rule] = {
    "SSLError": CERTIFICATE_RULE,
    "InvalidURL": DOMAIN_RULE,
    "MissingSchema": DOMAIN_RULE,
    "InvalidSchema": DOMAIN_RULE,
    "PausedError": Rule(
        EncordRefusedError,
        "Encord asked for a pause that is not over yet",
        LATER_REMEDY,
        transient=True,
        quote=False,
    ),
    # Nothing was sent.
    "ConnectTimeout": NO_CONNECTION_RULE,
    "NewConnectionError": NO_CONNECTION_RULE,
}


def translate(
    error: Exception,
    *,
    where: str,
    changes_nothing: bool = False,
    sends_manifest: bool = False,
    pause_s: float = 0,
) -> CloudSyncError:
    """Turn an exception of the SDK into the error of this project that is to be raised `from None`.

    Args:
        error: What the SDK raised: its own exceptions, those of requests, or a ValueError for an
            answer it could not read.
        where: The dataset, folder or job that the call was about.
        changes_nothing: The call was a read, so whatever happened, nothing was changed.
        sends_manifest: The call sent a manifest, so a refusal of its content is one of that manifest.
        pause_s: For how long Encord wants to be left alone now.
    """
    rule = _rule_for(error)
    kind = _kind(rule, changes_nothing=changes_nothing, sends_manifest=sends_manifest)
    text = _quotable(error) if rule.quote else ""
    trace_id = getattr(getattr(error, "context", None), "trace_id", None)
    message = f"{rule.message}{f': {text}' if text else ''}".rstrip(".") + "."
    return kind(
        f"{message} (Encord trace id {trace_id}.)" if trace_id else message,
        where=where,
        remedy=rule.remedy,
        transient=rule.transient,
        retry_after_s=pause_s or getattr(error, "retry_after", None) if rule.transient else None,
    )


def _seen(known: Sequence[str]) -> str:
    """Say which titles there are, a few of them."""
    if not known:
        return "The user sees none at all."
    more = f" and {len(known) - NEAR_TITLES} more" if len(known) > NEAR_TITLES else ""
    return f"The user sees {', '.join(map(repr, known[:NEAR_TITLES]))}{more}."


def the_one(
    matches: Sequence[tuple[str, str]], wanted: str, known: Sequence[str], *, where: str
) -> tuple[str, str]:
    """Return the only one of the matches.

    Args:
        matches: Uuid and title of each thing that answers to the name.
        wanted: The name, a title or a uuid.
        known: The titles there are, to name near ones.
        where: What was looked for.

    Raises:
        ConfigError: None or several answer to the name.
    """
    if len(matches) == 1:
        return matches[0]
    if matches:
        uuids = ", ".join(sorted(uuid for uuid, _ in matches))
        raise ConfigError(
            f"{len(matches)} have this title: {uuids}.",
            where=where,
            remedy="Write the UUID of the one you mean instead of the title.",
        )
    near = difflib.get_close_matches(wanted, known, n=NEAR_TITLES, cutoff=0.4)
    shown = f"Near titles: {', '.join(map(repr, near))}." if near else _seen(known)
    raise ConfigError(
        f"Encord has none that this user can see. {shown}",
        where=where,
        remedy="Correct the name, or give the key's user access to it.",
    )


def _kind(rule: Rule, *, changes_nothing: bool, sends_manifest: bool) -> type[CloudSyncError]:
    if sends_manifest and rule.about_content:
        return ManifestRefusedError
    return EncordRefusedError if changes_nothing and rule.kind is EncordError else rule.kind


def _rule_for(error: Exception) -> Rule:
    for cause in _chain(error):
        for base in type(cause).__mro__:
            if rule := TRANSPORT_RULES.get(base.__name__):
                return rule
    names = [base.__name__ for base in type(error).__mro__]
    # A 422 reaches us as an unknown error whose message is the list of what is wrong with the request.
    if "UnknownException" in names and isinstance(getattr(error, "message", None), list):
        return RULES["InvalidArgumentsError"]
    return next((RULES[name] for name in names if name in RULES), RULES["EncordException"])


def _chain(error: BaseException | None) -> list[BaseException]:
    causes: list[BaseException] = []
    while error is not None and error not in causes:
        causes.append(error)
        inner: Any = next((arg for arg in error.args if isinstance(arg, BaseException)), None)
        reason = getattr(inner, "reason", None)  # of urllib3's MaxRetryError
        error = error.__cause__ or (reason if isinstance(reason, BaseException) else inner)
    return causes


def _quotable(error: Exception) -> str:
    message: Any = getattr(error, "message", None)
    if isinstance(message, list):
        parts = (f"{_dotted(one.get('loc'))}: {one.get('msg')}" for one in message if isinstance(one, dict))
        return clean_text("; ".join(parts))
    if not isinstance(message, str):
        return ""
    # Of a failed validation: what was wanted and the first field, not the values that follow.
    return clean_text(" ".join(message.splitlines()[:2]))


def _dotted(loc: Any) -> str:
    return ".".join(str(step) for step in loc) if isinstance(loc, list | tuple) else "request"


def clean_text(text: str, longest: int = LONGEST_TEXT) -> str:
    """Return remote text on one line, at most `longest` characters, without anything that could be secret.

    Takes out key blocks, and the query, fragment and user part of URLs: a presigned URL is a password.
    """
    text = USER_INFO.sub(r"\1", URL_QUERY.sub(r"\1", PEM.sub("[key]", text)))
    text = " ".join(text.split())
    return text if len(text) <= longest else text[: longest - 1] + "…"
