"""**Register a manifest that somebody wrote**, as a file or as pasted text, JSON or CSV.

`check` reads and lints it. What is wrong stands in its log, level by level, and in `findings.json` of the
run; with an error nothing is sent. Otherwise the items are written anew, as manifests of the size that the
integration sets, registered, and accounted for as in a sync: `failures.csv`, `report.json`, a verdict. The
log of `settle` names their paths. A *dry run* ends after `check`, which says what would be sent.

**The integration** says to which dataset, through which connections, and with which credential Encord reads.
Its rules for selecting and grouping objects do not apply. There is a warning about object URLs of another
bucket, and about those that are written otherwise than the sync writes them: Encord tells duplicates by the
exact URL.

**Duplicates** are skipped if the integration, the manifest or the form says so. Only then is a manifest sent
again whose answer was lost.

**The ledger** of the sync is neither read nor written, because sizes and etags of these objects are not
known. The next sync sends those that it selects once more, and `skip_duplicate_urls` makes that harmless.

**Runs wait for each other**, so that a form that is sent twice registers nothing twice. They do not wait for
a sync: do not upload what one is registering at the same time.
"""

from __future__ import annotations

from pathlib import Path

from cloud_sync_airflow.factory import integrations_folder, load_integrations
from cloud_sync_airflow.upload import upload_dag

FOLDER = integrations_folder(default=Path(__file__).parents[1] / "include" / "integrations")

dag = upload_dag(load_integrations(FOLDER), __doc__)
