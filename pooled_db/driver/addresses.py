"""A host's name that stands for several addresses: those that fail are tried last."""

from __future__ import annotations

import ipaddress
import itertools
import random
import socket
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import MySQLdb

from .connection import Connection
from .errors import mark_tried_everywhere, why_not_connected

#: Seconds for which an address that failed is tried only if all others fail: the first
#: time, and at most. An address that swallows packets costs a connect its time limit.
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 10.0
#: So many failures in a row are counted: the pauses have long ceased to grow, and what
#: they are told from must not become too large a number.
MOST_FAILURES = 30
#: For how many seconds a name with a single address is left to the driver, which
#: resolves it again.
ASK_AGAIN = 10.0

Open = Callable[[dict[str, Any]], Connection | None]


class Addresses:
    """What is known of the addresses of each name, for all pools of the process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._turns = itertools.count(random.randrange(1 << 16))
        self.after_fork()

    def after_fork(self) -> None:
        """Start with a lock that no thread of the parent holds."""
        self._lock = threading.Lock()
        #: How often an address has failed in a row, and until when it is tried last.
        self._failures: dict[str, int] = {}
        self._until: dict[str, float] = {}
        self._single: dict[str, float] = {}
        self._known: dict[str, frozenset[str]] = {}

    def open_at_any(
        self, options: Mapping[str, Any], open_one: Open
    ) -> Connection | None:
        """Return what *open_one* opens with the driver's *options*, at any address.

        Raises the driver's error of the last address. What is opened says whether there
        is an address again, or a new one, to which others might move.
        """
        found = self.addresses_of(options)
        if len(found) < 2:
            return open_one(dict(options))
        name = options["host"]
        is_new = self._has_changed(name, found)
        error: MySQLdb.OperationalError | None = None
        for address in self.in_order(found):
            try:
                connection = open_one({**options, "host": address})
            except MySQLdb.OperationalError as failure:
                if why_not_connected(failure) is None:
                    raise
                self.failed(address)
                error = failure
            else:
                came_back = self.worked(address)
                if connection is not None:
                    connection.is_of(name, address)
                    connection.is_at_new_address = is_new or came_back
                return connection
        assert error is not None
        mark_tried_everywhere(error)
        raise error

    def addresses_of(self, options: Mapping[str, Any]) -> list[str]:
        """Return the addresses to choose from; none if it is left to the driver."""
        name = options.get("host")
        if not name or name == "localhost" or options.get("unix_socket"):
            return []
        if _is_address(name) or _verifies_names(options):
            return []
        if self._single.get(name, 0.0) > self._clock():
            return []
        try:
            answers = socket.getaddrinfo(name, None)
        except (OSError, UnicodeError):
            return []  # the driver says so in its own words
        found = list(dict.fromkeys(str(answer[4][0]) for answer in answers))
        if len(found) < 2:
            self._single[name] = self._clock() + ASK_AGAIN
        return found

    def in_order(self, addresses: list[str]) -> list[str]:
        """Begin with each in turn, but leave those that have failed to the end."""
        first = next(self._turns) % len(addresses)
        turned = addresses[first:] + addresses[:first]
        now = self._clock()
        return sorted(turned, key=lambda one: max(now, self._until.get(one, now)))

    def failed(self, address: str) -> None:
        """Try *address* last for a while."""
        with self._lock:
            failures = self._failures.get(address, 0)
            pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2**failures)
            self._failures[address] = min(failures + 1, MOST_FAILURES)
            self._until[address] = self._clock() + pause * random.uniform(1.0, 1.25)

    def worked(self, address: str) -> bool:
        """Note that *address* can be had; return whether it is so again."""
        with self._lock:
            self._until.pop(address, None)
            return self._failures.pop(address, None) is not None

    def _has_changed(self, name: str, found: list[str]) -> bool:
        known, self._known[name] = self._known.get(name), frozenset(found)
        return known is not None and not known.issuperset(found)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name.startswith("/")
    return True


def _verifies_names(options: Mapping[str, Any]) -> bool:
    """Whether the server's certificate is compared with the name, so it must be given.

    MariaDB Connector/C 3.3 does so wherever it verifies at all.
    """
    ssl = options.get("ssl")
    if isinstance(ssl, Mapping) and (
        ssl.get("ca") or ssl.get("capath") or ssl.get("check_hostname")
    ):
        return True
    return str(options.get("ssl_mode")).startswith("VERIFY")


addresses: Addresses = Addresses()
