"""When refusals leave: a few at each turn of an event loop, and not before it helps."""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from collections.abc import Callable

from django.db import connections

from .. import pools
from ..pool.pool import Pool
from .patience import MEMORY, Patience
from .traffic import BEAT, Traffic

#: Seconds that a turn of the loop may take before fewer refusals leave in it.
TURN = 0.004
#: For how long refusals wait at most so that turns are short, in seconds.
BEHIND = 0.1
#: The most that leave in one turn.
MOST_A_TURN = 32
#: The longest that any refusal is held back, in seconds, and never beyond `timeout`.
LONGEST = 5.0
#: Seconds after the last refusal until nobody looks any more.
QUIET = 1.0
#: The most that are held back; fewer where the process may have fewer files open.
MOST_HELD = 10_000
#: From how many seconds on it is seen whether one who is held back has hung up.
LISTEN_AFTER = 0.1


class HeldBack:
    """One refusal that has not left yet."""

    __slots__ = ("arrived", "leaves", "listen")

    def __init__(
        self,
        leaves: asyncio.Future[None],
        arrived: float,
        listen: Callable[[], object] | None,
    ) -> None:
        self.leaves = leaves
        self.arrived = arrived
        self.listen = listen


class Pace:
    """Lets the refusals of one event loop leave.

    A request that is served needs several turns of the loop while it holds its
    connection. So refusals leave a few a turn, as long as turns are short; and they
    are held back where that keeps clients away: see :class:`Patience`. Who is held
    back holds no permit.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._traffic = Traffic(MEMORY)
        self._patience = Patience(self._traffic)
        self._fresh: deque[HeldBack] = deque()
        self._old: deque[HeldBack] = deque()
        self._a_turn = 4.0
        self._turn_began: float | None = None
        self._beats = False
        self._beat_at = 0.0
        self._latest = 0.0
        # With each, how many had asked it and how many it had lent when it came.
        self._pools: dict[Pool, tuple[int, int]] = {}
        self._left = 0
        self._longest = LONGEST
        # How many were let in at the last beat, since the line was running out.
        self._to_let_in = 0
        self._next = 0.0
        self._most = _most_held()

    def __len__(self) -> int:
        return len(self._fresh) + len(self._old)

    async def hold(
        self, pool: Pool | None, listen: Callable[[], object] | None = None
    ) -> None:
        """Wait until a refusal of *pool* may leave.

        *listen* is called if that takes long; what it starts may cancel this task.
        """
        now = self._loop.time()
        self._latest = now
        if pool is not None and pool not in self._pools:
            self._pools[pool] = pool.asked, pool.checkouts
            self._longest = min(LONGEST, pool.timeout, self._longest)
        if not self._beats:
            self._beats = True
            self._beat_at = now + BEAT
            self._loop.call_at(self._beat_at, self._beat)
            self._traffic.begin(now, self._left)
        held = HeldBack(self._loop.create_future(), now, listen)
        self._fresh.append(held)
        if len(self) > self._most:
            self._let_go(1)
        elif self._turn_began is None:
            self._go_on(now)
        await held.leaves

    def _go_on(self, now: float) -> None:
        if self._is_due(now):
            self._turn_began = now
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        """Let some leave, and look at how long the turn has taken."""
        now = self._loop.time()
        began, self._turn_began = self._turn_began, None
        assert began is not None
        if now - began > TURN:
            self._a_turn = max(1.0, self._a_turn * 0.7)
        else:
            self._a_turn = min(self._a_turn + 0.5, MOST_A_TURN)
        left = 0
        while self._is_due(now) and (left < int(self._a_turn) or self._is_behind(now)):
            left += 1
            self._let_go(1)
            # Evenly: those who came together do not come back together.
            apart = self._patience.hold / (len(self) + 1)
            self._next = max(self._next + apart, now - BEAT)
        self._go_on(now)

    def _is_behind(self, now: float) -> bool:
        """Whether more come than leave, so that waiting only makes it worse."""
        first = self._first()
        return (
            self._patience.in_vain
            and first is not None
            and first.arrived < now - BEHIND
        )

    def _is_due(self, now: float) -> bool:
        return not self._patience.paused and self._next <= now and bool(len(self))

    def _first(self) -> HeldBack | None:
        for line in (self._old, self._fresh):
            while line:
                if not line[0].leaves.done():
                    return line[0]
                line.popleft()
        return None

    def _let_go(self, number: int) -> None:
        for _ in range(number):
            first = self._first()
            if first is None:
                return
            (self._old or self._fresh).popleft()
            first.leaves.set_result(None)
            self._left += 1

    def _beat(self) -> None:
        try:
            goes_on = self._look_after(self._loop.time())
        except BaseException:
            # Whatever it is, nobody waits for ever for a beat that does not come.
            self._let_go(len(self))
            self._rest()
            raise
        if goes_on:
            self._beat_at = self._loop.time() + BEAT
            self._loop.call_at(self._beat_at, self._beat)
        else:
            self._rest()

    def _look_after(self, now: float) -> bool:
        """Let those leave whose time has come; ``False`` if nobody is left to wait."""
        self._look(now)
        self._let_listen(now)
        if self._patience.hold and not self._patience.paused and self._is_low():
            self._let_in()
        else:
            self._to_let_in = 0
        while (first := self._first()) is not None and (
            first.arrived + self._longest <= now
        ):
            self._let_go(1)
        if self._turn_began is None:
            self._go_on(now)
        return bool(len(self)) or now - self._latest <= QUIET

    def _rest(self) -> None:
        self._beats = False
        self._pools.clear()
        self._longest = LONGEST
        self._traffic.end()
        self._patience.end()

    def _look(self, now: float) -> None:
        first = self._first() if self._is_due(now) else None
        overdue = 0.0 if first is None else now - max(first.arrived, self._next)
        asked = sum(pool.asked - asked for pool, (asked, _) in self._pools.items())
        lent = sum(pool.checkouts - lent for pool, (_, lent) in self._pools.items())
        self._traffic.count(now, asked, self._left, lent)
        wanted = len(self) / max(self._traffic.lending, 1.0)
        self._patience.look(now, now - self._beat_at, overdue, wanted, self._longest)
        if self._patience.paused:
            self._next = now

    def _let_listen(self, now: float) -> None:
        while self._fresh and self._fresh[0].arrived < now - LISTEN_AFTER:
            held = self._fresh.popleft()
            self._old.append(held)
            if held.listen is not None and not held.leaves.done():
                held.listen()

    def _let_in(self) -> None:
        """Let as many leave as can be served, or more if they do not come back."""
        capacity = sum(pool.gate.capacity for pool in self._pools)
        is_empty = not any(pool.gate.waiting for pool in self._pools)
        self._to_let_in = max(capacity, 2 * self._to_let_in if is_empty else 0)
        self._let_go(self._to_let_in)

    def _is_low(self) -> bool:
        """Whether those who wait for a connection are running out."""
        return any(pool.gate.waiting < pool.gate.capacity for pool in self._pools)


_paces: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Pace] = (
    weakref.WeakKeyDictionary()
)


async def hold(alias: str, listen: Callable[[], object] | None = None) -> None:
    """Wait until a refusal for *alias* may leave this event loop."""
    loop = asyncio.get_running_loop()
    pace = _paces.get(loop)
    if pace is None:
        pace = _paces[loop] = Pace(loop)
    pool = pools.for_alias(alias) if alias in connections else None
    await pace.hold(pool, listen)


def _most_held() -> int:
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return MOST_HELD
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST_HELD if files == resource.RLIM_INFINITY else min(MOST_HELD, files // 2)
