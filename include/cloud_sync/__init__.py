"""The core of Encord Cloud Sync: list, plan, build, register, settle. Imports no Airflow."""
