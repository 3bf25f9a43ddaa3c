"""What a pool tells of itself."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolStats:
    """What a pool is doing at one moment, and has done since it was made.

    ``limit`` is the most connections there can be, ``granted`` how many of them the
    server grants, as far as is known, ``in_use`` how many are lent,
    ``on_call`` how many of these nobody works with, so that whoever waits gets them;
    ``idle`` how many lie in the pool, ``waiting`` who queues for one.
    """

    limit: int
    granted: int
    in_use: int
    on_call: int
    idle: int
    waiting: int
    overloaded: bool
    opened: int
    checkouts: int
    refused: int
