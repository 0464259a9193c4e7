"""A small, typed client of Airflow's REST API: what it takes to trigger a DAG and to follow its run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, Self

import httpx

from cloud_sync.errors import CloudSyncError

TaskState = str | None
ENDED_STATES = frozenset({"success", "failed"})
HEALTHY = "healthy"
PAGE_ROWS = 100


class AirflowApiError(CloudSyncError):
    """Airflow refused, failed, or did not do in time what was asked."""


@dataclass(frozen=True, slots=True)
class DagRun:
    """A DAG run.

    Attributes:
        state: One of queued, running, success, failed.
        started_at: When it began, ISO 8601 in UTC; None before that.
        ended_at: When it ended, likewise.
    """

    dag_id: str
    run_id: str
    state: str
    started_at: str | None = None
    ended_at: str | None = None

    @property
    def has_ended(self) -> bool:
        """True if the run will not change by itself any more."""
        return self.state in ENDED_STATES

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Read what the API answers."""
        return cls(
            dag_id=data["dag_id"],
            run_id=data["dag_run_id"],
            state=data["state"],
            started_at=data["start_date"],
            ended_at=data["end_date"],
        )


@dataclass(frozen=True, slots=True)
class TaskInstance:
    """One try of one task in one run.

    Attributes:
        map_index: Number of a mapped task instance, -1 for a task that is not mapped.
        state: As Airflow names it; None before it is scheduled.
        duration_s: Seconds it ran, None before it ended.
        started_at: When it began, ISO 8601 in UTC; None before that. Waits in the triggerer leave it.
        ended_at: When it ended, likewise; None before that.
        uid: UUID of this try; stands in the title of its process.
    """

    task_id: str
    map_index: int
    state: TaskState
    try_number: int
    duration_s: float | None
    started_at: str | None = None
    uid: str = ""
    ended_at: str | None = None

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Read what the API answers."""
        return cls(
            task_id=data["task_id"],
            map_index=data["map_index"],
            state=data["state"],
            try_number=data["try_number"],
            duration_s=data["duration"],
            started_at=data["start_date"],
            uid=data["id"],
            ended_at=data["end_date"],
        )


class AirflowApi:
    """Speaks to one Airflow as one user. Renews its token by itself.

    Args:
        url: Address of the API server.
        username: A user of Airflow.
        password: The user's password.
        timeout_s: Seconds to wait for one answer.
        transport: Carries the requests; by default HTTP.

    Raises:
        AirflowApiError: From every method: Airflow cannot be reached, or refuses; says what was asked.
    """

    def __init__(
        self,
        url: str,
        username: str,
        password: str,
        *,
        timeout_s: float = 60,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.url = url
        self._login = {"username": username, "password": password}
        # Loopback only, so no proxy of the environment is asked.
        self._http = httpx.Client(base_url=url, timeout=timeout_s, trust_env=False, transport=transport)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def health(self) -> dict[str, str | None]:
        """Return the status of each part (`{"scheduler": "healthy", ...}`); empty if nobody answers."""
        try:
            answer = self._http.get("/api/v2/monitor/health", timeout=5)
            answer.raise_for_status()
            return {part: status.get("status") for part, status in answer.json().items()}
        except (httpx.HTTPError, ValueError):
            return {}

    def has_dag(self, dag_id: str) -> bool:
        """Tell whether the DAG processor has read the DAG."""
        return self._call("GET", f"dags/{dag_id}", allow_missing=True) is not None

    def import_errors(self) -> dict[str, str]:
        """Return the files of the DAGs folder that cannot be read, with the reason."""
        errors = self._call("GET", "importErrors", params={"limit": PAGE_ROWS})["import_errors"]
        return {error["filename"]: error["stack_trace"] for error in errors}

    def make_pool(self, name: str, slots: int, description: str) -> None:
        """Make a pool in which tasks that wait in the triggerer count, unless it is there."""
        if self._call("GET", f"pools/{name}", allow_missing=True) is None:
            body = {"name": name, "slots": slots, "description": description, "include_deferred": True}
            self._call("POST", "pools", json=body)

    def unpause(self, dag_id: str) -> None:
        """Let the scheduler run the DAG."""
        self._call("PATCH", f"dags/{dag_id}", json={"is_paused": False})

    def trigger(
        self, dag_id: str, conf: dict[str, Any] | None = None, *, run_id: str | None = None
    ) -> DagRun:
        """Start a run with these params."""
        body = {"logical_date": None, "conf": conf or {}} | ({"dag_run_id": run_id} if run_id else {})
        return DagRun.from_json(self._call("POST", f"dags/{dag_id}/dagRuns", json=body))

    def run(self, dag_id: str, run_id: str) -> DagRun:
        """Return the present state of a run."""
        return DagRun.from_json(self._call("GET", f"dags/{dag_id}/dagRuns/{run_id}"))

    def runs(self, dag_id: str) -> list[DagRun]:
        """Return all runs of a DAG, newest first."""
        pages = self._pages(f"dags/{dag_id}/dagRuns", "dag_runs", order_by="-run_after")
        return [DagRun.from_json(data) for data in pages]

    def task_instances(self, run: DagRun) -> list[TaskInstance]:
        """Return every task instance of a run, mapped ones one by one."""
        pages = self._pages(f"dags/{run.dag_id}/dagRuns/{run.run_id}/taskInstances", "task_instances")
        return [TaskInstance.from_json(data) for data in pages]

    def xcom(self, run: DagRun, task_id: str, key: str = "return_value", *, map_index: int = -1) -> Any:
        """Return what a task handed on; None if it handed on nothing."""
        path = f"dags/{run.dag_id}/dagRuns/{run.run_id}/taskInstances/{task_id}/xcomEntries/{key}"
        params = {"map_index": map_index, "deserialize": True}
        found = self._call("GET", path, params=params, allow_missing=True)
        return None if found is None else found["value"]

    def asset_event_extras(self, run: DagRun) -> list[dict[str, Any]]:
        """Return what the asset events of a run carry (`extra`), one for each event."""
        query = {"source_dag_id": run.dag_id, "source_run_id": run.run_id}
        return [event["extra"] for event in self._pages("assets/events", "asset_events", **query)]

    def log(self, run: DagRun, task: TaskInstance) -> list[str]:
        """Return the log lines of the last try of a task."""
        path = f"dags/{run.dag_id}/dagRuns/{run.run_id}/taskInstances/{task.task_id}/logs/{task.try_number}"
        params = {"map_index": task.map_index, "full_content": True}
        content = self._call("GET", path, params=params, allow_missing=True) or {"content": []}
        return [_log_line(entry) for entry in content["content"]]

    def clear(self, run: DagRun, task_ids: list[str]) -> None:
        """Run these tasks of an ended run again, and what comes after them."""
        body = {
            "dry_run": False,
            "dag_run_id": run.run_id,
            "task_ids": task_ids,
            "only_failed": False,
            "include_downstream": True,
            "reset_dag_runs": True,
        }
        self._call("POST", f"dags/{run.dag_id}/clearTaskInstances", json=body)

    def fail(self, run: DagRun, task: TaskInstance) -> None:
        """Mark a task as failed, as a person does who ends it."""
        path = f"dags/{run.dag_id}/dagRuns/{run.run_id}/taskInstances/{task.task_id}"
        path += f"/{task.map_index}" if task.map_index >= 0 else ""
        self._call("PATCH", path, json={"new_state": "failed"})

    def question(self, run: DagRun, task_id: str) -> dict[str, Any]:
        """Return what a waiting task asks a person."""
        path = f"dags/{run.dag_id}/dagRuns/{run.run_id}/taskInstances/{task_id}/-1/hitlDetails"
        details: dict[str, Any] = self._call("GET", path)
        return details

    def answer(self, run: DagRun, task_id: str, option: str) -> None:
        """Answer a waiting task, as a person does on its page."""
        path = f"dags/{run.dag_id}/dagRuns/{run.run_id}/taskInstances/{task_id}/-1/hitlDetails"
        self._call("PATCH", path, json={"chosen_options": [option], "params_input": {}})

    def wait_for_run(
        self,
        run: DagRun,
        timeout_s: float,
        *,
        each_poll: Callable[[DagRun], None] = lambda run: None,
        interval_s: float = 0.5,
    ) -> DagRun:
        """Wait until a run has ended, and return it.

        Args:
            each_poll: Called with the run's present state after each look, and once at the end.

        Raises:
            AirflowApiError: It has not ended in time; says which tasks are where.
        """
        deadline = time.monotonic() + timeout_s
        while not (current := self.run(run.dag_id, run.run_id)).has_ended:
            each_poll(current)
            if time.monotonic() > deadline:
                states = ", ".join(f"{t.task_id}: {t.state}" for t in self.task_instances(run))
                raise AirflowApiError(
                    f"has not ended after {timeout_s:g} s. {states}",
                    where=f"run {run.run_id} of {run.dag_id}",
                )
            time.sleep(interval_s)
        each_poll(current)
        return current

    def _pages(self, path: str, rows: str, **params: Any) -> Iterator[dict[str, Any]]:
        offset = 0
        while True:
            page = self._call("GET", path, params={"limit": PAGE_ROWS, "offset": offset, **params})
            yield from page[rows]
            offset += len(page[rows])
            if not page[rows] or offset >= page["total_entries"]:
                return

    def _call(
        self,
        method: Literal["GET", "POST", "PATCH"],
        path: str,
        *,
        allow_missing: bool = False,
        **options: Any,
    ) -> Any:
        where = f"Airflow, {method} {path}"
        try:
            if "Authorization" not in self._http.headers:
                self._sign_in()
            answer = self._http.request(method, f"/api/v2/{path}", **options)
            if answer.status_code == httpx.codes.UNAUTHORIZED:
                self._sign_in()
                answer = self._http.request(method, f"/api/v2/{path}", **options)
        except httpx.HTTPError as error:
            raise AirflowApiError(
                f"no answer: {type(error).__name__}.", where=where, transient=True
            ) from error
        if allow_missing and answer.status_code == httpx.codes.NOT_FOUND:
            return None
        if answer.is_error:
            raise AirflowApiError(f"status {answer.status_code}: {answer.text[:500]}", where=where)
        return answer.json()

    def _sign_in(self) -> None:
        self._http.headers.pop("Authorization", None)
        answer = self._http.post("/auth/token", json=self._login)
        if answer.is_error:
            raise AirflowApiError(f"status {answer.status_code}.", where="Airflow, signing in")
        self._http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"


def _log_line(entry: Any) -> str:
    """Return a log entry as one line; entries are structured, or plain text."""
    if not isinstance(entry, dict):
        return str(entry)
    errors = "; ".join(f"{e['exc_type']}: {e['exc_value']}" for e in entry.get("error_detail") or [])
    return f"{entry.get('event', '')} {errors}".strip()
