"""The channels of alerts, each through Airflow's own notifier for it."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from airflow.sdk import BaseHook
from airflow.sdk.log import mask_secret, redact

from cloud_sync.errors import ConfigError
from cloud_sync.failures.alert_text import email_html, plain_text, slack_text, subject, webhook_body
from cloud_sync_airflow.hooks.connections import checked_connection

if TYPE_CHECKING:
    from airflow.sdk import BaseNotifier, Connection, Context

    from cloud_sync.failures.alert import Alert
    from cloud_sync.integration import AlertChannel

NOTIFIERS = {
    "email": ("smtp", "smtp.SmtpNotifier"),
    "slack": ("slack", "slack_webhook.SlackWebhookNotifier"),
    "webhook": ("http", "http.HttpNotifier"),
}
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


def load_notifier(channel: AlertChannel) -> type[BaseNotifier]:
    """Import Airflow's notifier for a channel.

    Raises:
        ConfigError: The provider package is not installed.
    """
    provider, path = NOTIFIERS[channel.kind]
    module, _, name = f"airflow.providers.{provider}.notifications.{path}".rpartition(".")
    try:
        notifier: type[BaseNotifier] = getattr(import_module(module), name)
    except ImportError as error:
        raise ConfigError(
            f"Airflow's notifier for it cannot be imported: {error}.",
            where=f"alert by {channel.kind}",
            remedy=f"Install apache-airflow-providers-{provider}, as requirements.txt has it.",
        ) from None
    return notifier


def _notifier(channel: AlertChannel, alert: Alert, timeout_s: float) -> BaseNotifier:
    notifier, conn_id = load_notifier(channel), channel.connection_id
    if channel.email:
        return notifier(
            smtp_conn_id=conn_id,
            to=list(channel.email.to),
            subject=redact(subject(alert)),
            html_content=email_html(redact(plain_text(alert))),
        )
    if channel.slack:
        return notifier(
            slack_webhook_conn_id=conn_id,
            text=redact(slack_text(alert)),
            unfurl_links=False,
            timeout=max(1, int(timeout_s)),
        )
    return notifier(
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
