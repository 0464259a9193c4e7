"""A service that speaks Encord's public API to the unmodified encord SDK, for demos, rehearsals and tests.

A request passes `faults` and `auth`, is routed by `routes_v2` or `routes_legacy`, and does its work in
`folders`, `datasets` or `jobs`, inside one transaction of `database`. Upload jobs are read by `manifests`
and `entries`, run by `worker`, checked by `checking` as `item_types` and `file_kinds` say through a `reader`,
and registered by `registering`.
"""
