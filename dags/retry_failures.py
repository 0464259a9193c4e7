"""**Register once more what failed**: the files of a run's `failures.csv`, or of any list of object URLs.

`choose` reads the list and finds the items of its rows; a row of a group stands for the whole group. What was
sent in a run whose folder is still there is sent exactly so again, with its title and metadata. Otherwise a
single file is made up from its URL and title; files of groups are left out, because nothing tells the order
of a group any more. Files that are not in the bucket are left out, too. The log of `choose` and `report.json`
say what was left out and why.

**The failure classes** say which rows are taken. Rows without a class, as of a list of URLs, always are.

**Quarantine**: what is quarantined is left out unless the form releases it. What has been registered since is
left out as well.

**The ledger** is that of the integration's sync: what is registered here is not sent by the next sync, and
what fails again has one attempt more. A sync may settle at the same time, and nothing is lost. But do not
retry what a sync is registering at that moment: two upload jobs can each find that the dataset has not got a
URL yet.

**Every URL has to be of the integration's bucket.** With any other nothing is sent, and the error names them.
"""

from __future__ import annotations

from pathlib import Path

from cloud_sync_airflow.factory import integrations_folder, load_integrations
from cloud_sync_airflow.retry_failures import retry_dag

FOLDER = integrations_folder(default=Path(__file__).parents[1] / "include" / "integrations")

dag = retry_dag(load_integrations(FOLDER), __doc__)
