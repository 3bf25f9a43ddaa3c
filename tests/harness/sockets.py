"""How many clients of a port have their socket open, as Linux's kernel counts them."""

from __future__ import annotations

import socket
import struct
from collections import Counter
from collections.abc import Iterator

from .processes import HOST

ESTABLISHED, CONNECTING, LEFT_BY_SERVER = 1, 2, 8

#: States in which a client's socket is still open in its process.
OPEN = (ESTABLISHED, CONNECTING, LEFT_BY_SERVER)

# See sock_diag(7). /proc/net/tcp says the same, but lists every connection of the
# last minute too, which is slow after some thousand requests.
NETLINK_SOCK_DIAG = 4
SOCK_DIAG_BY_FAMILY = 20
REQUEST_DUMP = 0x301
ERROR, DONE = 2, 3
HEADER = struct.Struct("=IHHII")
ENTRY = struct.Struct("!BB2xH2x4s")  # family, state, its port, source
LOCALHOST = socket.inet_aton(HOST)
STATES = sum(1 << state for state in OPEN)


def clients_of(port: int) -> Counter[int]:
    """Count the open sockets from 127.0.0.1 to *port* by their state."""
    return Counter(state for state, _ in _open_to(port))


def ports_of_clients(port: int) -> set[int]:
    """The ports of 127.0.0.1 whose open sockets lead to *port*."""
    return {own for _, own in _open_to(port)}


def _open_to(port: int) -> Iterator[tuple[int, int]]:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, NETLINK_SOCK_DIAG) as ask:
        ask.sendto(_question(port), (0, 0))
        while True:
            answer = ask.recv(1 << 16)
            while answer:
                size, kind, *_ = HEADER.unpack_from(answer)
                if kind == DONE:
                    return
                if kind == ERROR:
                    raise OSError("the kernel does not list sockets (sock_diag)")
                _, state, own, source = ENTRY.unpack_from(answer, HEADER.size)
                if source == LOCALHOST:
                    yield state, own
                answer = answer[size:]


def most_clients(port: int, *, expected: int) -> int:
    """How many clients of *port* have their socket open; more than *expected* for sure.

    The kernel's list is no snapshot: a connection that ends and its successor can both
    be in it. So before more than *expected* are reported, it is read again.
    """
    count = clients_of(port).total()
    return count if count <= expected else min(count, clients_of(port).total())


def _question(port: int) -> bytes:
    family = struct.pack("=BBBxI", socket.AF_INET, socket.IPPROTO_TCP, 0, STATES)
    ports = struct.pack("!HH", 0, port)
    question = family + ports + bytes(44)
    size = HEADER.size + len(question)
    return HEADER.pack(size, SOCK_DIAG_BY_FAMILY, REQUEST_DUMP, 0, 0) + question
