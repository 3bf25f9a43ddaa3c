"""What can be read is seen, with the C library's poll and with Python's."""

from __future__ import annotations

import contextlib
import importlib.util
import select
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from pooled_db.driver import readable
from pooled_db.driver.readable import Readable

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture(params=["C library's", "Python's"])
def make(request: pytest.FixtureRequest) -> Iterator[Callable[[int], Readable]]:
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "Python's":
            patch.setattr(readable, "_poll", None)
        else:
            assert readable._poll is not None
        yield Readable


@pytest.fixture
def pair() -> Iterator[Pair]:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as here,
        contextlib.closing(listener.accept()[0]) as there,
    ):
        yield here, there


def test_nothing_is_there_until_something_comes(
    make: Callable[[int], Readable], pair: Pair
) -> None:
    here, there = pair
    look = make(here.fileno())
    assert not look.now()
    assert not look.within(0)
    there.send(b"12")
    assert look.within(5)
    assert look.now()
    here.recv(1)
    assert look.now()
    here.recv(1)
    assert not look.now()


def test_the_end_is_something_too(make: Callable[[int], Readable], pair: Pair) -> None:
    here, there = pair
    look = make(here.fileno())
    there.close()
    assert look.within(5)
    assert look.now()


def test_so_is_a_reset(make: Callable[[int], Readable], pair: Pair) -> None:
    here, there = pair
    look = make(here.fileno())
    there.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    there.close()
    assert look.within(5)
    assert look.now()


def test_the_c_library_looks_at_one_descriptor_and_waits_for_nothing(
    monkeypatch: pytest.MonkeyPatch, pair: Pair
) -> None:
    """Behind that one is memory of somebody else's."""
    asked: list[tuple[object, ...]] = []
    monkeypatch.setattr(readable, "_poll", lambda *asks: asked.append(asks[1:]))
    Readable(pair[0].fileno()).now()
    assert asked == [(1, 0)]


class PollThatTells:
    """Python's poll, which notes for how many milliseconds it was to wait."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    def register(self, descriptor: int, events: int) -> None: ...

    def poll(self, milliseconds: float) -> list[tuple[int, int]]:
        self.waits.append(milliseconds)
        return []


def test_pythons_waits_for_as_long_as_it_is_told_and_now_for_nothing(
    monkeypatch: pytest.MonkeyPatch, pair: Pair
) -> None:
    """For a moment that is too short to count it waits, too."""
    poll = PollThatTells()
    monkeypatch.setattr(select, "poll", lambda: poll)
    monkeypatch.setattr(readable, "_poll", None)
    look = Readable(pair[0].fileno())
    assert not look.now()
    assert not any(look.within(seconds) for seconds in (2.5, 0.0001, 0.0))
    assert poll.waits == [0, 2500, 1, 0]


def load_nothing(name: object) -> None:
    raise OSError("Dynamic loading not supported")


@pytest.mark.parametrize(
    "ctypes",
    [None, SimpleNamespace(PyDLL=load_nothing)],
    ids=["built without libffi", "linked statically"],
)
def test_it_goes_without_the_c_library(
    monkeypatch: pytest.MonkeyPatch, pair: Pair, ctypes: Any
) -> None:
    monkeypatch.setitem(sys.modules, "ctypes", ctypes)
    assert readable.__spec__ is not None
    alone = importlib.util.module_from_spec(readable.__spec__)
    assert readable.__spec__.loader is not None
    readable.__spec__.loader.exec_module(alone)
    here, there = pair
    look = alone.Readable(here.fileno())
    assert not look.now()
    there.send(b"1")
    assert look.within(5)
    assert look.now()
