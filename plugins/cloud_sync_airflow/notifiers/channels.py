"""The channels of alerts, each through Airflow's own notifier for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import BaseHook
from airflow.sdk.log import mask_secret, redact

from cloud_sync.failures.alert_text import email_html, plain_text, slack_text, subject, webhook_body
from cloud_sync_airflow.hooks.connections import checked_connection

if TYPE_CHECKING:
    from airflow.sdk import BaseNotifier, Connection, Context

    from cloud_sync.failures.alert import Alert
    from cloud_sync.integration import AlertChannel

CONNECTION_TYPES = {"email": "smtp", "slack": "slackwebhook", "webhook": "http"}
SHORTEST_TOKEN = 12  # shorter parts of an address or a header are words
HARMLESS = frozenset({"accept", "content-type", "user-agent"})


def send(channel: AlertChannel, alert: Alert, context: Context, *, timeout_s: float) -> None:
    """Send an alert through one channel.

    Raises:
        ConfigError: The channel's connection does not exist or is of another type.
        Exception: Whatever the channel's library raises if it cannot send.
    """
    connection = checked_connection(
        BaseHook.get_connection,
        channel.connection_id,
        CONNECTION_TYPES[channel.kind],
        setting=f"alerts, {channel.kind}.connection_id",
        user=f"An alert by {channel.kind}",
    )
    if channel.kind == "webhook":
        _mask_tokens(connection)
    # Not called as Airflow calls notifiers: that takes the text for a template, and file names are in it.
    _notifier(channel, alert, timeout_s).notify(context)


def _notifier(channel: AlertChannel, alert: Alert, timeout_s: float) -> BaseNotifier:
    conn_id = channel.connection_id
    if channel.email:
        from airflow.providers.smtp.notifications.smtp import SmtpNotifier

        return SmtpNotifier(
            smtp_conn_id=conn_id,
            to=list(channel.email.to),
            subject=redact(subject(alert)),
            html_content=email_html(redact(plain_text(alert))),
        )
    if channel.slack:
        from airflow.providers.slack.notifications.slack_webhook import SlackWebhookNotifier

        return SlackWebhookNotifier(
            slack_webhook_conn_id=conn_id,
            text=redact(slack_text(alert)),
            unfurl_links=False,
            timeout=int(timeout_s),
        )
    from airflow.providers.http.notifications.http import HttpNotifier

    return HttpNotifier(
        http_conn_id=conn_id, json=redact(webhook_body(alert)), extra_options={"timeout": timeout_s}
    )


def _mask_tokens(connection: Connection) -> None:
    """Have Airflow blank out what may be a token in a webhook's address or headers, as it does passwords."""
    address = (connection.host or "").partition("://")[2]
    headers = {name: value for name, value in connection.extra_dejson.items() if name.lower() not in HARMLESS}
    words = [word for value in headers.values() if isinstance(value, str) for word in value.split()]
    for token in (*address.split("/")[1:], *words):
        if len(token) >= SHORTEST_TOKEN:
            mask_secret(token)
