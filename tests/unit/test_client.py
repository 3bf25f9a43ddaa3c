"""Who is one client, by address, header or the project's own function."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.test import RequestFactory

from pooled_db.asgi import FromASGI
from pooled_db.request import client as telling
from pooled_db.request.client import client_of
from pooled_db.request.identity import Identity
from pooled_db.request.incoming import FromDjango, Incoming
from pooled_db.wsgi import FromWSGI

ADDRESS = "192.0.2.7"


def incoming(kind: str, address: str = ADDRESS, **headers: str) -> Incoming:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    if kind == "asgi":
        return FromASGI(
            {
                "client": (address, 1234) if address else None,
                "headers": [
                    (name.lower().encode(), value.encode())
                    for name, value in names.items()
                ],
            }
        )
    request = RequestFactory().get("/", headers=names, REMOTE_ADDR=address)
    return FromDjango(request) if kind == "django" else FromWSGI(request.META)


everywhere = pytest.mark.parametrize("kind", ["asgi", "wsgi", "django"])


@everywhere
@pytest.mark.parametrize(
    ("setting", "header", "client"),
    [
        ("REMOTE_ADDR", "198.51.100.1", ADDRESS),
        (None, "198.51.100.1", None),
        ("X-Hops", "198.51.100.1", "198.51.100.1"),
        ("X-Hops", "", ADDRESS),
        ("X-Hops", "203.0.113.9, 198.51.100.1", "198.51.100.1"),
        (("X-Hops", 2), "1.2.3.4, 203.0.113.9, 198.51.100.1", "203.0.113.9"),
        (("X-Hops", 2), "198.51.100.1", ADDRESS),
        ("X-Hops", "198.51.100.1:4711", "198.51.100.1"),
        ("X-Hops", "unknown", "unknown"),
    ],
)
def test_a_client_is_an_address_or_what_a_proxy_says(
    settings: Any, kind: str, setting: Any, header: str, client: object
) -> None:
    settings.POOLED_DB = {"CLIENT": setting}

    assert client_of(incoming(kind, X_Hops=header)) == client


@everywhere
def test_an_address_that_nobody_knows_is_of_everybody(settings: Any, kind: str) -> None:
    settings.POOLED_DB = {}

    assert client_of(incoming(kind, "")) is None


@everywhere
def test_no_header_passes_for_the_address(settings: Any, kind: str) -> None:
    settings.POOLED_DB = {}

    assert client_of(incoming(kind, Remote_Addr="198.51.100.1")) == ADDRESS


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::2", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("::ffff:192.0.2.7", "192.0.2.7", True),
        ("[2001:db8::1]:80", "2001:db8::2", True),
        ("192.0.2.7", "192.0.2.8", False),
        ("2001:db8::ff00:0:0:1", "2001:db8::1", True),
        ("no:address", "no:address", True),
        ("no:address", "another:one", False),
    ],
)
def test_who_has_a_network_of_addresses_is_one_client(
    settings: Any, one: str, other: str, same: bool
) -> None:
    settings.POOLED_DB = {}

    found = client_of(incoming("asgi", one)) == client_of(incoming("asgi", other))
    assert found is same


@everywhere
def test_a_function_tells_clients_apart_by_the_headers(
    settings: Any, kind: str
) -> None:
    def tenant(headers: Mapping[str, str]) -> str | None:
        return headers.get("x-tenant")

    settings.POOLED_DB = {"CLIENT": tenant}

    assert client_of(incoming(kind, X_Tenant="seven")) == "seven"
    assert client_of(incoming(kind)) == ADDRESS


@everywhere
def test_what_cannot_be_told_apart_is_a_failure_of_the_function(
    settings: Any, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    telling._logged_failures.clear()
    settings.POOLED_DB = {"CLIENT": lambda headers: ["a list"]}

    assert client_of(incoming(kind)) == ADDRESS
    assert len([one for one in caplog.records if "CLIENT" in one.getMessage()]) == 1


@everywhere
def test_a_function_that_fails_leaves_the_address_and_is_logged_once(
    settings: Any, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    telling._logged_failures.clear()

    def fail(headers: Mapping[str, str]) -> str:
        return headers["X-Tenant"]

    settings.POOLED_DB = {"CLIENT": fail}

    for _ in range(3):
        assert client_of(incoming(kind)) == ADDRESS
    (record,) = [one for one in caplog.records if "CLIENT" in one.getMessage()]
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], KeyError)
    assert "has failed: KeyError. Clients are" in record.getMessage()


def test_two_threads_of_a_request_may_be_told_apart_at_once(settings: Any) -> None:
    both = threading.Barrier(2, timeout=30)

    def tenant(headers: Mapping[str, str]) -> str:
        both.wait()
        return "seven"

    settings.POOLED_DB = {"CLIENT": tenant}
    request = Identity()
    request.incoming = incoming("asgi")

    with ThreadPoolExecutor(2) as threads:
        clients = [threads.submit(request.client) for _ in range(2)]

    assert {client.result() for client in clients} == {"seven"}


# What a server tells of a request's headers, under ASGI line by line.


class Lines(list[tuple[bytes, bytes]]):
    """Counts how often it is read."""

    reads = 0

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        self.reads += 1
        return super().__iter__()


def test_all_headers_are_read_in_one_pass() -> None:
    lines = Lines((b"x-%d" % number, b"%d" % number) for number in range(1000))

    headers = FromASGI({"headers": lines}).headers()

    assert headers["X-999"] == "999"
    assert lines.reads == 1


def test_lines_of_one_header_are_joined_as_http_says() -> None:
    lines = [(b"cookie", b"a=1"), (b"accept", b"text/html"), (b"cookie", b"b=2")]
    incoming = FromASGI({"headers": [*lines, (b"accept", b"*/*")]})

    for headers in (incoming.headers().get, incoming.header):
        assert headers("Cookie") == "a=1; b=2"
        assert headers("Accept") == "text/html,*/*"


def test_a_request_may_have_no_headers() -> None:
    assert FromASGI({}).header("accept") is None
    assert not FromASGI({}).headers()
