"""What can happen to a site's database, each for a moment."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import MySQLdb

from tests.harness.mariadb import MariaDB
from tests.harness.proxy import Proxy

COMMIT = b"\x03COMMIT"
NO_SUCH_CONNECTION = 1094


@dataclass
class World:
    """What faults befall, and the chance that says how."""

    server: MariaDB
    proxy: Proxy
    chance: random.Random

    def for_a_moment(self, longest: float = 1.5) -> None:
        time.sleep(self.chance.uniform(0.1, longest))


def cut(world: World) -> None:
    """the network cuts"""
    for _ in range(world.chance.randint(1, 5)):
        world.proxy.cut()
        world.for_a_moment(0.2)


def cut_within_answers(world: World) -> None:
    """the network cuts within answers"""
    world.proxy.cut_after(world.chance.randint(0, 400))
    world.for_a_moment(0.5)


def black_hole(world: World) -> None:
    """the network is a black hole"""
    world.proxy.stop()
    world.for_a_moment(4.0)


def delay(world: World) -> None:
    """the network is slow"""
    there, back = (world.chance.uniform(0, 0.05) for _ in range(2))
    world.proxy.delay(to_server=there, to_client=back)
    world.for_a_moment()


def late_answers(world: World) -> None:
    """answers come after the time-out"""
    world.proxy.delay(to_client=world.chance.uniform(1.0, 3.0))
    world.for_a_moment(0.5)


def swallow_commits(world: World) -> None:
    """answers to COMMIT get lost"""
    world.proxy.swallow(COMMIT, times=world.chance.randint(1, 4))
    world.for_a_moment()


def swallow_all(world: World) -> None:
    """answers get lost"""
    world.proxy.swallow()
    world.for_a_moment(0.5)


def refuse(world: World) -> None:
    """connects are refused"""
    world.proxy.refuse()
    world.proxy.cut()
    world.for_a_moment()


def drop_connects(world: World) -> None:
    """connects hang"""
    world.proxy.drop_connects()
    world.proxy.cut()
    world.for_a_moment()


def kill_connections(world: World) -> None:
    """connections are killed"""
    _kill_some(world, "KILL CONNECTION")


def kill_statements(world: World) -> None:
    """statements are killed"""
    _kill_some(world, "KILL QUERY")


def _kill_some(world: World, kill: str) -> None:
    with contextlib.closing(world.server.admin()) as admin:
        for _ in range(world.chance.randint(1, 20)):
            for process in world.server.process_list():
                if world.chance.random() < 0.5:
                    _run_kill(admin, f"{kill} {process['id']}")
            world.for_a_moment(0.15)


def _run_kill(admin: MySQLdb.Connection, statement: str) -> None:
    try:
        admin.query(statement)
    except MySQLdb.OperationalError as error:
        if error.args[0] != NO_SUCH_CONNECTION:
            raise


def freeze_server(world: World) -> None:
    """the server freezes"""
    world.server.pause()
    try:
        world.for_a_moment(4.0)
    finally:
        world.server.resume()


def kill_server(world: World) -> None:
    """the server is killed"""
    world.server.kill()
    world.for_a_moment()
    world.server.start()


def restart_server(world: World) -> None:
    """the server restarts"""
    world.server.restart()


Fault = Callable[[World], None]

FAULTS: tuple[Fault, ...] = (
    cut,
    cut_within_answers,
    black_hole,
    delay,
    late_answers,
    swallow_commits,
    swallow_all,
    refuse,
    drop_connects,
    kill_connections,
    kill_statements,
    freeze_server,
    kill_server,
    restart_server,
)


def by_chance(chance: random.Random) -> Iterator[Fault]:
    """Yield faults without end: all of them in some order, then in another."""
    while True:
        yield from chance.sample(FAULTS, len(FAULTS))
