"""The ticket sale with the documented settings of a cluster, and addresses of here.

CLUSTER_DATABASES has, as JSON, what replaces the documented keys of each alias.
"""

import json
import os
import runpy
from typing import Any

from demo.settings import *  # noqa: F403
from tests.harness.configurations import CONFIGURATIONS

_documented = runpy.run_path(str(CONFIGURATIONS / "settings.py"))
_here: dict[str, dict[str, Any]] = json.loads(os.environ.get("CLUSTER_DATABASES", "{}"))


def _with(documented: dict[str, Any], here: dict[str, Any]) -> dict[str, Any]:
    options = {**documented["OPTIONS"], **here.get("OPTIONS", {})}
    pool = {
        **documented["OPTIONS"]["pool"],
        **here.get("OPTIONS", {}).get("pool", {}),
    }
    return {**documented, **here, "OPTIONS": {**options, "pool": pool}}


DATABASES = {
    alias: _with(documented, _here.get(alias, {}))
    for alias, documented in _documented["DATABASES"].items()
}
POOLED_DB = {
    **_documented["POOLED_DB"],
    "EXEMPT": [*_documented["POOLED_DB"]["EXEMPT"], "^node$", "^stats$"],
}
ROOT_URLCONF = "tests.cluster.urls"
