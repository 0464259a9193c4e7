"""An alert as each channel wants it: plain text for an email, mrkdwn for Slack, JSON for a webhook."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final

from cloud_sync.failures.alert import EXAMPLES, LONGEST_NAME, Alert, Cause, clean, digest_of
from cloud_sync.numbers import counted

BODY_VERSION: Final = 1
"""Of the JSON object for webhooks: grows when a field is removed or changes its meaning."""
LONGEST_SUBJECT: Final = 150
SLACK_CHARACTERS: Final = 3000
"""Slack's limit of a text in a block; longer messages are also split or cut by its clients."""
EMAIL_CHARACTERS: Final = 20_000
CAUSES_IN_BODY: Final = 50

COUNT_WORDS: Final = {
    "registered": "registered by this run",
    "already_registered": "registered before",
    "failed": "failed",
    "waiting": "never answered for",
}


@dataclass(frozen=True, slots=True)
class Markup:
    """How a channel writes things.

    Attributes:
        text: Makes text harmless that comes from outside.
        strong: Of a whole line.
        example: Of a URL or key.
        link: Of an address and the words for it.
    """

    text: Callable[[str], str]
    strong: Callable[[str], str]
    example: Callable[[str], str]
    link: Callable[[str, str], str]


def _mrkdwn(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


PLAIN: Final = Markup(
    text=str, strong=str, example=lambda text: f"    {text}", link=lambda url, words: f"{words}: {url}"
)
SLACK: Final = Markup(
    text=_mrkdwn,
    strong=lambda line: f"*{line}*",
    example=lambda text: f"    `{text.replace('`', chr(39))}`",
    link=lambda url, words: f"<{url}|{words}>",
)


def subject(alert: Alert) -> str:
    """Return one line, at most 150 characters."""
    return clean(alert.headline, LONGEST_SUBJECT)


def plain_text(alert: Alert) -> str:
    """Return what an email says, as plain text."""
    return _fitted(alert, PLAIN, EMAIL_CHARACTERS)


def email_html(text: str) -> str:
    """Return plain text as the HTML that Airflow's SMTP hook sends."""
    return f'<pre style="white-space: pre-wrap">{html.escape(text)}</pre>'


def slack_text(alert: Alert) -> str:
    """Return what is said in Slack, at most 3,000 characters of mrkdwn."""
    return _fitted(alert, SLACK, SLACK_CHARACTERS)


def webhook_body(alert: Alert) -> dict[str, Any]:
    """Return the JSON object that a webhook gets; docs/alerts.md explains its fields."""
    place = alert.place
    return {
        "version": BODY_VERSION,
        "id": digest_of(place.dag_id, place.run_id, *alert.keys),
        "event": alert.event,
        "subject": subject(alert),
        "integration": place.integration,
        "dataset": place.dataset,
        "dag_id": place.dag_id,
        "run_id": place.run_id,
        "run_url": place.run_url,
        "task": alert.task,
        "message": alert.why,
        "remedy": alert.remedy,
        "counts": dict(alert.counts),
        "causes": [asdict(cause) for cause in alert.causes[:CAUSES_IN_BODY]],
        "more_causes": max(0, len(alert.causes) - CAUSES_IN_BODY),
        "failures_csv": alert.failures_csv,
    }


def _fitted(alert: Alert, markup: Markup, longest: int) -> str:
    """Return as much as fits: first examples are left out, then causes. Both are counted."""
    for examples in (EXAMPLES, 2, 1, 0):
        if len(text := _text(alert, markup, len(alert.causes), examples)) <= longest:
            return text
    for causes in range(len(alert.causes) - 1, -1, -1):
        if len(text := _text(alert, markup, causes, 0)) <= longest:
            return text
    return f"{_text(alert, markup, 0, 0)[: longest - 1]}…"  # a message of little but characters to escape


def _text(alert: Alert, markup: Markup, causes: int, examples: int) -> str:
    return "\n".join(_lines(alert, markup, causes, examples))


def _lines(alert: Alert, markup: Markup, causes: int, examples: int) -> Iterator[str]:
    place = alert.place
    yield markup.strong(markup.text(clean(alert.headline)))
    yield f"What to do: {markup.text(alert.remedy)}"
    yield ""
    dataset = f", dataset {place.dataset}" if place.dataset else ""
    run = clean(place.run_id, LONGEST_NAME)
    yield markup.text(f"Integration {place.integration}{dataset}, run {run}")
    if alert.counts:
        yield "Items: " + ", ".join(f"{alert.counts[name]:,} {word}" for name, word in COUNT_WORDS.items())
    if "quarantined" in alert.counts:
        files = counted(alert.counts["quarantined"], "file")
        yield f"In quarantine: {files} of all runs, {alert.counts['newly_quarantined']:,} by this one"
    for cause in alert.causes[:causes]:
        yield ""
        yield from _cause_lines(cause, markup, examples)
    if left := len(alert.causes) - causes:
        yield ""
        yield f"…and {counted(left, 'more cause')}"
    yield ""
    if alert.failures_csv:
        yield markup.text(f"All failures: {alert.failures_csv}")
    yield markup.link(place.run_url, "The run in Airflow")


def _cause_lines(cause: Cause, markup: Markup, examples: int) -> Iterator[str]:
    yield markup.text(f"{cause.count:,} x {cause.failure_class}: {cause.reason} {cause.remedy}")
    shown = cause.examples[:examples]
    for url in shown:
        yield markup.example(markup.text(url))
    if shown and (left := cause.count - len(shown)) > 0:
        yield f"    …and {left:,} more"
