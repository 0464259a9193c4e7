"""What holds for each DAG in whose form an integration is chosen."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import pytest
from airflow.sdk import DAG, AssetAlias
from airflow.serialization.serialized_objects import DagSerialization

from cloud_sync.integration import LoadedIntegrations, load_integrations
from cloud_sync_airflow.operators.register import RegisterOperator
from tests.unit.cloud_sync_airflow.test_factory import (
    DAGS,
    FULL,
    LEAST,
    bag_of,
    check_settle,
    check_task_policy,
    fill,
)


class FormDag:
    """Tests of one such DAG.

    Attributes:
        dag_id: Its id.
        build_dag: Makes it from the integrations and its documentation.
        description: What it does.
        operators: By the stages before and after register, in order.
        runs: Where its run folders are.
        path_field: The field that names a file in the folder of manifests.
        said: What its page explains.
    """

    dag_id: ClassVar[str]
    build_dag: ClassVar[Callable[[LoadedIntegrations, str | None], DAG]]
    description: ClassVar[str]
    operators: ClassVar[dict[str, type]]
    runs: ClassVar[str]
    path_field: ClassVar[str]
    said: ClassVar[tuple[str, ...]]

    @pytest.fixture(scope="class")
    def dag(self, tmp_path_factory) -> DAG:
        folder = fill(tmp_path_factory.mktemp("integrations"), cameras=FULL, second=LEAST)
        return type(self).build_dag(load_integrations(folder), "What it does.")

    def test_it_stands_in_a_file_of_its_own_and_knows_the_integrations(self, tmp_path, monkeypatch):
        bag = bag_of(fill(tmp_path, a=FULL, b=LEAST), monkeypatch)
        assert bag.import_errors == {}
        dag = bag.dags[self.dag_id]
        assert dag.fileloc == str(DAGS / f"{self.dag_id}.py")
        assert dag.params.get_param("integration").schema["enum"] == ["cameras", "second"]
        for said in self.said:
            assert said in dag.doc_md

    def test_without_integrations_it_is_there_and_its_form_says_why_nothing_can_be_chosen(
        self, tmp_path, monkeypatch
    ):
        bag = bag_of(tmp_path, monkeypatch)
        assert bag.import_errors == {}
        assert "There is none yet" in bag.dags[self.dag_id].params.get_param("integration").description

    def test_an_integration_whose_file_is_wrong_is_shown_as_such(self, tmp_path, monkeypatch):
        bag = bag_of(fill(tmp_path, a=FULL, b="name: third\nstorage: ["), monkeypatch)
        assert list(bag.import_errors) == ["integration_errors.py"]
        schema = bag.dags[self.dag_id].params.get_param("integration").schema
        assert schema["enum"] == ["cameras", "third"]
        assert schema["values_display"]["third"] == "third: its file is wrong, see the import errors"
        [first, *_] = self.operators
        assert "b.yaml, line 3: is not valid" in bag.dags[self.dag_id].get_task(first).broken["third"]

    def test_the_form_names_the_folder_of_manifests(self, tmp_path, monkeypatch):
        monkeypatch.setenv("AIRFLOW__CLOUD_SYNC__MANIFESTS_FOLDER", "/srv/manifests")
        bag = bag_of(fill(tmp_path, a=FULL), monkeypatch)
        assert "/srv/manifests" in bag.dags[self.dag_id].params.get_param(self.path_field).description

    def test_the_dag(self, dag):
        assert dag.dag_id == self.dag_id
        assert dag.description == self.description
        assert dag.doc_md == "What it does."
        assert dag.schedule is None
        assert dag.catchup is False
        assert dag.max_active_runs == 1
        assert dag.tags == {"encord", "by hand"}
        assert dag.owner == "data-team"
        assert dag.is_paused_upon_creation is None
        assert dag.fail_fast is False

    def test_the_stages_and_their_order(self, dag):
        first, build, settle = self.operators
        assert {task.task_id: sorted(task.downstream_task_ids) for task in dag.tasks} == {
            first: [build, settle],
            build: ["register"],
            "register": [settle],
            settle: [],
        }
        assert {name: type(dag.get_task(name)) for name in self.operators} == self.operators

    def test_register_is_that_of_a_sync(self, dag):
        register = dag.get_task("register")
        assert register.operator_class is RegisterOperator
        assert list(register.expand_input.value) == ["shard"]

    def test_all_stages_share_a_folder_of_runs(self, dag):
        folders = [dag.get_task(name).runs for name in self.operators]
        assert [*folders, dag.get_task("register").partial_kwargs["runs"]] == [self.runs] * 4

    def test_its_upload_jobs_count_in_the_pool(self, monkeypatch, tmp_path):
        monkeypatch.setenv("AIRFLOW__CLOUD_SYNC__POOL", "encord_upload_jobs")
        dag = type(self).build_dag(load_integrations(tmp_path), None)
        assert dag.get_task("register").pool == "encord_upload_jobs"

    def test_settle_runs_once_the_first_stage_is_passed_and_decides_the_run(self, dag):
        check_settle(dag, setup=next(iter(self.operators)))

    def test_each_task_is_tried_again_and_ended_as_the_policy_says(self, dag):
        check_task_policy(dag, owner="data-team")

    def test_settle_tells_who_follows_a_dataset(self, dag):
        assert dag.get_task("settle").outlets == [AssetAlias(f"encord datasets of {self.dag_id}")]

    def test_serialized_and_back_without_the_integrations(self, dag):
        data = DagSerialization.to_dict(dag)
        assert DagSerialization.from_dict(data).dag_id == self.dag_id
        assert "connection_id" not in str(data)
