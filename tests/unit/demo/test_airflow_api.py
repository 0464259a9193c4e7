"""The REST client: signs in when it must, reads every page, says what was refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from demo.airflow_api import AirflowApi, AirflowApiError, DagRun, TaskInstance

RUN = {"dag_id": "d", "dag_run_id": "r", "state": "running", "start_date": None, "end_date": None}
Handler = Callable[[httpx.Request], httpx.Response]


class FakeAirflow:
    """Answers by path; takes each token for a given number of requests."""

    def __init__(self, answers: dict[str, Any], *, token_lasts: int = 1000) -> None:
        self.answers, self.token_lasts = answers, token_lasts
        self.tokens = 0
        self.left = 0
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if request.url.path == "/auth/token":
            assert json.loads(request.content) == {"username": "admin", "password": "secret"}
            self.tokens, self.left = self.tokens + 1, self.token_lasts
            return httpx.Response(201, json={"access_token": f"token-{self.tokens}"})
        if self.left == 0 or request.headers["Authorization"] != f"Bearer token-{self.tokens}":
            return httpx.Response(401)
        self.left -= 1
        answer = self.answers.get(request.url.path.removeprefix("/api/v2/"), httpx.Response(404, json={}))
        if callable(answer):
            answer = answer(request)
        return answer if isinstance(answer, httpx.Response) else httpx.Response(200, json=answer)


def api(handler: Handler) -> AirflowApi:
    return AirflowApi("http://airflow", "admin", "secret", transport=httpx.MockTransport(handler))


def test_it_signs_in_once_and_again_when_the_token_has_expired() -> None:
    airflow = FakeAirflow({"dags/d/dagRuns/r": RUN}, token_lasts=2)
    client = api(airflow)
    assert [client.run("d", "r").state for _ in range(4)] == ["running"] * 4
    assert airflow.tokens == 2


def test_a_run_is_triggered_with_its_params() -> None:
    airflow = FakeAirflow({"dags/d/dagRuns": RUN})
    assert api(airflow).trigger("d", {"mode": "plan"}, run_id="r") == DagRun("d", "r", "running")
    body = json.loads(airflow.requests[-1].content)
    assert body == {"logical_date": None, "conf": {"mode": "plan"}, "dag_run_id": "r"}


def test_a_run_and_its_tasks_say_when_they_began_and_ended() -> None:
    times = {"start_date": "2026-11-24T02:00:00Z", "end_date": "2026-11-24T02:00:09Z"}
    task = {
        "task_id": "plan",
        "map_index": -1,
        "state": "success",
        "try_number": 1,
        "duration": 9.0,
        "id": "0",
    }
    pages = {"task_instances": [task | times], "total_entries": 1}
    client = api(FakeAirflow({"dags/d/dagRuns/r": RUN | times, "dags/d/dagRuns/r/taskInstances": pages}))
    for one in (run := client.run("d", "r"), *client.task_instances(run)):
        assert (one.started_at, one.ended_at) == tuple(times.values())


def test_a_pool_is_made_once_and_counts_tasks_that_wait() -> None:
    airflow = FakeAirflow({"pools": {}})
    api(airflow).make_pool("p", 3, "why")
    body = json.loads(airflow.requests[-1].content)
    assert body == {"name": "p", "slots": 3, "description": "why", "include_deferred": True}
    airflow.answers["pools/p"] = body
    made = len(airflow.requests)
    api(airflow).make_pool("p", 3, "why")
    assert [one.method for one in airflow.requests[made:] if "pools" in one.url.path] == ["GET"]


@pytest.mark.parametrize(("map_index", "place"), [(-1, "register"), (3, "register/3")])
def test_a_task_is_marked_as_failed(map_index: int, place: str) -> None:
    airflow = FakeAirflow({f"dags/d/dagRuns/r/taskInstances/{place}": {}})
    api(airflow).fail(DagRun("d", "r", "running"), TaskInstance("register", map_index, "deferred", 1, None))
    assert airflow.requests[-1].method == "PATCH"
    assert json.loads(airflow.requests[-1].content) == {"new_state": "failed"}


def test_every_page_of_task_instances_is_read() -> None:
    rows = [
        {
            "task_id": "register",
            "map_index": i,
            "state": "success",
            "try_number": 1,
            "duration": 0.5,
            "start_date": None,
            "end_date": None,
            "id": f"{i:032x}",
        }
        for i in range(250)
    ]

    def page(request: httpx.Request) -> httpx.Response:
        offset, limit = int(request.url.params["offset"]), int(request.url.params["limit"])
        body = {"task_instances": rows[offset : offset + limit], "total_entries": len(rows)}
        return httpx.Response(200, json=body)

    found = api(FakeAirflow({"dags/d/dagRuns/r/taskInstances": page})).task_instances(
        DagRun("d", "r", "running")
    )
    assert [task.map_index for task in found] == list(range(250))


def test_the_asset_events_are_those_of_the_run() -> None:
    events = {"asset_events": [{"extra": {"registered": 3}}], "total_entries": 1}
    airflow = FakeAirflow({"assets/events": events})
    assert api(airflow).asset_event_extras(DagRun("d", "r", "success")) == [{"registered": 3}]
    asked = airflow.requests[-1].url.params
    assert (asked["source_dag_id"], asked["source_run_id"]) == ("d", "r")


def test_what_is_missing_is_none_where_it_may_be() -> None:
    client = api(FakeAirflow({}))
    assert not client.has_dag("d")
    assert client.xcom(DagRun("d", "r", "success"), "list") is None


def test_a_refusal_says_what_was_asked_and_what_was_answered() -> None:
    airflow = FakeAirflow({"dags/d/dagRuns": httpx.Response(400, json={"detail": "Invalid input for param"})})
    with pytest.raises(AirflowApiError, match=r"POST dags/d/dagRuns: status 400: .*Invalid input for param"):
        api(airflow).trigger("d")


def test_a_wrong_password_is_told_without_the_password() -> None:
    with pytest.raises(AirflowApiError, match="signing in: status 401") as caught:
        api(lambda request: httpx.Response(401)).run("d", "r")
    assert "secret" not in str(caught.value)


def test_nobody_there_is_a_transient_error_and_no_health() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    assert api(refuse).health() == {}
    with pytest.raises(AirflowApiError) as caught:
        api(refuse).run("d", "r")
    assert caught.value.transient


def test_health_is_told_for_each_part() -> None:
    body = {"scheduler": {"status": "healthy"}, "triggerer": {"status": None}}
    assert api(lambda request: httpx.Response(200, json=body)).health() == {
        "scheduler": "healthy",
        "triggerer": None,
    }


def test_waiting_ends_with_the_run_and_looks_each_time() -> None:
    end = {"state": "success", "end_date": "2026-11-22T02:01:00Z"}
    answers = iter([{"state": "queued"}, {"state": "running"}, end])
    airflow = FakeAirflow({"dags/d/dagRuns/r": lambda request: httpx.Response(200, json=RUN | next(answers))})
    seen: list[str] = []
    ended = api(airflow).wait_for_run(
        DagRun("d", "r", "queued"), 5, each_poll=lambda run: seen.append(run.state), interval_s=0
    )
    assert ended == DagRun("d", "r", "success", ended_at="2026-11-22T02:01:00Z")
    assert seen == ["queued", "running", "success"]


def test_waiting_too_long_says_where_the_tasks_are() -> None:
    task = {
        "task_id": "plan",
        "map_index": -1,
        "state": "deferred",
        "try_number": 1,
        "duration": None,
        "start_date": None,
        "end_date": None,
        "id": "0",
    }
    airflow = FakeAirflow(
        {
            "dags/d/dagRuns/r": RUN,
            "dags/d/dagRuns/r/taskInstances": {"task_instances": [task], "total_entries": 1},
        }
    )
    with pytest.raises(AirflowApiError, match=r"run r of d: has not ended after 0 s\. plan: deferred"):
        api(airflow).wait_for_run(DagRun("d", "r", "queued"), 0, interval_s=0)


def test_log_lines_are_plain_text_with_their_errors() -> None:
    content = [
        {"event": "Task failed", "error_detail": [{"exc_type": "ConfigError", "exc_value": "no bucket"}]},
        "a line",
    ]
    airflow = FakeAirflow({"dags/d/dagRuns/r/taskInstances/plan/logs/1": {"content": content}})
    run = DagRun("d", "r", "failed")
    client = api(airflow)
    task = client_task()
    assert client.log(run, task) == ["Task failed ConfigError: no bucket", "a line"]


def client_task() -> Any:
    from demo.airflow_api import TaskInstance

    return TaskInstance("plan", -1, "failed", 1, 1.0)
