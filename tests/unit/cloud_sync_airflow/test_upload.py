"""The DAG `upload_manifest`: exactly what stands in it."""

from __future__ import annotations

import pytest
from airflow.sdk import DAG, AssetAlias
from airflow.serialization.serialized_objects import DagSerialization

from cloud_sync.integration import load_integrations
from cloud_sync_airflow.operators.build_given import BuildGivenOperator
from cloud_sync_airflow.operators.check import CheckOperator
from cloud_sync_airflow.operators.register import RegisterOperator
from cloud_sync_airflow.operators.settle_given import SettleGivenOperator
from cloud_sync_airflow.upload import upload_dag
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
    return upload_dag(load_integrations(folder), "What it does.")


class TestBag:
    def test_it_stands_in_a_file_of_its_own_and_knows_the_integrations(self, tmp_path, monkeypatch):
        bag = bag_of(fill(tmp_path, a=FULL, b=LEAST), monkeypatch)
        assert bag.import_errors == {}
        dag = bag.dags["upload_manifest"]
        assert dag.fileloc == str(DAGS / "upload_manifest.py")
        assert dag.params.get_param("integration").schema["enum"] == ["cameras", "second"]
        for said in ("**The ledger**", "**Runs wait for each other**", "**Duplicates**", "*dry run*"):
            assert said in dag.doc_md

    def test_without_integrations_it_is_there_and_its_form_says_why_nothing_can_be_chosen(
        self, tmp_path, monkeypatch
    ):
        bag = bag_of(tmp_path, monkeypatch)
        assert bag.import_errors == {}
        assert "There is none yet" in bag.dags["upload_manifest"].params.get_param("integration").description

    def test_the_form_names_the_folder_of_manifests(self, tmp_path, monkeypatch):
        monkeypatch.setenv("AIRFLOW__CLOUD_SYNC__MANIFESTS_FOLDER", "/srv/manifests")
        bag = bag_of(fill(tmp_path, a=FULL), monkeypatch)
        path = bag.dags["upload_manifest"].params.get_param("manifest_path")
        assert "/srv/manifests" in path.description

    def test_a_bad_integration_is_left_out_of_the_list(self, tmp_path, monkeypatch):
        bag = bag_of(fill(tmp_path, a=FULL, b="name: ["), monkeypatch)
        assert list(bag.import_errors) == ["integration_errors.py"]
        assert bag.dags["upload_manifest"].params.get_param("integration").schema["enum"] == ["cameras"]


class TestPolicy:
    def test_the_dag(self, dag):
        assert dag.dag_id == "upload_manifest"
        assert dag.description == "Register a manifest that somebody wrote, JSON or CSV."
        assert dag.doc_md == "What it does."
        assert dag.schedule is None
        assert dag.catchup is False
        assert dag.max_active_runs == 1
        assert dag.tags == {"encord", "by hand"}
        assert dag.owner == "data-team"
        assert dag.is_paused_upon_creation is None
        assert dag.fail_fast is False

    def test_the_stages_and_their_order(self, dag):
        assert {task.task_id: sorted(task.downstream_task_ids) for task in dag.tasks} == {
            "check": ["build", "settle"],
            "build": ["register"],
            "register": ["settle"],
            "settle": [],
        }

    def test_register_is_that_of_a_sync(self, dag):
        register = dag.get_task("register")
        assert register.operator_class is RegisterOperator
        assert list(register.expand_input.value) == ["shard"]
        others = [type(dag.get_task(name)) for name in ("check", "build", "settle")]
        assert others == [CheckOperator, BuildGivenOperator, SettleGivenOperator]

    def test_its_upload_jobs_count_in_the_pool(self, monkeypatch, tmp_path):
        monkeypatch.setenv("AIRFLOW__CLOUD_SYNC__POOL", "encord_upload_jobs")
        assert upload_dag(load_integrations(tmp_path), None).get_task("register").pool == "encord_upload_jobs"

    def test_settle_runs_once_the_check_is_passed_and_decides_the_run(self, dag):
        check_settle(dag, setup="check")

    def test_each_task_is_tried_again_and_ended_as_the_policy_says(self, dag):
        check_task_policy(dag, owner="data-team")

    def test_settle_tells_who_follows_a_dataset(self, dag):
        assert dag.get_task("settle").outlets == [AssetAlias("encord datasets of upload_manifest")]

    def test_serialized_and_back_without_the_integrations(self, dag):
        data = DagSerialization.to_dict(dag)
        assert DagSerialization.from_dict(data).dag_id == "upload_manifest"
        assert "connection_id" not in str(data)
