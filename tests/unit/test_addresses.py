"""The addresses that a host's name stands for, and which of them is tried when."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import MySQLdb
import pytest

from pooled_db.driver.addresses import Addresses
from tests.clock import Clock

NAME = "db.example"
HOSTS = ["127.0.0.2", "127.0.0.3", "127.0.0.4"]

Opening = Callable[[dict[str, Any]], Any]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def addresses(clock: Clock) -> Addresses:
    return Addresses(clock)


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that the name stands for; to be changed by the test."""
    found = list(HOSTS)

    def answer(name: str, port: object, **kwargs: object) -> Any:
        assert name == NAME
        kind = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
        return [(*kind, (address, 0)) for address in found]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    return found


class Opened:
    """What the driver has opened, as far as its address is told to it."""

    is_at_new_address = False
    address: str | None = None

    def is_of(self, name: str, address: str) -> None:
        assert name == NAME
        self.address = address


def is_at_new_address(addresses: Addresses, to: str) -> bool:
    """Open a connection where all addresses but *to* fail, and ask it."""

    def open_one(options: dict[str, Any]) -> Any:
        if options["host"] != to:
            raise MySQLdb.OperationalError(2003, "Can't connect to server")
        return Opened()

    opened: Any = addresses.open_at_any({"host": NAME}, open_one)
    assert opened.address == to
    assert isinstance(opened.is_at_new_address, bool)
    return opened.is_at_new_address


# What is left to the driver.


@pytest.mark.parametrize(
    "options",
    [
        {"host": "localhost"},
        {"host": "127.0.0.1"},
        {"host": "::1"},
        {"host": "/run/mysqld.sock"},
        {},
        {"host": NAME, "unix_socket": "/run/mysqld.sock"},
        {"host": NAME, "ssl_mode": "VERIFY_IDENTITY"},
        {"host": NAME, "ssl": {"ca": "/etc/ca.pem"}},
        {"host": NAME, "ssl": {"capath": "/etc/ca"}},
        {"host": NAME, "ssl": {"check_hostname": True}},
    ],
    ids=str,
)
def test_a_name_is_left_to_the_driver_where_it_matters(
    monkeypatch: pytest.MonkeyPatch, addresses: Addresses, options: dict[str, Any]
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", pytest.fail)
    assert addresses.addresses_of(options) == []


@pytest.mark.parametrize("ssl", [None, {}, {"cert": "/etc/me.pem"}, True], ids=str)
def test_it_is_looked_up_where_no_certificate_is_compared_with_it(
    found: list[str], addresses: Addresses, ssl: object
) -> None:
    options = {"host": NAME, "ssl": ssl, "ssl_mode": "REQUIRED"}
    assert addresses.addresses_of(options) == HOSTS


@pytest.mark.parametrize("error", [socket.gaierror(-2, "unknown"), UnicodeError()])
def test_of_a_name_that_nobody_knows_the_driver_tells_in_its_own_words(
    monkeypatch: pytest.MonkeyPatch, addresses: Addresses, error: Exception
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise error

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    assert addresses.open_at_any({"host": NAME}, lambda options: options) == {  # type: ignore[arg-type,return-value,comparison-overlap]
        "host": NAME
    }


def test_a_name_with_one_address_is_left_to_the_driver_and_looked_up_again(
    found: list[str], addresses: Addresses, clock: Clock
) -> None:
    """For 10 s it is the driver that looks it up."""
    del found[1:]
    open_one: Any = dict
    given: Any = addresses.open_at_any({"host": NAME}, open_one)
    assert given == {"host": NAME}
    clock.now += 10.0
    assert addresses.addresses_of({"host": NAME}) == [HOSTS[0]]
    found.append(HOSTS[1])
    clock.now += 9.9
    assert addresses.addresses_of({"host": NAME}) == []
    clock.now += 0.1
    assert addresses.addresses_of({"host": NAME}) == HOSTS[:2]


# Which is tried first.


def test_an_address_is_tried_last_for_longer_each_time_it_fails(
    addresses: Addresses, clock: Clock
) -> None:
    """For 0.5 s at first and 10 s at most, and up to a quarter more."""
    pauses = []
    for _ in range(8):
        addresses.failed("here")
        pauses.append(addresses._until["here"] - clock.now)
    for pause, least in zip(pauses, [0.5, 1, 2, 4, 8, 10, 10, 10], strict=True):
        assert least <= pause <= least * 1.25
    assert addresses.worked("here")
    addresses.failed("here")
    assert addresses._until["here"] - clock.now <= 0.5 * 1.25


def firsts(addresses: Addresses) -> set[str]:
    return {addresses.in_order(HOSTS)[0] for _ in HOSTS}


def test_those_that_have_not_failed_come_first_each_in_its_turn(
    addresses: Addresses, clock: Clock
) -> None:
    assert firsts(addresses) == set(HOSTS)
    addresses.failed(HOSTS[1])
    assert {addresses.in_order(HOSTS)[-1] for _ in HOSTS} == {HOSTS[1]}
    assert firsts(addresses) == {HOSTS[0], HOSTS[2]}
    clock.now += 0.5 * 1.25
    assert firsts(addresses) == set(HOSTS)


def test_one_that_works_again_has_its_turn_at_once(addresses: Addresses) -> None:
    addresses.failed(HOSTS[1])
    addresses.worked(HOSTS[1])
    assert firsts(addresses) == set(HOSTS)


def test_of_those_that_have_failed_the_one_to_be_tried_again_first_is_first(
    addresses: Addresses,
) -> None:
    for times, host in enumerate(HOSTS, 1):
        for _ in range(times):
            addresses.failed(host)
    assert [addresses.in_order(HOSTS) for _ in HOSTS] == 3 * [HOSTS]


# What is said of one that was opened, and to whom.


def test_a_connection_knows_whether_others_might_move_to_its_address(
    found: list[str], addresses: Addresses
) -> None:
    first, second, third = HOSTS
    found.remove(third)
    assert not is_at_new_address(addresses, first)
    assert not is_at_new_address(addresses, first)
    assert not is_at_new_address(addresses, first)
    # The second has failed meanwhile.
    assert is_at_new_address(addresses, second)
    assert not is_at_new_address(addresses, second)
    found.append(third)
    assert is_at_new_address(addresses, third)
    # Who has gone is missed by nobody.
    found.remove(first)
    assert not is_at_new_address(addresses, third)


def test_a_backend_that_opens_by_other_means_is_found_out_at_several_addresses(
    found: list[str], addresses: Addresses
) -> None:
    assert addresses.open_at_any({"host": NAME}, lambda options: None) is None
