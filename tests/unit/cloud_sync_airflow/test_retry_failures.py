"""The DAG `retry_failures`: exactly what stands in it."""

from __future__ import annotations

from typing import ClassVar

import pytest

from cloud_sync_airflow.operators.build import BuildOperator
from cloud_sync_airflow.operators.choose import ChooseOperator
from cloud_sync_airflow.operators.settle_retried import SettleRetriedOperator
from cloud_sync_airflow.retry_failures import retry_dag
from tests.unit.cloud_sync_airflow.form_dags import FormDag


class TestRetryFailures(FormDag):
    dag_id = "retry_failures"
    build_dag = staticmethod(retry_dag)
    description = "Register once more what stands in a failure list."
    operators: ClassVar = {"choose": ChooseOperator, "build": BuildOperator, "settle": SettleRetriedOperator}
    runs = "_retries"
    path_field = "failures_path"
    said = ("**The ledger**", "**Quarantine**", "**The failure classes**")

    def test_the_form(self, dag):
        params = {name: dag.params.get_param(name) for name in dag.params}
        assert {name: param.value for name, param in params.items() if name != "integration"} == {
            "run_id": None,
            "failures_path": None,
            "failure_classes": ["transient", "forbidden"],
            "release_quarantine": False,
            "dry_run": False,
        }
        assert params["failure_classes"].schema["examples"] == [
            "transient",
            "missing",
            "forbidden",
            "wrong_type",
            "unsupported",
            "corrupt",
            "too_large",
            "rejected",
        ]

    def test_the_form_says_what_else_a_choice_needs(self, dag):
        said = {name: dag.params.get_param(name).description for name in ("run_id", "failure_classes")}
        assert "has to be a run of the chosen integration" in said["run_id"]
        assert said["failure_classes"].endswith(
            "needs Release quarantine, too: as a rule all classes but transient and forbidden."
        )

    def test_a_class_that_there_is_not_is_refused_by_the_form(self, dag):
        with pytest.raises(Exception, match="'nonsense' is not one of"):
            dag.params.get_param("failure_classes").resolve(["nonsense"])
