"""The commands by which docs/how-to/servers.md serves a site do so."""

from __future__ import annotations

import contextlib
import json
import re
from typing import Any

import pytest

from tests.documentation import DOCS
from tests.harness import servers
from tests.harness.processes import poll
from tests.servers_here import needs
from tests.sites import Site, site_settings

PAGE = DOCS / "how-to" / "servers.md"
COMMANDS = re.findall(
    r"^\| [^|]+ \| `([^`]+)` \|$", PAGE.read_text("utf-8"), re.MULTILINE
)


def test_all_commands_are_found() -> None:
    assert len(COMMANDS) == 7


@pytest.mark.parametrize(
    "line", [pytest.param(line, marks=needs(line.split()[0])) for line in COMMANDS]
)
def test_the_command_serves(line: str, site_database: dict[str, Any]) -> None:
    settings = json.dumps(site_settings(site_database, pool={"pool_size": 2}))
    env = {"TEST_SETTINGS": settings, "DJANGO_SETTINGS_MODULE": "tests.settings"}

    with servers.as_typed(line.replace("yoursite.", "tests."), env=env) as serving:
        assert poll(lambda: answers(Site(serving)))


def answers(site: Site) -> bool:
    """Some bind their socket before a worker is there to answer."""
    with contextlib.suppress(OSError):
        return site.get("/queries").status == 200
    return False
