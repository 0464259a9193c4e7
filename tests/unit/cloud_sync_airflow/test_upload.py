"""The DAG `upload_manifest`: exactly what stands in it."""

from __future__ import annotations

from typing import ClassVar

from cloud_sync_airflow.operators.build_given import BuildGivenOperator
from cloud_sync_airflow.operators.check import CheckOperator
from cloud_sync_airflow.operators.settle_given import SettleGivenOperator
from cloud_sync_airflow.upload import upload_dag
from tests.unit.cloud_sync_airflow.form_dags import FormDag


class TestUploadManifest(FormDag):
    dag_id = "upload_manifest"
    build_dag = staticmethod(upload_dag)
    description = "Register a manifest that somebody wrote, JSON or CSV."
    operators: ClassVar = {"check": CheckOperator, "build": BuildGivenOperator, "settle": SettleGivenOperator}
    runs = "_uploads"
    path_field = "manifest_path"
    said = ("**The ledger**", "**Runs wait for each other**", "**Duplicates**", "*dry run*")
