"""Newcomers in line, each client in a line of its own."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

from .permit import Permit
from .shedding import Shedding

#: How many lines that have just begun are served in a row before an older one is.
NEW_IN_A_ROW = 3


class ClientLine:
    """The waiters of one client, in order of arrival."""

    __slots__ = ("client", "permits")

    def __init__(self, client: Hashable) -> None:
        self.client = client
        self.permits: OrderedDict[Permit, None] = OrderedDict()


class Lane:
    """Waiters that are served in turn, a client at a time, as FQ-CoDel does.

    A client whose line was empty goes before those that stand already, so who asks
    now and then is not behind who asks all the time; but of four that are served one
    is of those. Within a line it goes in order of arrival.

    With *shedding* a queue that stands is shed. It stands while the oldest of all has
    waited for too long, whoever is served soon; and it costs those alone who would wait
    for that long themselves.

    Whoever asks holds the gate's lock. See
    https://www.rfc-editor.org/rfc/rfc8290#section-4.
    """

    def __init__(self, shedding: Shedding | None) -> None:
        self.shedding = shedding
        #: All of them, in order of arrival.
        self.order: OrderedDict[Permit, None] = OrderedDict()
        #: Those in which somebody stands, or which are old: by client, and not by its
        #: hash as in the RFC, which lets one share the line of one who hammers.
        self._lines: dict[Hashable, ClientLine] = {}
        self._new: OrderedDict[ClientLine, None] = OrderedDict()
        self._old: OrderedDict[ClientLine, None] = OrderedDict()
        self._new_in_a_row = 0

    @property
    def oldest(self) -> float | None:
        """When the first of all arrived."""
        return next(iter(self.order)).arrived if self.order else None

    def add(self, permit: Permit) -> None:
        line = self._lines[permit.client] = self._line_of(permit)
        self.order[permit] = None
        line.permits[permit] = None
        if line not in self._old:
            self._new[line] = None

    def remove(self, permit: Permit) -> None:
        """Let *permit* stand in it no more, if it does."""
        line = self._line_of(permit)
        # No call from here on, after which an interrupt may come: who is in one of them
        # and not in the other would be in the way for ever.
        if permit in line.permits:
            del line.permits[permit]
        if not line.permits and line in self._new:
            del self._new[line]
        if permit in self.order:
            del self.order[permit]
        if not line.permits and line not in self._old and line.client in self._lines:
            del self._lines[line.client]

    def first(self) -> Permit | None:
        """Who is served next."""
        line = self._first_line()
        return None if line is None else next(iter(line.permits))

    def served(self, permit: Permit, now: float) -> None:
        """Take *permit* out, which is served: the next line is up."""
        if self.shedding is not None:
            oldest = self.oldest
            age = 0.0 if oldest is None else now - oldest
            self.shedding.served(max(age, permit.waited), now)
        line = self._line_of(permit)
        # Even if it is empty now: else a client that comes back at once is new again.
        self._old[line] = None
        self._old.move_to_end(line)
        if line in self._new:
            del self._new[line]
            self._new_in_a_row += 1
        else:
            self._new_in_a_row = 0
        self.remove(permit)

    def turns_away(self, permit: Permit, now: float) -> bool:
        """Whether *permit*, which comes now, would wait for too long."""
        shedding = self.shedding
        if shedding is None:
            return False
        if not self.order:
            shedding.begins(now)
        ahead = self._ahead_in(self._line_of(permit))
        return shedding.turns_away(now, ahead, self.oldest)

    def gives_up(self, permit: Permit, now: float) -> bool:
        """Whether *permit* has waited for too long."""
        return self.shedding is not None and self.shedding.gives_up(
            now, permit.arrived, len(self.order), self.oldest
        )

    def last_of_longest(self) -> Permit | None:
        """Who came last to the longest line."""
        longest = max(
            (*self._new, *self._old), key=lambda line: len(line.permits), default=None
        )
        return next(reversed(longest.permits), None) if longest is not None else None

    def length_of_line(self, permit: Permit) -> int:
        """How many stand in the line of *permit*."""
        return len(self._line_of(permit).permits)

    def _ahead_in(self, line: ClientLine) -> int:
        """How many are served before one who comes to *line* now, at most."""
        if not line.permits and line not in self._old:
            return len(self._new)
        others = len(self._new) + len(self._old)
        return min(len(self.order), (len(line.permits) + 1) * others)

    def _first_line(self) -> ClientLine | None:
        while self._old and not next(iter(self._old)).permits:
            line, _ = self._old.popitem(last=False)
            self._lines.pop(line.client, None)
        if self._old and (not self._new or self._new_in_a_row >= NEW_IN_A_ROW):
            return next(iter(self._old))
        return next(iter(self._new)) if self._new else None

    def _line_of(self, permit: Permit) -> ClientLine:
        line = self._lines.get(permit.client)
        return ClientLine(permit.client) if line is None else line
