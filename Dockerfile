# Airflow with this project and its pinned requirements. `runtime` is what a deployment needs;
# `demo` adds a local object store and sample media (and, with them, the tools of the tests).
#
#     docker build --target runtime --tag encord-cloud-sync:0.1.0 .
#
# The user of the base image is `airflow` (50000, group 0), never root.
FROM apache/airflow:slim-3.3.2-python3.11 AS runtime

WORKDIR /opt/airflow

# The requirements change seldom: they are a layer of their own, above the code.
# A pinned uv installs them: the one of the base image may not know the flags.
COPY --chown=airflow:0 requirements.txt requirements-dev.txt ./
RUN umask 0002 \
    && awk '/^[^ ]/ {keep = /^uv==/} keep' requirements-dev.txt > /tmp/uv.txt \
    && pip install --no-cache-dir --require-hashes --requirement /tmp/uv.txt \
    && uv pip install --no-cache --compile-bytecode --require-hashes --requirements requirements.txt \
    && rm /tmp/uv.txt

# Editable, so that folders mounted over these are what runs. The build tools are pinned as well.
COPY --chown=airflow:0 pyproject.toml requirements.in README.md LICENSE ./
COPY --chown=airflow:0 include include
COPY --chown=airflow:0 plugins plugins
COPY --chown=airflow:0 dags dags
RUN umask 0002 \
    && uv pip install --no-cache --no-deps --build-constraints requirements-dev.txt --editable . \
    && python -m compileall -q include plugins dags \
    && mkdir -p state/manifests state/tables logs

# What the project needs wherever it runs; docs/deployment.md says why.
ENV AIRFLOW__CORE__LOAD_EXAMPLES=False \
    AIRFLOW__CORE__DAGS_FOLDER=/opt/airflow/dags \
    AIRFLOW__CORE__PLUGINS_FOLDER=/opt/airflow/plugins \
    AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL=1 \
    AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT=30 \
    AIRFLOW__CLOUD_SYNC__STATE_FOLDER=/opt/airflow/state \
    AIRFLOW__CLOUD_SYNC__INTEGRATIONS_FOLDER=/opt/airflow/include/integrations


FROM runtime AS demo

RUN umask 0002 \
    && uv pip install --no-cache --compile-bytecode --require-hashes --requirements requirements-dev.txt \
    && mkdir -p demo-store
COPY --chown=airflow:0 demo demo
COPY --chown=airflow:0 deploy deploy
