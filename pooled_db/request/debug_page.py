"""What a developer sees in place of the 503's page: with ``DEBUG = True`` only."""

from __future__ import annotations

import dataclasses
from dataclasses import replace

from django.db import connections
from django.utils.html import escape

from .. import conf
from ..exceptions import PoolTimeout, Reason
from .responses import Refusal

#: What to do, by reason.
ADVICE = {
    Reason.TIMEOUT: "Find out why the connections below are held for so long: slow "
    "queries, or slow calls while a connection is held (pooled_db.release() gives it "
    'back before, "hold": "transaction" between transactions). Then see whether '
    "pool_size is too small: manage.py pools --advise.",
    Reason.QUEUE_FULL: "More requests wait than max_waiting allows. The requests below "
    "hold the connections that they wait for.",
    Reason.OVERLOADED: "The line has stood for longer than queue_interval, so requests "
    "are refused early (queue_target). See what holds the connections below.",
    Reason.STALLED: "Do not ask for a second connection inside an atomic block, or "
    "raise pool_size.",
    Reason.UNAVAILABLE: "See whether the server runs, and whether HOST, PORT, USER and "
    "PASSWORD are right.",
    Reason.CONNECTION_LOST: "The server, or something between, has ended the "
    "connection in the middle of the request: see the server's log and its time-outs.",
}

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>503: {reason}</title>
<style>
body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto;
       padding: 0 1rem; color-scheme: light dark }}
code, td {{ font-family: ui-monospace, monospace; overflow-wrap: anywhere }}
td, th {{ text-align: left; vertical-align: top; padding: 0 1rem 0 0 }}
</style>
</head>
<body>
<h1>503: {reason}</h1>
<p>{diagnosis}</p>
{holders}<h2>What to do</h2>
<p>{advice}</p>
<h2>Settings of the pool of <code>{alias}</code></h2>
<table>{settings}</table>
<p>You see this page because <code>DEBUG = True</code>. Otherwise it is the project's
<code>503.html</code>, or a short text.</p>
</body>
</html>
"""


def explained(refusal: Refusal, alias: str, reason: Reason, cause: object) -> Refusal:
    """Put into *refusal* why, who holds the connections, and what to do."""
    body = _PAGE.format(
        reason=reason.value,
        diagnosis=escape(str(cause)),
        holders=_holders(cause),
        advice=escape(ADVICE[reason]),
        alias=escape(alias),
        settings=_settings(alias),
    ).encode()
    headers = {
        **refusal.headers,
        "Content-Language": "en",
        "Content-Length": str(len(body)),
    }
    return replace(refusal, headers=headers, body=body if refusal.body else b"")


def _holders(cause: object) -> str:
    if not isinstance(cause, PoolTimeout):
        return ""
    lists = (("This request holds", cause.own), ("Others hold", cause.holders))
    return "".join(
        f"<h2>{title}</h2>\n<ul>"
        + "".join(f"<li>{escape(str(holder))}</li>" for holder in holders)
        + "</ul>\n"
        for title, holders in lists
        if holders
    )


def _settings(alias: str) -> str:
    if alias not in connections.settings:
        return ""
    options = dataclasses.asdict(conf.pool_settings(alias, connections.settings[alias]))
    return "".join(
        f"<tr><th>{name}</th><td>{escape(repr(value))}</td></tr>"
        for name, value in options.items()
    )
