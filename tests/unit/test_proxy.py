"""The proxy does the harm that it is told to do, and no other."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from tests.harness.processes import HOST, poll
from tests.harness.proxy import ROOT, Proxy, ProxyFailed
from tests.harness.sockets import (
    CONNECTING,
    ESTABLISHED,
    LEFT_BY_SERVER,
    clients_of,
    most_clients,
)

SHORT = 0.3


class Echo:
    """A server that sends back, per line, what it is sent; it keeps what it got."""

    def __init__(self) -> None:
        self._listener = socket.create_server((HOST, 0), backlog=64)
        self.port = self._listener.getsockname()[1]
        self.got: list[bytes] = []
        self.ended = 0
        self._clients: set[socket.socket] = set()
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(
                    target=self._serve, args=(client,), daemon=True
                ).start()

    def end_connections(self) -> None:
        for client in list(self._clients):
            client.shutdown(socket.SHUT_RDWR)

    def _serve(self, client: socket.socket) -> None:
        self._clients.add(client)
        with client, contextlib.suppress(ConnectionError):
            while data := client.recv(65536):
                self.got.append(data)
                client.sendall(data)
        self._clients.discard(client)
        self.ended += 1

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()


@pytest.fixture
def echo() -> Iterator[Echo]:
    with contextlib.closing(Echo()) as server:
        yield server


@pytest.fixture
def proxy(echo: Echo) -> Iterator[Proxy]:
    with Proxy(echo.port) as started:
        yield started


@pytest.fixture
def client(proxy: Proxy) -> Iterator[socket.socket]:
    with connected(proxy) as connection:
        assert exchange(connection, b"hello") == b"hello"
        yield connection


def connected(proxy: Proxy, timeout: float = 5.0) -> socket.socket:
    connection = socket.create_connection((HOST, proxy.port), timeout)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def exchange(connection: socket.socket, message: bytes) -> bytes:
    connection.sendall(message)
    return receive(connection, len(message))


def receive(connection: socket.socket, size: int) -> bytes:
    """Return *size* bytes, or fewer if the connection ends before."""
    received = b""
    while len(received) < size and (part := connection.recv(size - len(received))):
        received += part
    return received


def assert_silent(connection: socket.socket) -> None:
    connection.settimeout(SHORT)
    with pytest.raises(TimeoutError):
        connection.recv(1)
    connection.settimeout(5.0)


def test_it_forwards_in_both_directions_whatever_the_size(
    client: socket.socket,
) -> None:
    large = os.urandom(4_000_000)
    sender = threading.Thread(target=client.sendall, args=(large,))
    sender.start()
    assert receive(client, len(large)) == large
    sender.join()


def test_the_end_of_a_client_is_the_end_of_its_connection_to_the_server(
    proxy: Proxy, echo: Echo, client: socket.socket
) -> None:
    assert proxy.connections() == 1
    client.close()
    assert poll(lambda: echo.ended == 1)
    assert poll(lambda: proxy.connections() == 0)


def test_a_black_hole_lets_nothing_through_and_loses_nothing(
    proxy: Proxy, echo: Echo, client: socket.socket
) -> None:
    proxy.stop()
    client.sendall(b"later")
    with connected(proxy) as newcomer:
        newcomer.sendall(b"newer")
        assert_silent(client)
        assert_silent(newcomer)
        assert echo.got == [b"hello"]

        proxy.forward()

        assert receive(client, 5) == b"later"
        assert receive(newcomer, 5) == b"newer"
        assert exchange(client, b"after") == b"after"


def test_a_client_that_gave_up_in_a_black_hole_is_seen_after_it(
    proxy: Proxy, echo: Echo, client: socket.socket
) -> None:
    proxy.stop()
    client.sendall(b"last")
    client.close()
    proxy.forward()
    assert poll(lambda: echo.ended == 1)
    assert echo.got == [b"hello", b"last"]


def test_a_delay_comes_on_top_of_the_round_trip_and_keeps_the_order(
    proxy: Proxy, client: socket.socket
) -> None:
    proxy.delay(to_server=0.1, to_client=0.1)
    began = time.monotonic()
    for number in range(50):
        client.sendall(b"%02d" % number)
        time.sleep(0.001)
    expected = b"".join(b"%02d" % number for number in range(50))
    assert receive(client, 100) == expected
    # On top of all of them once, and not of each after the other.
    assert 0.2 <= time.monotonic() - began < 50 * 0.2


def test_what_a_delay_holds_is_not_overtaken_after_it(
    proxy: Proxy, client: socket.socket
) -> None:
    proxy.delay(to_server=SHORT)
    client.sendall(b"first")
    proxy.forward()
    client.sendall(b"second")
    assert receive(client, 11) == b"firstsecond"


@pytest.mark.timing
def test_half_a_millisecond_each_way_is_a_millisecond(
    proxy: Proxy, client: socket.socket
) -> None:
    proxy.delay(to_server=0.0005, to_client=0.0005)
    took = min(round_trips(client))
    print(f"round trip: {took * 1e3:.3f} ms")
    # None is sooner. A busy machine makes some later; if waits were rounded up to the
    # millisecond, all would take two.
    assert 0.001 <= took <= 0.0017


def round_trips(client: socket.socket) -> list[float]:
    took = []
    for _ in range(300):
        began = time.perf_counter()
        assert exchange(client, b"x") == b"x"
        took.append(time.perf_counter() - began)
    return took


def test_a_cut_resets_the_connections_that_there_are(
    proxy: Proxy, echo: Echo, client: socket.socket
) -> None:
    proxy.cut()
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    assert poll(lambda: echo.ended == 1)
    with connected(proxy) as newcomer:
        assert exchange(newcomer, b"newer") == b"newer"


def test_a_cut_after_some_bytes_lets_those_through(
    proxy: Proxy, echo: Echo, client: socket.socket
) -> None:
    proxy.cut_after(7)
    assert exchange(client, b"1234") == b"1234"
    assert exchange(client, b"5678") == b"567"
    assert poll(lambda: echo.ended == 1)
    proxy.forward()
    with connected(proxy) as newcomer:
        assert exchange(newcomer, b"12345678") == b"12345678"


def test_a_reset_after_some_bytes_lets_those_through(
    proxy: Proxy, echo: Echo, client: socket.socket
) -> None:
    proxy.cut_after(7, reset=True)
    assert exchange(client, b"1234") == b"1234"
    client.sendall(b"5678")
    assert client.recv(3, socket.MSG_WAITALL) == b"567"
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    assert poll(lambda: echo.ended == 1)


def test_answers_are_swallowed_after_what_was_named_and_so_often(
    proxy: Proxy, echo: Echo, client: socket.socket
) -> None:
    proxy.swallow(b"COMMIT", times=1)
    assert exchange(client, b"UPDATE") == b"UPDATE"
    client.sendall(b"COMMIT")
    assert poll(lambda: echo.got == [b"hello", b"UPDATE", b"COMMIT"])
    assert_silent(client)
    assert proxy.swallowing() == 1
    with connected(proxy) as other:
        assert exchange(other, b"COMMIT") == b"COMMIT"
    proxy.forward()
    client.sendall(b"again")
    assert_silent(client)


def test_a_server_that_accepts_and_never_answers(proxy: Proxy, echo: Echo) -> None:
    proxy.swallow()
    with connected(proxy) as client:
        client.sendall(b"hello?")
        assert poll(lambda: echo.got == [b"hello?"])
        assert_silent(client)


def test_new_connections_are_refused_and_old_ones_go_on(
    proxy: Proxy, client: socket.socket
) -> None:
    proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        connected(proxy)
    assert exchange(client, b"still") == b"still"
    proxy.forward()
    with connected(proxy) as newcomer:
        assert exchange(newcomer, b"newer") == b"newer"


def test_new_connections_hang_and_old_ones_go_on(
    proxy: Proxy, client: socket.socket
) -> None:
    proxy.drop_connects()
    for _ in range(5):
        with pytest.raises(TimeoutError):
            connected(proxy, timeout=SHORT)
    assert exchange(client, b"still") == b"still"
    proxy.forward()
    with connected(proxy) as newcomer:
        assert exchange(newcomer, b"newer") == b"newer"


def test_open_connections_are_counted_by_their_state(
    proxy: Proxy, echo: Echo, client: socket.socket
) -> None:
    with connected(proxy):
        assert clients_of(proxy.port) == {ESTABLISHED: 2}
        assert most_clients(proxy.port, expected=1) == 2
    assert poll(lambda: clients_of(proxy.port) == {ESTABLISHED: 1})
    proxy.drop_connects()
    with socket.socket() as hanging:
        hanging.setblocking(False)
        hanging.connect_ex((HOST, proxy.port))
        assert clients_of(proxy.port) == {ESTABLISHED: 1, CONNECTING: 1}
    echo.end_connections()
    assert poll(lambda: clients_of(proxy.port) == {LEFT_BY_SERVER: 1})


def test_without_a_server_clients_are_cut_off(proxy: Proxy, echo: Echo) -> None:
    echo.close()
    # It may come as early as while connecting.
    with pytest.raises(ConnectionResetError), connected(proxy) as client:
        client.recv(1)


def test_it_ends_with_the_process_that_has_started_it() -> None:
    script = """
import os, signal
from tests.harness.proxy import Proxy

with Proxy(1) as proxy:
    print(proxy._process.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""
    ended = subprocess.run(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert ended.returncode == -signal.SIGKILL
    pid = int(ended.stdout)
    assert poll(lambda: not os.path.exists(f"/proc/{pid}/fd/0"))


def test_a_proxy_that_has_died_says_so(echo: Echo) -> None:
    with Proxy(echo.port) as proxy:
        proxy._process.kill()
        proxy._process.wait()
        with pytest.raises(ProxyFailed):
            proxy.cut()
