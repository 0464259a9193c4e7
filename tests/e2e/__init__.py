"""Real Airflow processes, a real S3 server, the real SDK and the dataset service."""
