"""The tutorial, followed as it is written, on a server of the tests."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

import pytest

from tests.documentation import DOCS, Block, blocks
from tests.harness import servers
from tests.harness.load import Plan, run
from tests.harness.processes import completed
from tests.harness.server import Server
from tests.sites import ROOT, Site

SETTINGS, URLS = "shop/settings.py", "shop/urls.py"

#: The commands of the tutorial that this test runs in another way, or has no use for.
OTHERWISE = re.compile(
    r"sudo |python3 -m venv|\. |pip install|cd |gunicorn|curl|seq"
    r"|python manage.py (createsuperuser|pools --watch)"
)


def _python(directory: Path, *arguments: str) -> None:
    ours = {name: os.environ[name] for name in os.environ if name[:6] != "DJANGO"}
    done = completed(
        [sys.executable, *arguments],
        env={**ours, "PYTHONPATH": str(ROOT)},
        cwd=directory,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _commands(page: list[Block]) -> list[str]:
    """The commands that readers type, without those that are done otherwise."""
    return [
        line.removeprefix("$ ")
        for block in page
        if block.language == "console"
        for line in block.text.splitlines()
        if line.startswith("$ ") and not OTHERWISE.match(line.removeprefix("$ "))
    ]


@pytest.fixture
def shop(server: Server, tmp_path: Path) -> Path:
    """The site of the tutorial, made with its own commands and files."""
    page = list(blocks(DOCS / "tutorial.md"))
    database = server.database("tutorial")
    ours = {
        '"NAME": "shop"': f'"NAME": "{database["NAME"]}"',
        '"USER": "shop"': f'"USER": "{database["USER"]}"',
        '"PASSWORD": "secret"': f'"PASSWORD": "{database["PASSWORD"]}"',
        '"HOST": "localhost"': f'"HOST": "{database["HOST"]}"',
        '"PORT": "3306"': f'"PORT": "{database["PORT"]}"',
        '"OPTIONS": {': f'"OPTIONS": {{**{database.get("OPTIONS", {})!r}, ',
    }
    start, *others = _commands(page)
    assert start == "django-admin startproject shop"
    _python(tmp_path, "-m", "django", *start.split()[1:])
    directory = tmp_path / "shop"
    settings = directory / SETTINGS
    text = re.sub(
        r"^DATABASES = \{.*?^\}$",
        "",
        settings.read_text("utf-8"),
        flags=re.MULTILINE | re.DOTALL,
    )
    for block in page:
        if block.file == SETTINGS:
            written = block.text
            for theirs, here in ours.items():
                written = written.replace(theirs, here)
            text += written
        elif block.file == URLS:
            (directory / URLS).write_text(block.text, "utf-8")
    settings.write_text(text, "utf-8")
    for command in others:
        program, *arguments = command.split()
        assert program == "python"
        _python(directory, *arguments)
    return directory


def test_the_tutorial_ends_as_it_says(shop: Path) -> None:
    env = {"DJANGO_SETTINGS_MODULE": "shop.settings", "PYTHONPATH": str(ROOT)}
    with servers.gunicorn("shop.wsgi", threads=32, env=env, cwd=shop) as serving:
        site = Site(serving)
        assert site.get("/").body == "Here is your ticket.\n"
        assert site.get("/pools/").status == 302  # to the login
        assert site.get("/static/pooled_db/dashboard/dashboard.js").status == 200

        report = run(Plan(serving.url, clients=30, requests_each=5))

        assert set(report.counts) == {200, 503}, report.counts
        (numbers,) = json.loads(site.get("/pool").body).values()
        assert numbers["opened"] <= 4
        assert numbers["refused"] == report.counts[503]
        assert numbers["refused_by"]["overloaded"] > 0
