"""The person's word on a plan as a task, between plan and build."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk.exceptions import AirflowSkipException

from cloud_sync_airflow.notifiers.callbacks import alert_on_waiting
from cloud_sync_airflow.operators.stage import PlannedOperator, has_begun
from cloud_sync_airflow.params import RunOptions, sends_nothing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.sdk import Context

    from cloud_sync.planning.approval import Question
    from cloud_sync.run_folder import RunFolder

APPROVE = "Approve"
REJECT = "Reject"


class ApproveOperator(PlannedOperator, HITLOperator):
    """Asks a person if the plan is above the limits of the integration; otherwise lets it pass.

    Waiting takes no worker. A refused plan, and one that nobody answers for in time, skips all that would
    change something; settle says so.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(subject="Approve the plan", options=[APPROVE, REJECT], **kwargs)

    def execute(self, context: Context) -> None:
        """Pass, or begin to wait for a person."""
        from cloud_sync.planning.approval import shown
        from cloud_sync.planning.model import ANSWER_NAME, Answer, Decision, read_plan_rows, write_answer

        if sends_nothing(context):
            return
        folder = self.run_folder(context)
        folder.disclaim(ANSWER_NAME)  # of an earlier try
        plan = self.verified_plan(folder)
        above = self.above(folder, plan)
        if not above:
            self.log.info("The plan is within the limits of the integration.")
            return
        question = self.question(context, folder)
        self.log.info(
            "The plan needs a person's approval by %s, under Required Actions in Airflow: %s",
            question.until,
            "; ".join(above),
        )
        self.subject = f"{context['dag_run'].dag_id}: approve the plan?"
        self.body = shown(read_plan_rows(folder), above, question)
        # What is answered is this plan, also if somebody has it made anew meanwhile.
        asked_at = datetime.now(UTC).isoformat(timespec="seconds")
        write_answer(folder, Answer(Decision.ASKED, tuple(above), "", asked_at, plan.sha256))
        alert_on_waiting(context, above, until=question.until)
        HITLOperator.execute(self, context)

    def question(self, context: Context, folder: RunFolder) -> Question:
        """Return what a person has to know besides the plan."""
        from cloud_sync.planning.approval import Question
        from cloud_sync.planning.model import PLAN_NAME, SUMMARY_NAME
        from cloud_sync.registration.model import read_target

        storage = self.frozen_integration(folder).storage
        return Question(
            dataset=read_target(folder).dataset_title,
            bucket=storage.bucket,
            prefix=RunOptions.of(context).prefix or storage.prefix,
            plan_path=folder.address(PLAN_NAME),
            summary_path=folder.address(SUMMARY_NAME),
            expires_at=datetime.now(UTC) + self.response_timeout if self.response_timeout else None,
        )

    def execute_complete(self, context: Context, event: Mapping[str, Any]) -> None:
        """Take the answer; Airflow calls this once there is one, or time is up."""
        from cloud_sync.errors import ConfigError
        from cloud_sync.planning.model import Decision, read_answer, write_answer

        folder = self.run_folder(context)
        asked = read_answer(folder)
        if asked is None:
            raise ConfigError(
                "the plan is not the one any more that was shown, so the answer says nothing of it.",
                where=f"task {self.task_id}",
                remedy="Clear the task: it asks again.",
            )
        if event.get("error_type") == "timeout":
            decision, by, at = Decision.EXPIRED, "", datetime.now(UTC)
        else:
            said = HITLOperator.execute_complete(self, context, event)
            approved = said["chosen_options"] == [APPROVE]
            decision = Decision.APPROVED if approved else Decision.REFUSED
            by, at = (said["responded_by_user"] or {}).get("name", ""), said["responded_at"]
        answer = replace(asked, decision=decision, by=by, at=at.isoformat(timespec="seconds"))
        write_answer(folder, answer)
        if decision is Decision.APPROVED:
            self.log.info("The plan was %s.", answer.told)
            return
        # Somebody may have cleared this task after the plan was carried out.
        begun = "What was done of it before stays, and nothing more is done."
        left = begun if has_begun(folder) else "Nothing was sent: the dataset is as it was."
        said = f"The plan was {answer.told}. {left} To be asked again, clear this task, or trigger a new run."
        self.log.warning("%s", said)
        raise AirflowSkipException(said)
