"""The whole of Encord Cloud Sync on one machine: `python -m demo run | up | down | status`.

Everything it starts listens on 127.0.0.1 only, keeps its files under one folder (`.demo`), and is ended
by process id.
"""
