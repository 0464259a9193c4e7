"""The alerts section of an integration file: who is told when something goes wrong, and of what."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationInfo, WithJsonSchema, field_validator

from cloud_sync.integration.fields import ConnectionId, FieldError, Section

AlertEvent = Literal["failed_run", "failed_task", "quarantine", "approval"]
"""What an alert can be about."""

# An address goes into the header of an email, where a line break would begin another header.
ADDRESS = re.compile(r"[^@\s,;<>]+@[^@\s,;<>]+")


def _address(value: str) -> str:
    if not ADDRESS.fullmatch(value):
        raise ValueError("write one address, such as oncall@example.com")
    return value


def _not_empty(values: tuple[str, ...]) -> tuple[str, ...]:
    if not values:
        raise ValueError("write at least one")
    return values


EmailAddress = Annotated[
    str,
    AfterValidator(_address),
    WithJsonSchema({"type": "string", "pattern": f"^{ADDRESS.pattern}$", "examples": ["oncall@example.com"]}),
]
AtLeastOne = (AfterValidator(_not_empty), Field(json_schema_extra={"minItems": 1}))


class EmailChannel(Section):
    """Alerts by email."""

    connection_id: ConnectionId
    """Airflow connection of type `smtp`; it also says who the sender is (`from_email`)."""
    to: Annotated[tuple[EmailAddress, ...], *AtLeastOne]
    """Addresses of who is told."""


class SlackChannel(Section):
    """Alerts in Slack."""

    connection_id: ConnectionId
    """Airflow connection of type `slackwebhook`: an incoming webhook, which has its channel."""


class WebhookChannel(Section):
    """Alerts as JSON, sent to a URL."""

    connection_id: ConnectionId
    """Airflow connection of type `http`, with the URL and what authenticates there."""


class AlertChannel(Section):
    """One way to tell people: one of email, slack and webhook."""

    email: EmailChannel | None = None
    """By email."""
    slack: SlackChannel | None = None
    """In Slack."""
    webhook: WebhookChannel | None = Field(None, validate_default=True)
    """As JSON to a URL."""
    when: Annotated[tuple[AlertEvent, ...], *AtLeastOne] = (
        "failed_run",
        "failed_task",
        "approval",
    )
    """What leads to an alert. failed_run: the verdict is `failed`. failed_task: a task failed for good.
    approval: a plan waits for a person.
    quarantine: the run is good, but some of its files failed for a reason that does not pass by itself."""

    @field_validator("webhook")
    @classmethod
    def _one_kind(cls, webhook: WebhookChannel | None, info: ValidationInfo) -> WebhookChannel | None:
        # One that is wrong is there as well, and is an error of its own.
        kinds = (info.data.get("email", ...), info.data.get("slack", ...), webhook)
        if sum(one is not None for one in kinds) != 1:
            raise FieldError(
                "write one of email, slack and webhook; for another make another entry of the list", at=()
            )
        return webhook

    @property
    def kind(self) -> Literal["email", "slack", "webhook"]:
        """Which of the three it is."""
        return "email" if self.email else "slack" if self.slack else "webhook"

    @property
    def connection_id(self) -> str:
        """The Airflow connection, of whichever kind."""
        chosen = self.email or self.slack or self.webhook
        assert chosen is not None  # noqa: S101 (the validator has seen to it)
        return chosen.connection_id
