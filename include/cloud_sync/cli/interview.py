"""The questions of `cloud-sync integration new`, and the settings that the answers make."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import typer

from cloud_sync.cli.output import say
from cloud_sync.cli.settings import checked, groups_settings, types_settings, without_none
from cloud_sync.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Question:
    """Something that `new` asks.

    Attributes:
        option: The name of the option that answers it.
        text: The question.
        default: The answer of a bare Return; None if there has to be one.
    """

    option: str
    text: str
    default: str | None = None


QUESTIONS: Final = (
    Question("name", "Name of the integration (lower-case letters, digits, - and _)"),
    Question("provider", "Storage: s3, gcs (Google), azure, otc (Open Telekom Cloud)", "s3"),
    Question("bucket", "Bucket; of Azure the container"),
    Question("prefix", "Prefix of the keys, such as raw/ (empty: the whole bucket)", ""),
    Question("region", "Region of the bucket, such as eu-de", "eu-de"),
    Question("storage_connection", "Airflow connection of the bucket", "aws_default"),
    Question("dataset", "Encord dataset, title or hash"),
    Question("encord_connection", "Airflow connection of Encord", "encord_default"),
    Question("only", "Types: videos,images,audio,pdf,nifti,dicom,text (empty: all but text)", ""),
    Question("group_type", "Groups: image_group, image_sequence, dicom_series (empty: none)", ""),
    Question("group_by", "Groups by: folder, regex, series_uid", "folder"),
    Question("group_pattern", "Regular expression with (?P<group>...) and, if wanted, (?P<index>...)"),
    Question("schedule", "Schedule, cron in UTC, such as 0 2 * * * (empty: by hand only)", ""),
)
USUAL_CONNECTION: Final[Mapping[str, str]] = {
    "s3": "aws_default",
    "gcs": "google_cloud_default",
    "azure": "wasb_default",
    "otc": "aws_default",
}
"""Airflow's own names of connections, by provider."""


class Interview:
    """Gets the answers, from options or from a person, and checks each as it comes.

    Raises:
        ConfigError: An option is wrong, or missing where nobody is asked.
    """

    def __init__(self, given: Mapping[str, str | None], *, ask: bool) -> None:
        self._given = given
        self._ask = ask
        # Answers that are good until the real ones come, so that what is there can be checked as a whole.
        self._answers: dict[str, str] = {"name": "a", "bucket": "aaa", "dataset": "a"}

    def settings(self) -> dict[str, Any]:
        """Return the settings of the integration file, checked, without what was left empty."""
        for question in QUESTIONS:
            if self._applies(question):
                self._answer(question)
        return _settings(self._answers)

    def _applies(self, question: Question) -> bool:
        if self._given[question.option] is not None:
            return True
        if question.option == "region":
            return self._answers.get("provider") == "otc"
        if question.option == "group_by":
            return bool(self._answers.get("group_type"))
        if question.option == "group_pattern":
            return self._answers.get("group_by") == "regex"
        return True

    def _default(self, question: Question) -> str | None:
        if question.option == "storage_connection":
            return USUAL_CONNECTION[self._answers["provider"]]
        return question.default

    def _answer(self, question: Question) -> None:
        given, default = self._given[question.option], self._default(question)
        if given is not None or not self._ask:
            answer = given if given is not None else default
            if answer is None:
                option = f"--{question.option.replace('_', '-')}"
                raise ConfigError(
                    "is missing.", where=option, remedy="Give it, or leave out --yes to be asked."
                )
            self._take(question, answer)
            return
        while True:
            answer = typer.prompt(question.text, default, show_default=bool(default))
            try:
                self._take(question, answer)
            except ConfigError as error:
                say(str(error), style="yellow")
            else:
                return

    def _take(self, question: Question, answer: str) -> None:
        """Keep an answer if all settings are good with it."""
        self._answers, before = {**self._answers, question.option: answer.strip()}, self._answers
        try:
            checked(_settings(self._with_rest_of_the_rule()))
        except ConfigError:
            self._answers = before
            raise

    def _with_rest_of_the_rule(self) -> dict[str, str]:
        """Return the answers; where a rule is not answered to its end yet, something good for the rest."""
        answers = dict(self._answers)
        if answers.get("group_type"):
            answers.setdefault("group_by", "folder")
        if answers.get("group_by") == "regex":
            answers.setdefault("group_pattern", "(?P<group>.+)")
        return answers


def _named_extensions(types: Mapping[str, list[str] | None]) -> dict[str, list[str]]:
    """Return the section `types` with the defaults written out, for people to change."""
    from cloud_sync.integration import Types

    defaults = Types()
    return {name: list(getattr(defaults, name)) if given is None else given for name, given in types.items()}


def _settings(answers: Mapping[str, str]) -> dict[str, Any]:
    given = {name: answer for name, answer in answers.items() if answer}
    types = types_settings(given.get("only"), {})
    groups = groups_settings(
        group_type=given.get("group_type"),
        by=given.get("group_by"),
        pattern=given.get("group_pattern"),
    )
    return without_none(
        {
            "name": given.get("name", ""),
            "schedule": given.get("schedule"),
            "storage": {
                "provider": given.get("provider", "s3"),
                "connection_id": given.get("storage_connection", "aws_default"),
                "bucket": given.get("bucket", ""),
                "prefix": given.get("prefix"),
                "region": given.get("region"),
            },
            "target": {
                "connection_id": given.get("encord_connection", "encord_default"),
                "dataset": given.get("dataset", ""),
            },
            "types": _named_extensions(types) if "only" in given else None,
            "groups": groups or None,
        }
    )
