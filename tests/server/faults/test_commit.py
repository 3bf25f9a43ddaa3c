"""Nobody is told that something was stored, or may be tried again, in doubt."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

import pytest

from tests.database_server import SERVER
from tests.harness.processes import poll
from tests.server.faults.conftest import Distant
from tests.server.faults.crowd import Told, ask

pytestmark = pytest.mark.skipif(
    not SERVER.is_mariadb, reason="the proxy looks for COMMIT, which TLS hides"
)

Serve = Callable[..., Distant]

both = pytest.mark.parametrize("kind", ["gunicorn", "uvicorn"])
anywhere = pytest.mark.parametrize("atomic_requests", [False, True])

#: As it goes over the wire: the code of a query, and its text. Without the code,
#: READ COMMITTED would be one.
COMMIT = b"\x03COMMIT"


def is_stored(here: Distant, token: str) -> bool:
    with (
        contextlib.closing(here.server.connect(database="distant")) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("SELECT COUNT(*) FROM site_item WHERE name = %s", (token,))
        return bool(cursor.fetchone()[0])


def assert_in_doubt(told: Told) -> None:
    assert told.answer.status == 503, told
    assert told.reason == "connection_lost"
    assert not told.may_be_tried_again


@both
@anywhere
def test_a_commit_whose_answer_is_lost_is_no_success(
    distant: Serve, kind: str, atomic_requests: bool
) -> None:
    here = distant(kind, atomic_requests=atomic_requests, read_timeout=1)
    token = f"swallowed-{kind}-{atomic_requests}"
    here.proxy.swallow(COMMIT, times=1)

    told = ask(here.site, "/store", token, method="POST")

    assert here.proxy.swallowing() == 1
    assert is_stored(here, token)
    assert_in_doubt(told)
    again = ask(here.site, "/store", f"{token}-again", method="POST")
    assert again.answer.status == 200
    assert is_stored(here, f"{token}-again")


@both
@anywhere
def test_a_transaction_that_is_cut_is_not_stored_and_no_success(
    distant: Serve, kind: str, atomic_requests: bool
) -> None:
    here = distant(kind, atomic_requests=atomic_requests)
    token = f"cut-{kind}-{atomic_requests}"
    told: list[Told] = []
    client = threading.Thread(
        target=lambda: told.append(
            ask(here.site, "/store?seconds=2", token, method="POST")
        )
    )
    client.start()
    assert poll(
        lambda: any("SLEEP" in str(p["info"]) for p in here.server.process_list())
    )
    here.proxy.cut()
    client.join()

    assert_in_doubt(told[0])
    assert not is_stored(here, token)


@both
def test_a_post_that_is_refused_before_it_began_may_be_tried_again(
    distant: Serve, kind: str
) -> None:
    here = distant(kind)
    token = f"refused-{kind}"
    here.proxy.refuse()

    told = ask(here.site, "/store", token, method="POST")

    assert told.answer.status == 503
    assert told.reason == "unavailable"
    assert told.may_be_tried_again
    assert not is_stored(here, token)
    here.proxy.forward()
    assert poll(lambda: ask(here.site, "/token", "again").is_good)
