"""The DAG `retry_failures`: exactly what stands in it."""

from __future__ import annotations

import pytest
from airflow.sdk import DAG, AssetAlias
from airflow.serialization.serialized_objects import DagSerialization

from cloud_sync.integration import load_integrations
from cloud_sync_airflow.operators.build import BuildOperator
from cloud_sync_airflow.operators.choose import ChooseOperator
from cloud_sync_airflow.operators.register import RegisterOperator
from cloud_sync_airflow.operators.settle_retried import SettleRetriedOperator
from cloud_sync_airflow.operators.stage import RETRIES_FOLDER
from cloud_sync_airflow.retry_failures import retry_dag
from tests.unit.cloud_sync_airflow.test_factory import (
    DAGS,
    FULL,
    LEAST,
    bag_of,
    check_settle,
    check_task_policy,
    fill,
)


@pytest.fixture(scope="module")
def dag(tmp_path_factory) -> DAG:
    folder = fill(tmp_path_factory.mktemp("integrations"), cameras=FULL, second=LEAST)
    return retry_dag(load_integrations(folder), "What it does.")


class TestBag:
    def test_it_stands_in_a_file_of_its_own_and_knows_the_integrations(self, tmp_path, monkeypatch):
        bag = bag_of(fill(tmp_path, a=FULL, b=LEAST), monkeypatch)
        assert bag.import_errors == {}
        dag = bag.dags["retry_failures"]
        assert dag.fileloc == str(DAGS / "retry_failures.py")
        assert dag.params.get_param("integration").schema["enum"] == ["cameras", "second"]
        for said in ("**The ledger**", "**Quarantine**", "**The failure classes**"):
            assert said in dag.doc_md

    def test_without_integrations_it_is_there_and_its_form_says_so(self, tmp_path, monkeypatch):
        bag = bag_of(tmp_path, monkeypatch)
        assert bag.import_errors == {}
        assert "There is none yet" in bag.dags["retry_failures"].params.get_param("integration").description

    def test_the_form_names_the_folder_of_lists(self, tmp_path, monkeypatch):
        monkeypatch.setenv("AIRFLOW__CLOUD_SYNC__MANIFESTS_FOLDER", "/srv/manifests")
        bag = bag_of(fill(tmp_path, a=FULL), monkeypatch)
        assert "/srv/manifests" in bag.dags["retry_failures"].params.get_param("failures_path").description


class TestPolicy:
    def test_the_dag(self, dag):
        assert dag.dag_id == "retry_failures"
        assert dag.description == "Register once more what stands in a failure list."
        assert dag.doc_md == "What it does."
        assert dag.schedule is None
        assert dag.catchup is False
        assert dag.max_active_runs == 1
        assert dag.tags == {"encord", "by hand"}
        assert dag.owner == "data-team"
        assert dag.is_paused_upon_creation is None

    def test_the_stages_and_their_order(self, dag):
        assert {task.task_id: sorted(task.downstream_task_ids) for task in dag.tasks} == {
            "choose": ["build", "settle"],
            "build": ["register"],
            "register": ["settle"],
            "settle": [],
        }
        others = [type(dag.get_task(name)) for name in ("choose", "build", "settle")]
        assert others == [ChooseOperator, BuildOperator, SettleRetriedOperator]

    def test_all_stages_share_a_folder_of_runs(self, dag):
        register = dag.get_task("register")
        assert register.operator_class is RegisterOperator
        folders = [dag.get_task(name).runs for name in ("choose", "build", "settle")]
        assert [*folders, register.partial_kwargs["runs"]] == [RETRIES_FOLDER] * 4

    def test_settle_runs_once_the_items_are_chosen_and_decides_the_run(self, dag):
        check_settle(dag, setup="choose")

    def test_each_task_is_tried_again_and_ended_as_the_policy_says(self, dag):
        check_task_policy(dag, owner="data-team")

    def test_settle_tells_who_follows_a_dataset(self, dag):
        assert dag.get_task("settle").outlets == [AssetAlias("encord datasets of retry_failures")]

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

    def test_serialized_and_back_without_the_integrations(self, dag):
        data = DagSerialization.to_dict(dag)
        assert DagSerialization.from_dict(data).dag_id == "retry_failures"
        assert "connection_id" not in str(data)
