"""The first task of a retry round: chooses what is sent again, and waits until it may be sent."""

from __future__ import annotations

import time
from itertools import chain
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from cloud_sync.numbers import counted
from cloud_sync_airflow.operators.settle import TargetFolder
from cloud_sync_airflow.operators.stage import StageOperator, open_store

if TYPE_CHECKING:
    from collections.abc import Collection

    from airflow.sdk import Context

    from cloud_sync.integration import Integration
    from cloud_sync.manifest.model import ManifestIndex, SentItem
    from cloud_sync.run_folder import RunFolder

SHORTEST_DEFERRAL_S = 10.0  # Airflow 3.3 can fail tasks that resume within a few seconds


class SelectOperator(StageOperator):
    """Puts the items that failed for a passing reason into small manifests, to be sent again after a wait.

    A round of which something was sent stays as it is, whatever the store says by now. With nothing to send,
    or so much that it would only fail again, it ends as skipped, and with it the rest of the rounds.

    Args:
        of_round: Which round, from 1.
    """

    def __init__(self, *, of_round: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.of_round = of_round

    def execute(self, context: Context) -> list[int]:
        """Return the numbers of the shards, over which the round's register stage is mapped."""
        folder = self.run_folder(context)
        integration = self.frozen_integration(folder)
        if self.of_round > integration.retry.rounds:
            raise AirflowSkipException(f"The settings of this run say {integration.retry.rounds} rounds.")
        if index := self._begun(folder):
            self.log.info("Round %s was sent already, at least in part", self.of_round)
            return list(range(index.shards))
        index = self._select(folder, integration)
        self._wait(folder, integration)
        return list(range(index.shards))

    def resume(self, context: Context, event: Any = None) -> list[int]:
        """Go on after the wait."""
        from cloud_sync.manifest.model import read_index

        return list(range(read_index(self.run_folder(context), self.of_round).shards))

    def _begun(self, folder: RunFolder) -> ManifestIndex | None:
        from cloud_sync.manifest.model import read_rounds
        from cloud_sync.registration.jobs import record_name

        for index in read_rounds(folder)[self.of_round - 1 : self.of_round]:
            if any(folder.exists(record_name(entry.number)) for entry in index.manifests):
                return index
        return None

    def _select(self, folder: RunFolder, integration: Integration) -> ManifestIndex:
        from cloud_sync.manifest.model import read_index, read_rounds, skipped_name
        from cloud_sync.registration.jobs import set_aside

        # What an earlier try said must not stand for this one if it fails.
        folder.remove(skipped_name(self.of_round))
        items, why_none = self._choose(folder, integration)
        index = self._rebuild(folder, integration, items)
        manifests = chain.from_iterable(one.manifests for one in [read_index(folder), *read_rounds(folder)])
        if aside := set_aside(folder, manifests):
            self.log.info(
                "Set aside %s of manifests that an earlier try of this run had", counted(aside, "record")
            )
        if index is None:
            folder.write_json(skipped_name(self.of_round), {"why": why_none})
            raise AirflowSkipException(why_none)
        self.log.info(
            "Round %s: %s again, in %s",
            self.of_round,
            counted(index.items, "item"),
            counted(len(index.manifests), "manifest"),
        )
        return index

    def _choose(self, folder: RunFolder, integration: Integration) -> tuple[list[SentItem], str]:
        """Return the items to send again, and if there are none, why."""
        from cloud_sync.failures.rounds import items_to_retry, why_not_at_once
        from cloud_sync.failures.sendings import read_sendings
        from cloud_sync.registration.breaker import BreakerRule, judge
        from cloud_sync.registration.model import read_target

        upload = integration.upload
        sendings = (read_sendings(folder) or [])[: self.of_round]
        outcomes = [outcome for sending in sendings for _, outcome in sending.ended]
        if trip := judge(outcomes, BreakerRule(upload.stop_after_manifests, upload.stop_at_share)):
            return self._none_at_once(str(trip))
        items = items_to_retry(
            folder,
            of_round=self.of_round,
            parse_url=self.frozen_urls(folder).parse,
            open_reader=lambda: open_store(integration),
            encord_folder=TargetFolder(integration, read_target(folder)),
            diagnosis_requests=integration.failures.diagnosis_requests,
        )
        if not items:
            return [], "Nothing failed for a passing reason: there is nothing to send again."
        share = upload.stop_at_share
        if upload.stop_after_manifests and (why := why_not_at_once(sendings, items, at_share=share)):
            return self._none_at_once(why)
        return items, ""

    def _none_at_once(self, why: str) -> tuple[list[SentItem], str]:
        said = f"Nothing is sent again in this run, because it would fail again; the next run tries it. {why}"
        self.log.warning("%s", said)
        return [], said

    def _rebuild(
        self, folder: RunFolder, integration: Integration, items: Collection[SentItem]
    ) -> ManifestIndex | None:
        from cloud_sync.manifest.rebuild import drop_rounds, rebuild_manifests

        if not items:
            drop_rounds(folder, after=self.of_round - 1)
            return None
        return rebuild_manifests(
            folder,
            items,
            of_round=self.of_round,
            items_per_manifest=integration.retry.items_per_manifest,
            jobs_in_flight=integration.upload.jobs_in_flight,
        )

    def _wait(self, folder: RunFolder, integration: Integration) -> None:
        """Wait, without a worker if it is long. What has passed since the last failure is part of it."""
        from cloud_sync.failures.rounds import round_wait_s, seconds_since_failure
        from cloud_sync.failures.sendings import read_sendings
        from cloud_sync.registration.pacing import SharedPace
        from cloud_sync_airflow.hooks.encord import pace_file
        from cloud_sync_airflow.triggers.pause import PauseTrigger

        sendings = (read_sendings(folder) or [])[: self.of_round]
        wait_s = round_wait_s(
            self.of_round,
            first_wait_s=integration.retry.first_wait.total_seconds(),
            longest_wait_s=integration.retry.longest_wait.total_seconds(),
            failed_s_ago=seconds_since_failure(sendings, now=time.time()),
            retry_after_s=SharedPace(pace_file(integration.target.connection_id)).wait_s(),
        )
        self.log.info("Sending after %.0f s", wait_s)
        if wait_s < SHORTEST_DEFERRAL_S:
            time.sleep(wait_s)
            return
        self.defer(trigger=PauseTrigger(until=time.time() + wait_s, pause_s=wait_s), method_name="resume")
