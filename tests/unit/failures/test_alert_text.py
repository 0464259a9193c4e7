"""An alert in the words of each channel, and within its limits."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_sync.errors import ConfigError
from cloud_sync.failures.alert import task_alert
from cloud_sync.failures.alert_text import email_html, plain_text, slack_text, subject, webhook_body
from tests.unit.failures.test_alert import CORRUPT, PLACE, RUN_URL, TRANSIENT, alert_of


def test_an_email_says_it_all():
    assert plain_text(alert_of()) == "\n".join(
        [
            "sync__cameras failed: all 9 items that were sent failed.",
            "What to do: See /state/failures.csv for the reason and the remedy of each.",
            "",
            "Integration cameras, dataset Cameras, run night 1",
            "Items: 0 registered by this run, 3 registered before, 9 failed, 0 never answered for",
            "In quarantine: 12 files of all runs, 7 by this one",
            "",
            "7 x corrupt: The object is empty. Upload it again.",
            *[f"    https://b/{n}.jpg" for n in range(5)],
            "    …and 2 more",
            "",
            "2 x transient: It looks healthy. Nothing.",
            "    https://b/x.jpg",
            "    …and 1 more",
            "",
            "All failures: /state/failures.csv",
            f"The run in Airflow: {RUN_URL}",
        ]
    )


def test_a_failed_task_needs_few_lines():
    alert = task_alert(ConfigError("does not exist.", where="bucket b", remedy="Make it."), PLACE, "list")
    assert plain_text(alert).splitlines() == [
        "sync__cameras, task list failed: bucket b: does not exist.",
        "What to do: Make it.",
        "",
        "Integration cameras, dataset Cameras, run night 1",
        "",
        f"The run in Airflow: {RUN_URL}",
    ]


def test_the_html_of_an_email_is_its_text_and_runs_nothing():
    assert email_html("<script>\n") == '<pre style="white-space: pre-wrap">&lt;script&gt;\n</pre>'


def test_slack_gets_no_markup_from_outside():
    cause = CORRUPT | {"reason": "<!channel> & <https://x|y>", "examples": ["https://b/`a`<b>.jpg"]}
    text = slack_text(alert_of(failures_by_cause=[cause]))
    assert text.startswith("*sync__cameras failed: all 9 items that were sent failed.*\n")
    assert "&lt;!channel&gt; &amp; &lt;https://x|y&gt;" in text
    assert "    `https://b/'a'&lt;b&gt;.jpg`" in text
    assert text.endswith(f"<{RUN_URL}|The run in Airflow>")


def test_slack_gets_fewer_examples_before_it_gets_fewer_causes():
    few = [CORRUPT | {"reason": f"Reason {n}.", "examples": ["https://b/" + "x" * 180] * 5} for n in range(4)]
    text = slack_text(alert_of(failures_by_cause=few))
    assert len(text) <= 3000
    assert all(f"Reason {n}." in text for n in range(4))
    assert text.count("…and 5 more") == 4

    many = [CORRUPT | {"reason": f"Reason {n}."} for n in range(200)]
    text = slack_text(alert_of(failures_by_cause=many))
    shown = text.count("7 x corrupt")
    assert 2700 < len(text) <= 3000
    assert f"…and {200 - shown} more causes" in text
    assert text.endswith("|The run in Airflow>")


@given(st.lists(st.text(max_size=600), min_size=1, max_size=30))
def test_no_text_is_too_long(words):
    causes = [CORRUPT | {"reason": word, "remedy": word, "examples": [word] * 5} for word in words]
    alert = alert_of(failures_by_cause=causes)
    assert len(slack_text(alert)) <= 3000
    assert len(plain_text(alert)) <= 20_000
    assert json.loads(json.dumps(webhook_body(alert)))["event"] == "failed_run"


def test_characters_that_slack_writes_longer_count_as_long():
    alert = task_alert(ConfigError("&" * 500, remedy="&" * 500), PLACE, "&" * 200)
    assert len(slack_text(alert)) <= 3000


@pytest.mark.parametrize("message", ["a\nb" * 100, "x" * 500])
def test_a_subject_is_one_short_line(message):
    line = subject(task_alert(ConfigError(message), PLACE, "list"))
    assert "\n" not in line
    assert len(line) <= 150


class TestWebhook:
    def test_the_object(self):
        body = webhook_body(alert_of(failures_by_cause=[TRANSIENT]))
        assert len(body.pop("id")) == 32
        assert body == {
            "version": 1,
            "event": "failed_run",
            "subject": "sync__cameras failed: all 9 items that were sent failed.",
            "integration": "cameras",
            "dataset": "Cameras",
            "dag_id": "sync__cameras",
            "run_id": "night 1",
            "run_url": RUN_URL,
            "task": None,
            "message": "all 9 items that were sent failed.",
            "remedy": "See /state/failures.csv for the reason and the remedy of each.",
            "counts": {
                "registered": 0,
                "already_registered": 3,
                "failed": 9,
                "waiting": 0,
                "quarantined": 12,
                "newly_quarantined": 7,
            },
            "causes": [
                {
                    "failure_class": "transient",
                    "reason": "It looks healthy.",
                    "remedy": "Nothing.",
                    "count": 2,
                    "examples": ("https://b/x.jpg",),
                }
            ],
            "more_causes": 0,
            "failures_csv": "/state/failures.csv",
        }

    def test_causes_beyond_fifty_are_counted(self):
        body = webhook_body(alert_of(failures_by_cause=[CORRUPT] * 53))
        assert (len(body["causes"]), body["more_causes"]) == (50, 3)

    def test_the_page_about_alerts_explains_every_field(self):
        page = (Path(__file__).parents[3] / "docs" / "alerts.md").read_text(encoding="utf-8")
        rows = [
            line.split("|")[1]
            for line in page.partition("## The JSON of a webhook")[2].splitlines()[3:]
            if line
        ]
        explained = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
        body = webhook_body(alert_of())
        assert sorted(explained) == sorted(body)
        assert all(f"`{name}`" in page for name in (*body["counts"], *body["causes"][0]))

    def test_the_id_is_the_same_for_the_same_causes_of_a_run(self):
        again, other = alert_of(failed=8), alert_of(run_id="night 2")
        assert webhook_body(alert_of())["id"] == webhook_body(again)["id"] != webhook_body(other)["id"]
