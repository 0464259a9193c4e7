"""The DAGs: exactly what stands in them, through Airflow's own DAG bag."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG
from airflow.serialization.serialized_objects import DagSerialization
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud_sync.errors import ConfigError
from cloud_sync.integration import Integration, load_integrations
from cloud_sync_airflow.factory import (
    dataset_asset,
    documentation,
    integrations_folder,
    raise_errors,
    sync_dag,
    sync_dags,
)
from cloud_sync_airflow.notifiers.callbacks import alert_on_failure, alert_on_success
from cloud_sync_airflow.operators.list_shard import ListShardOperator
from cloud_sync_airflow.operators.register import RegisterOperator
from cloud_sync_airflow.retry import CloudSyncRetryPolicy
from tests.unit.tables import an_integration

REPOSITORY = Path(__file__).parents[3]
DAGS = REPOSITORY / "dags"

FULL = """\
name: cameras
description: Every night.
schedule: "0 2 * * *"
owner: perception-team
tags: [traffic]
storage: {provider: s3, connection_id: aws, bucket: recordings, prefix: in/}
target: {connection_id: encord, dataset: Cameras}
select: {include: ["*.mp4", "a|b"]}
"""
LEAST = """\
name: second
storage: {provider: s3, connection_id: aws, bucket: more}
target: {connection_id: encord, dataset: More}
"""


def fill(folder: Path, **files: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    return folder


def bag_of(folder: Path, monkeypatch: pytest.MonkeyPatch) -> DagBag:
    """Parse the project's DAG files with some integrations, as Airflow does, from an unrelated folder."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("AIRFLOW__CLOUD_SYNC__INTEGRATIONS_FOLDER", str(folder))
    return DagBag(dag_folder=str(DAGS), bundle_path=DAGS, bundle_name="dags")


def sync_ids(bag: DagBag) -> list[str]:
    return sorted(dag_id for dag_id in bag.dag_ids if dag_id.startswith("sync__"))


@pytest.fixture(scope="module")
def dag(tmp_path_factory) -> DAG:
    folder = fill(tmp_path_factory.mktemp("integrations"), cameras=FULL)
    [dag] = sync_dags(load_integrations(folder))
    return dag


def check_settle(dag: DAG, *, setup: str) -> None:
    """See that settle is the teardown of this stage, and that the run fails if it fails."""
    assert [task.task_id for task in dag.tasks if task.is_setup] == [setup]
    assert [task.task_id for task in dag.tasks if task.is_teardown] == ["settle"]
    assert dag.get_task("settle").on_failure_fail_dagrun is True
    assert dag.get_task("settle").trigger_rule == "all_done_setup_success"


def check_task_policy(dag: DAG, *, owner: str) -> None:
    """See that every task has the owner, the retries and the time limit of this project."""
    for task in dag.tasks:
        assert task.retries == 4, task.task_id
        assert task.retry_delay == timedelta(seconds=30)
        assert task.max_retry_delay == timedelta(minutes=15)
        assert task.retry_policy == CloudSyncRetryPolicy()
        assert task.owner == owner
        assert list(task.on_failure_callback) == [alert_on_failure]
        assert list(task.on_success_callback) == [alert_on_success]
        limit = None if task.task_id.rpartition(".")[2] == "register" else timedelta(hours=12)
        assert task.execution_timeout == limit, task.task_id


class TestBag:
    def test_one_dag_for_each_file_and_no_import_error(self, tmp_path, monkeypatch):
        bag = bag_of(fill(tmp_path, a=FULL, b=LEAST), monkeypatch)
        assert bag.import_errors == {}
        assert sync_ids(bag) == ["sync__cameras", "sync__second"]
        assert Path(bag.dags["sync__cameras"].fileloc) == DAGS / "sync_integrations.py"

    def test_a_bad_file_costs_only_its_own_dag_and_says_why(self, tmp_path, monkeypatch):
        bad = LEAST.replace("second", "third").replace("bucket", "buket")
        bag = bag_of(fill(tmp_path, a=FULL, b=LEAST, c=bad, d="name: [", e="[" * 100_000), monkeypatch)
        assert sync_ids(bag) == ["sync__cameras", "sync__second"]
        [(file, text)] = bag.import_errors.items()
        assert Path(file).name == "integration_errors.py"
        for part in (
            f"{tmp_path}/c.yaml: 2 problems.",
            "line 2, storage.buket: is not a field. Did you mean bucket?",
            "line 2, storage.bucket: is missing. Add it: Bucket name.",
            f"{tmp_path}/d.yaml, line 2: is not valid",
            f"{tmp_path}/e.yaml, line 1: is not valid: it is nested too deeply.",
        ):
            assert part in text

    def test_in_a_tasks_process_only_its_dag_is_made(self, tmp_path, monkeypatch):
        monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_DAG_ID", "sync__second")
        folder = fill(tmp_path, a=FULL, b=LEAST)
        assert [dag.dag_id for dag in sync_dags(load_integrations(folder))] == ["sync__second"]


class TestFolder:
    def test_the_setting_comes_before_the_default(self, tmp_path, monkeypatch):
        assert integrations_folder(tmp_path) == tmp_path
        monkeypatch.setenv("AIRFLOW__CLOUD_SYNC__INTEGRATIONS_FOLDER", "/elsewhere")
        assert integrations_folder(tmp_path) == Path("/elsewhere")

    def test_a_folder_that_is_not_there_is_an_import_error(self, tmp_path):
        with pytest.raises(ConfigError, match=r"absent: is not a folder\. Create it"):
            raise_errors(load_integrations(tmp_path / "absent"))

    def test_good_files_raise_nothing(self, tmp_path):
        raise_errors(load_integrations(fill(tmp_path, a=FULL)))


class TestPolicy:
    def test_the_dag(self, dag):
        assert dag.dag_id == "sync__cameras"
        assert dag.description == "Every night."
        assert dag.schedule == "0 2 * * *"
        assert dag.catchup is False
        assert dag.max_active_runs == 1
        assert dag.tags == {"encord", "s3", "traffic"}
        assert dag.owner == "perception-team"
        assert dag.is_paused_upon_creation is None
        assert dag.fail_fast is False

    def test_the_least_file(self):
        dag = sync_dag(an_integration(), Path("cameras.yaml"))
        assert dag.schedule is None
        assert dag.description == "recordings -> Cameras"
        assert (dag.owner, dag.tags) == ("data-team", {"encord", "s3"})

    def test_the_stages_and_their_order(self, dag):
        edges = {task.task_id: sorted(task.downstream_task_ids) for task in dag.tasks}
        assert edges == {
            "list": ["plan"],
            "plan": ["build", "settle"],
            "build": ["register"],
            "register": ["retry_1.select", "settle"],
            "retry_1.select": ["retry_1.register"],
            "retry_1.register": ["retry_2.select", "settle"],
            "retry_2.select": ["retry_2.register"],
            "retry_2.register": ["settle"],
            "settle": [],
        }

    def test_what_is_gone_leaves_the_dataset_once_a_person_has_agreed(self):
        sections = {"changes": {"removed": "unlink"}, "approval": {"removed_count": 0}}
        dag = sync_dag(an_integration(**sections), Path("cameras.yaml"))
        assert dag.get_task("approve").downstream_task_ids == {"build", "unlink"}
        unlink = dag.get_task("unlink")
        assert (unlink.downstream_task_ids, unlink.retries) == ({"settle"}, 4)
        assert unlink.execution_timeout == timedelta(hours=12)
        check_settle(dag, setup="plan")

    @pytest.mark.parametrize("removed", ["report", "unlink"])
    def test_what_is_registered_again_leaves_the_dataset_before_anything_is_sent(self, removed):
        sections = {"changes": {"changed": "register_again", "removed": removed}}
        limits = {"approval": {"changed_count": 0, "removed_count": 0}}
        dag = sync_dag(an_integration(**sections, **limits), Path("cameras.yaml"))
        assert dag.get_task("approve").downstream_task_ids == {"build", "unlink"}
        unlink = dag.get_task("unlink")
        assert (unlink.downstream_task_ids, unlink.leads) == ({"build"}, True)
        assert (unlink.retries, unlink.execution_timeout) == (4, timedelta(hours=12))
        assert dag.get_task("build").upstream_task_ids == {"plan", "approve", "unlink"}
        check_settle(dag, setup="plan")

    def test_a_listing_in_shards_is_mapped_over_what_a_survey_finds(self):
        dag = sync_dag(an_integration(storage=STORAGE | {"listing_shards": 3}), Path("cameras.yaml"))
        assert dag.get_task("survey").downstream_task_ids == {"list"}
        listing = dag.get_task("list")
        assert listing.downstream_task_ids == {"plan"}
        assert listing.operator_class is ListShardOperator
        assert list(listing.expand_input.value) == ["shard"]
        check_settle(dag, setup="plan")
        check_task_policy(dag, owner="data-team")
        back = DagSerialization.from_dict(DagSerialization.to_dict(dag))
        assert back.get_task("survey").downstream_task_ids == {"list"}

    @pytest.mark.parametrize("rounds", [0, 5])
    def test_there_are_as_many_retry_rounds_as_the_integration_says(self, rounds):
        dag = sync_dag(an_integration(retry={"rounds": rounds}), Path("cameras.yaml"))
        groups = [name for name in dag.task_group.children if name.startswith("retry_")]
        assert groups == [f"retry_{number}" for number in range(1, rounds + 1)]
        check_settle(dag, setup="plan")
        check_task_policy(dag, owner="data-team")
        assert dag.get_task("settle").rounds == rounds

    def test_a_retry_round_registers_its_own_manifests_in_shards(self, dag):
        register = dag.get_task("retry_2.register")
        assert register.operator_class is RegisterOperator
        assert register.partial_kwargs["of_round"] == 2
        assert list(register.expand_input.value) == ["shard"]
        assert dag.get_task("retry_2.select").of_round == 2

    def test_settle_runs_once_there_is_a_plan_and_decides_the_run(self, dag):
        check_settle(dag, setup="plan")

    def test_each_task_is_tried_again_and_ended_as_the_policy_says(self, dag):
        check_task_policy(dag, owner="perception-team")

    def test_register_is_mapped_over_the_shards(self, dag):
        register = dag.get_task("register")
        assert register.is_mapped
        assert list(register.expand_input.value) == ["shard"]

    def test_only_register_is_in_the_pool_that_bounds_upload_jobs(self, tmp_path, monkeypatch):
        monkeypatch.setenv("AIRFLOW__CLOUD_SYNC__POOL", "encord_upload_jobs")
        dag = sync_dag(an_integration(), tmp_path / "cameras.yaml")
        for task in dag.tasks:
            expected = "encord_upload_jobs" if task.task_id.endswith("register") else "default_pool"
            assert task.pool == expected, task.task_id

    def test_without_the_setting_register_is_in_the_default_pool(self, dag):
        assert dag.get_task("register").pool == "default_pool"

    def test_settle_tells_who_follows_the_dataset(self, dag):
        [asset] = dag.get_task("settle").outlets
        assert (asset.name, asset.uri) == (
            "encord dataset encord/Cameras",
            "x-encord://encord/datasets/Cameras",
        )

    def test_the_form(self, dag):
        params = {name: dag.params.get_param(name) for name in dag.params}
        assert {name: param.value for name, param in params.items()} == {
            "mode": "sync",
            "prefix": None,
            "full_pass": False,
        }
        assert params["mode"].schema["enum"] == ["sync", "plan"]
        assert "It must begin with 'in/'." in params["prefix"].description

    def test_the_page_has_every_setting(self, dag):
        shown = [line.split("`")[1] for line in dag.doc_md.splitlines() if line.startswith("| `")]
        fields = []
        for section, field in list(Integration.model_fields.items())[5:]:
            inner = getattr(field.annotation, "model_fields", None)
            fields += [f"{section}.{name}" for name in inner] if inner else [section]
        assert shown == fields
        assert {"groups", "metadata.sidecar", "title"} < set(fields)
        assert "| `select.include` | `*.mp4, a\\|b` |" in dag.doc_md
        assert "| `storage.region` | not set |" in dag.doc_md
        assert dag.doc_md.startswith("**Every night.**")

    def test_the_page_shows_rules_and_nested_sections(self):
        rule = {"type": "image_group", "by": "folder", "complete": {"count": 3}}
        metadata = {"table": {"path": "t.csv"}, "constants": {"a": 1}}
        alerts = [{"email": {"connection_id": "mail", "to": ["a@example.com", "b@example.com"]}}]
        integration = an_integration(storage=STORAGE, groups=[rule, rule], metadata=metadata, alerts=alerts)
        lines = documentation(integration, Path("x.yaml")).splitlines()
        assert "| `groups[1].complete.count` | `3` |" in lines
        assert "| `metadata.table.path` | `t.csv` |" in lines
        assert "| `metadata.constants.a` | `1` |" in lines
        assert "| `alerts[0].email.to` | `a@example.com, b@example.com` |" in lines
        assert "| `alerts[0].when` | `failed_run, failed_task, approval` |" in lines

    def test_no_value_breaks_the_table(self):
        prefix = "a|b`c\nd"
        text = documentation(an_integration(storage=STORAGE | {"prefix": prefix}), Path("x.yaml"))
        assert "| `storage.prefix` | `a\\|b'c d` |" in text

    def test_serialized_and_back(self, dag):
        data = DagSerialization.to_dict(dag)
        back = DagSerialization.from_dict(data)
        assert back.dag_id == "sync__cameras"
        assert len(back.task_ids) == 9
        assert back.get_task("register").downstream_task_ids == {"retry_1.select", "settle"}


STORAGE = {"provider": "s3", "connection_id": "aws", "bucket": "recordings"}
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=100).filter(str.strip)
PREFIXES = TEXT.filter(lambda text: "*" not in text and "://" not in text)


INTEGRATIONS = st.builds(
    an_integration,
    description=TEXT,
    owner=TEXT,
    tags=st.lists(TEXT, max_size=3),
    storage=st.fixed_dictionaries({"prefix": PREFIXES}).map(lambda changed: STORAGE | changed),
    target=st.fixed_dictionaries(
        {
            "connection_id": st.from_regex(r"[A-Za-z0-9_.:/\\#!()-]{1,80}", fullmatch=True),
            "dataset": TEXT,
        }
    ),
)


@settings(max_examples=25, deadline=None)
@given(INTEGRATIONS)
def test_every_integration_that_is_taken_makes_a_dag(integration):
    """Otherwise one odd file would take all DAGs out of service."""
    dag = sync_dag(integration, Path("x.yaml"))
    assert DagSerialization.from_dict(DagSerialization.to_dict(dag)).dag_id == "sync__cameras"


def test_the_longest_names_still_make_an_asset():
    integration = an_integration(
        name="x" * 100, target={"connection_id": "#" * 80, "dataset": "🎥" * 100}, tags=["t" * 100]
    )
    assert DagSerialization.to_dict(sync_dag(integration, Path("x.yaml")))


def test_datasets_of_one_title_behind_two_connections_are_two_assets():
    assets = [
        dataset_asset(an_integration(target={"connection_id": connection, "dataset": "Cameras"}))
        for connection in ("encord_dev", "encord_prod")
    ]
    assert assets[0].name != assets[1].name
    assert assets[0].uri != assets[1].uri
