"""The JSON schema with which editors complete and check integration files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cloud_sync.integration.model import Integration


def json_schema() -> dict[str, Any]:
    """Return the JSON schema with which editors complete and check integration files."""
    schema = Integration.model_json_schema(mode="validation")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def write_json_schema(path: Path) -> None:
    """Write the JSON schema as a file, for `# yaml-language-server: $schema=` lines."""
    path.write_text(json.dumps(json_schema(), indent=2) + "\n", encoding="utf-8")
