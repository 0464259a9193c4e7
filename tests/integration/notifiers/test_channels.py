"""Alerts through Airflow's own notifiers: to a real SMTP server, and to a real receiver of webhooks."""

from __future__ import annotations

import email
import email.policy
import json
import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from cloud_sync.errors import ConfigError
from cloud_sync.failures.alert import Alert, task_alert
from cloud_sync.failures.alert_text import plain_text, slack_text, webhook_body
from cloud_sync.integration import AlertChannel
from cloud_sync.run_folder import RunFolder
from cloud_sync_airflow.notifiers import dispatch as dispatching
from cloud_sync_airflow.notifiers.dispatch import dispatch
from tests.servers import LOOPBACK, free_ports
from tests.unit.failures.test_alert import CORRUPT, PLACE, alert_of

TOKEN = "T0000/B0000/canary-token-of-slack"
PASSWORD = "canary-password-of-mail"
# A file name that would be a program if it were a template, a header or markup.
ODD = CORRUPT | {"examples": ["https://b/{{ 7 * 7 }}<b>&.jpg?X-Amz-Signature=canary-signature"]}
EMAIL = AlertChannel.model_validate(
    {"email": {"connection_id": "test_mail", "to": ["a@example.com", "b@example.com"]}}
)
SLACK = AlertChannel.model_validate({"slack": {"connection_id": "test_slack"}})
WEBHOOK = AlertChannel.model_validate({"webhook": {"connection_id": "test_webhook"}})


class Mailbox:
    """Keeps what an SMTP server was given."""

    def __init__(self) -> None:
        self.envelopes: list[Any] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 (aiosmtpd)
        self.envelopes.append(envelope)
        return "250 OK"


@pytest.fixture
def mailbox(monkeypatch) -> Iterator[Mailbox]:
    mailbox = Mailbox()
    controller = Controller(
        mailbox,
        hostname=LOOPBACK,
        port=free_ports(1)[0],
        authenticator=lambda server, session, envelope, mechanism, login: AuthResult(
            success=(login.login, login.password) == (b"alerts", PASSWORD.encode()), handled=False
        ),
        auth_require_tls=False,
    )
    controller.start()
    set_connection(
        monkeypatch, "mail", "smtp", controller.port, login="alerts", password=PASSWORD,
        extra={"from_email": "sync@example.com", "disable_ssl": True, "disable_tls": True},
    )  # fmt: skip
    yield mailbox
    controller.stop()


class Receiver(ThreadingHTTPServer):
    """Keeps what was posted, as (path, headers, body)."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__((LOOPBACK, 0), Handler)
        self.posted: list[tuple[str, dict[str, str], Any]] = []
        self.status = 200


class Handler(BaseHTTPRequestHandler):
    """Answers `ok`, as Slack does."""

    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.posted.append((self.path, dict(self.headers), json.loads(body)))
        self.send_response(self.server.status)
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def receiver(monkeypatch) -> Iterator[Receiver]:
    with Receiver() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://{LOOPBACK}:{server.server_port}"
        set_connection(monkeypatch, "slack", "slackwebhook", host=f"{address}/services", password=TOKEN)
        set_connection(
            monkeypatch, "webhook", "http", host=f"{address}/hooks/canary-token-of-webhook",
            extra={"Authorization": "Bearer canary-bearer"},
        )  # fmt: skip
        yield server
        server.shutdown()


def set_connection(
    monkeypatch: pytest.MonkeyPatch, name: str, conn_type: str, port: int | None = None, **fields: Any
) -> None:
    fields = {"conn_type": conn_type, "host": LOOPBACK, "port": port, **fields}
    monkeypatch.setenv(f"AIRFLOW_CONN_TEST_{name.upper()}", json.dumps(fields))


@pytest.fixture
def folder(tmp_path) -> RunFolder:
    return RunFolder(tmp_path / "run")


@pytest.fixture
def alert() -> Alert:
    return alert_of(failures_by_cause=[ODD])


def warnings(caplog, logger: str = "cloud_sync_airflow.notifiers.dispatch") -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == logger and record.levelno > 20]


def test_an_email_has_who_what_and_why(mailbox, folder, alert):
    dispatch(alert, [EMAIL], folder, {})
    [envelope] = mailbox.envelopes
    assert (envelope.mail_from, envelope.rcpt_tos) == ("sync@example.com", ["a@example.com", "b@example.com"])
    message = email.message_from_bytes(envelope.content, policy=email.policy.default)
    assert message["Subject"] == "sync__cameras failed: all 9 items that were sent failed."
    assert message["To"] == "a@example.com, b@example.com"
    html = message.get_body().get_content()
    assert "    https://b/{{ 7 * 7 }}&lt;b&gt;&amp;.jpg\n" in html
    assert plain_text(alert).splitlines()[1] in html


def test_a_message_in_slack(receiver, folder, alert):
    dispatch(alert, [SLACK], folder, {})
    [(path, _, body)] = receiver.posted
    assert path == f"/services/{TOKEN}"
    assert body == {"text": slack_text(alert), "unfurl_links": False}
    assert "`https://b/{{ 7 * 7 }}&lt;b&gt;&amp;.jpg`" in body["text"]


def test_an_object_for_a_webhook(receiver, folder, alert):
    dispatch(alert, [WEBHOOK], folder, {})
    [(path, headers, body)] = receiver.posted
    assert path == "/hooks/canary-token-of-webhook"
    assert (headers["Content-Type"], headers["Authorization"]) == ("application/json", "Bearer canary-bearer")
    assert body == json.loads(json.dumps(webhook_body(alert)))


def test_one_alert_for_a_cause_reaches_all_channels_once(mailbox, receiver, folder, alert):
    for _ in range(2):
        dispatch(alert, [EMAIL, SLACK, WEBHOOK], folder, {})
    assert len(mailbox.envelopes) == 1
    assert len(receiver.posted) == 2


def test_no_secret_is_in_what_is_sent_logged_or_kept(mailbox, receiver, folder, alert, caplog):
    caplog.set_level(logging.INFO)
    dispatch(alert, [EMAIL, SLACK, WEBHOOK], folder, {})
    receiver.status = 500
    known = task_alert(ValueError(f"{PASSWORD} {TOKEN} canary-bearer"), PLACE, "list")
    dispatch(known, [EMAIL, SLACK, WEBHOOK], folder, {})
    assert (len(mailbox.envelopes), len(receiver.posted)) == (2, 4)
    bodies = [str(body) for _, _, body in receiver.posted]
    mails = [
        str(email.message_from_bytes(one.content, policy=email.policy.default).get_body().get_content())
        for one in mailbox.envelopes
    ]
    markers = [folder.read(name).decode() for name in folder.names("alerts/*")]
    assert len(markers) > 3
    told = "\n".join([*bodies, *mails, *markers, *warnings(caplog)])
    assert "canary" not in told
    assert "***" in told


class TestTrouble:
    def test_a_receiver_that_refuses(self, receiver, folder, alert, caplog):
        receiver.status = 403
        dispatch(alert, [SLACK, WEBHOOK], folder, {})
        slack, webhook = sorted(warnings(caplog))
        assert slack.startswith("Alert was not sent: slack, connection test_slack: AirflowException: ")
        assert "Status Code: 403" in slack
        assert webhook.endswith(
            "AirflowException: 403:Forbidden Check the connection test_webhook by docs/alerts.md; "
            "the run is not affected."
        )

    def test_a_wrong_password(self, mailbox, folder, alert, caplog, monkeypatch):
        conn = json.loads(os.environ["AIRFLOW_CONN_TEST_MAIL"]) | {"password": "canary-wrong"}
        monkeypatch.setenv("AIRFLOW_CONN_TEST_MAIL", json.dumps(conn))
        dispatch(alert, [EMAIL], folder, {})
        [line] = warnings(caplog)
        assert "SMTPAuthenticationError" in line
        assert "canary" not in line
        assert mailbox.envelopes == []

    def test_nobody_listens(self, folder, alert, caplog, monkeypatch):
        [port] = free_ports(1)
        host = f"http://{LOOPBACK}:{port}/hooks/canary-token-of-webhook"
        set_connection(monkeypatch, "webhook", "http", host=host)
        set_connection(monkeypatch, "mail", "smtp", port, extra={"disable_ssl": True, "disable_tls": True})
        dispatch(alert, [EMAIL, WEBHOOK], folder, {})
        assert len(warnings(caplog)) == 2
        assert "canary" not in str(warnings(caplog))

    def test_a_server_that_takes_the_call_and_says_nothing(
        self, folder, alert, caplog, monkeypatch, receiver
    ):
        monkeypatch.setattr(dispatching, "TIMEOUT_S", 1.0)
        with socket.create_server((LOOPBACK, 0)) as silent:
            port = silent.getsockname()[1]
            set_connection(monkeypatch, "mail", "smtp", port, extra={"disable_ssl": True, "timeout": 30})
            begun = time.monotonic()
            dispatch(alert, [EMAIL, WEBHOOK], folder, {})
            assert time.monotonic() - begun < 5
        assert len(receiver.posted) == 1
        [line] = warnings(caplog)
        assert "email, connection test_mail: TimeoutError: no answer within 1 s." in line

    @pytest.mark.parametrize("missing", [True, False])
    def test_a_connection_that_is_missing_or_of_another_type(
        self, folder, alert, caplog, monkeypatch, missing
    ):
        if not missing:
            set_connection(monkeypatch, "slack", "slack")
        dispatch(alert, [SLACK], folder, {})
        [line] = warnings(caplog)
        error = (
            ConfigError("does not exist.", where="connection test_slack", remedy="Add it in the Airflow UI "
                        "(type slackwebhook), or correct alerts, slack.connection_id.")
            if missing
            else ConfigError("is of the type 'slack'.", where="connection test_slack",
                             remedy="An alert by slack needs a connection of type 'slackwebhook'.")
        )  # fmt: skip
        assert line == f"Alert was not sent: slack, connection test_slack: {error}"
