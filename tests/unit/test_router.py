"""What is done for MySQL Router, which names itself in its version."""

from __future__ import annotations

from typing import Any

import pytest

from pooled_db.driver import reset

OPTIONS = {"host": "127.0.0.1", "port": 6446, "user": "shop", "password": "secret"}


class Session:
    """What `make_as_new` asks of a connection; it notes what is done to it."""

    current_options = None

    def __init__(self, version: str) -> None:
        self.version = version
        self.done: list[str] = []

    def get_server_info(self) -> str:
        return self.version

    def change_user(self, *account: str) -> None:
        self.done.append("change_user")

    def query(self, statement: str) -> None:
        self.done.append(statement)

    def store_result(self) -> Any:
        return self

    def fetch_row(self) -> tuple[tuple[str, str | None]]:
        return (("", None),)

    def character_set_name(self) -> str:
        return "utf8mb4"

    def set_character_set(self, name: str, collation: str | None) -> None: ...

    def autocommit(self, on: bool) -> None: ...


@pytest.mark.parametrize("version", ["9.7.4-router", "8.4.0-router"])
def test_a_session_behind_router_is_closed_instead_of_reset(version: str) -> None:
    session = Session(version)
    assert not reset.make_as_new(session, OPTIONS, True)  # type: ignore[arg-type]
    assert session.done == []


@pytest.mark.parametrize("version", ["9.7.4", "10.11.19-MariaDB-0+deb12u1", "8.0.11"])
def test_any_other_is_reset(version: str) -> None:
    session = Session(version)
    assert reset.make_as_new(session, OPTIONS, True)  # type: ignore[arg-type]
    assert session.done[0] == "change_user"
