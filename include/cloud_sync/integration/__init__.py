"""The integration file: one YAML file that says what to sync, from where, to which dataset.

The model is the one source of its fields, defaults and limits: the JSON schema for editors is exported from
it, and each error names the file, the line and the remedy.
"""

from cloud_sync.integration.alerts import AlertChannel, AlertEvent
from cloud_sync.integration.approval import Approval
from cloud_sync.integration.changes import Changes
from cloud_sync.integration.doubts import doubts_about
from cloud_sync.integration.failures import Failures
from cloud_sync.integration.files import (
    LoadedIntegrations,
    check_integration,
    load_files,
    load_integration,
    load_integrations,
)
from cloud_sync.integration.groups import Complete, GroupRule
from cloud_sync.integration.metadata import Metadata, Table
from cloud_sync.integration.model import (
    Integration,
    Select,
    Target,
    Types,
    Upload,
    is_uuid,
)
from cloud_sync.integration.retry import Retry
from cloud_sync.integration.schema import json_schema, write_json_schema
from cloud_sync.integration.storage import Storage

__all__ = [
    "AlertChannel",
    "AlertEvent",
    "Approval",
    "Changes",
    "Complete",
    "Failures",
    "GroupRule",
    "Integration",
    "LoadedIntegrations",
    "Metadata",
    "Retry",
    "Select",
    "Storage",
    "Table",
    "Target",
    "Types",
    "Upload",
    "check_integration",
    "doubts_about",
    "is_uuid",
    "json_schema",
    "load_files",
    "load_integration",
    "load_integrations",
    "write_json_schema",
]
