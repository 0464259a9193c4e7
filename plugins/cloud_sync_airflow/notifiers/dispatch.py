"""Bring an alert to its channels: once for each cause and run, all at a time, and within a time limit."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow.sdk.log import redact

from cloud_sync.errors import CloudSyncError, StorageError
from cloud_sync.failures.alert import clean, digest_of
from cloud_sync_airflow.notifiers.channels import load_notifier, send

if TYPE_CHECKING:
    from airflow.sdk import Context

    from cloud_sync.failures.alert import Alert
    from cloud_sync.integration import AlertChannel
    from cloud_sync.run_folder import RunFolder

log = logging.getLogger(__name__)

# Airflow ends a process that goes on for 20 s after its task (`[core] task_success_overtime`).
TIMEOUT_S = 10.0
# Whoever has not said by then whether the alert arrived was killed: a few times as long as sending may take.
CLAIM_LASTS_S = 60.0


@dataclass(slots=True)
class Delivery:
    """One alert on its way to one channel.

    Attributes:
        claims: The markers in the run folder that say that this channel was told.
        error: What went wrong; None while it is on its way and after it arrived.
    """

    channel: AlertChannel
    claims: Sequence[str]
    arrived: threading.Event = field(default_factory=threading.Event)
    error: Exception | None = None


def dispatch(alert: Alert, channels: Iterable[AlertChannel], folder: RunFolder, context: Context) -> None:
    """Send an alert to each channel that wants its event and does not know all of its causes yet.

    What goes wrong with a channel is one warning in the log. An alert that did not arrive counts as not sent.

    Args:
        alert: What to say.
        channels: Those of the integration.
        folder: The run folder; `alerts/` in it holds a marker for each channel and cause, and
            another once the alert has arrived.
        context: The task's context.
    """
    deliveries = [
        Delivery(channel, claims)
        for channel in channels
        if alert.event in channel.when and (claims := _claim(folder, channel, alert))
    ]
    for delivery in deliveries:
        _start(delivery, alert, context)
    deadline = time.monotonic() + TIMEOUT_S
    for delivery in deliveries:
        if not delivery.arrived.wait(max(0.0, deadline - time.monotonic())):
            delivery.error = TimeoutError(f"no answer within {TIMEOUT_S:g} s.")
        if delivery.error is None:
            log.info("Alert sent: %s", _name(delivery.channel))
            _confirm(folder, delivery)
        else:
            _give_up(folder, delivery, delivery.error)


def _start(delivery: Delivery, alert: Alert, context: Context) -> None:
    try:
        load_notifier(delivery.channel)  # not in the thread: two that import one package can trip each other
    except Exception as error:  # whatever an import may raise
        delivery.error = error
        delivery.arrived.set()
        return
    # A daemon: a server that does not answer must not hold the task's process.
    threading.Thread(target=_deliver, args=(delivery, alert, context), daemon=True).start()


def _deliver(delivery: Delivery, alert: Alert, context: Context) -> None:
    try:
        send(delivery.channel, alert, context, timeout_s=TIMEOUT_S)
    except Exception as error:  # each library has its own
        delivery.error = error
    delivery.arrived.set()


def _claim(folder: RunFolder, channel: AlertChannel, alert: Alert) -> list[str]:
    """Return the markers that are new with this alert; none if the channel knows all of its causes.

    Mapped tasks run at the same time, so whoever writes a marker first is the one who tells.
    """
    claimed = [name for key in alert.keys if (name := _mark(folder, channel, alert, key))]
    if claimed:
        claimed += [name for key in alert.implied if (name := _mark(folder, channel, alert, key))]
    return claimed


def _mark(folder: RunFolder, channel: AlertChannel, alert: Alert, key: str) -> str | None:
    name = f"alerts/{digest_of(channel.model_dump_json(exclude={'when'}), key)}.json"
    marker = redact({"alert": alert.headline, "channel": _name(channel), "event": alert.event})
    try:
        if folder.claim(name, marker):
            return name
        if not _was_lost(folder, name):
            return None
        folder.write_json(name, marker)  # from now on it is this one's
    except StorageError:  # told twice is better than not at all
        pass
    return name


def _was_lost(folder: RunFolder, name: str) -> bool:
    """Tell whether the process that claimed a marker ended before the alert arrived."""
    age_s = folder.age_s(name)
    if age_s is None:  # given up at this moment
        return False
    return age_s > CLAIM_LASTS_S and not folder.exists(_arrived(name))


def _arrived(name: str) -> str:
    """Return what stands beside a marker once its alert has arrived."""
    return f"{name.removesuffix('.json')}.arrived"


def _confirm(folder: RunFolder, delivery: Delivery) -> None:
    for name in delivery.claims:
        with contextlib.suppress(StorageError):
            folder.claim(_arrived(name), {})


def _give_up(folder: RunFolder, delivery: Delivery, error: Exception) -> None:
    for name in delivery.claims:
        with contextlib.suppress(StorageError):
            folder.disclaim(name)
    name = _name(delivery.channel)
    if isinstance(error, CloudSyncError):
        log.warning("Alert was not sent: %s: %s", name, error)
        return
    # Blanked out before it is cut: half a secret would not be known as one.
    said = clean(redact(f"{type(error).__name__}: {error}"))
    remedy = (
        f"Check the connection {delivery.channel.connection_id} by docs/alerts.md; the run is not affected."
    )
    log.warning("Alert was not sent: %s: %s %s", name, said, remedy)


def _name(channel: AlertChannel) -> str:
    return f"{channel.kind}, connection {channel.connection_id}"
