"""What one person does at the box office: look, choose, buy, or leave before that.

A visit is a generator without clock or network. It yields what the person does next
and is sent what came of it, so the same people can be put before any site.
"""

from __future__ import annotations

import math
import random
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Literal

PageName = Literal["list", "buy"]

#: A person sees an error page, tries again, and again, and leaves at the third.
ERRORS_IN_A_ROW = 3

# All in seconds, and each person's own within these bounds.
CHOOSING = (1.0, 4.0)
BEFORE_TRYING_AGAIN = (1.0, 3.0)
PATIENCE_FOR_A_PAGE = (5.0, 15.0)
PATIENCE_IN_ALL = (30.0, 60.0)


class Doing(Enum):
    """What a person does at a moment, or how the visit has ended."""

    CHOOSING = "choosing"
    LOADING = "waiting for a page"
    ASKED_TO_WAIT = "asked to wait"
    AT_AN_ERROR = "at an error page"
    BOUGHT = "bought"
    TIRED = "left, tired of waiting"
    PUT_OFF = "left after errors"


ENDINGS = (Doing.BOUGHT, Doing.TIRED, Doing.PUT_OFF)


@dataclass(frozen=True, slots=True)
class Load:
    """Ask for a page, and leave if it has not come after *patience* seconds."""

    page: PageName
    patience: float


@dataclass(frozen=True, slots=True)
class Pause:
    doing: Doing
    seconds: float


@dataclass(frozen=True, slots=True)
class Page:
    """What came: no *status* is no answer, *late* one that nobody waited for."""

    status: int | None
    took: float
    retry_after: float | None = None
    late: bool = False


Visit = Generator[Load | Pause, Page | None, Doing]


@dataclass(frozen=True, slots=True)
class Person:
    """Times in seconds; *arrives* counts from the opening of the sale."""

    arrives: float
    choosing: float
    before_trying_again: float
    patience_for_a_page: float
    patience_in_all: float
    heeds_retry_after: bool = True

    def visit(self) -> Visit:
        """Yield what the person does; return how it ended."""
        patience = self.patience_in_all
        pages: tuple[PageName, ...] = ("list", "buy")
        for page in pages:
            left = yield from self._see(page, patience)
            if isinstance(left, Doing):
                return left
            patience = left
            if page == "list":
                yield Pause(Doing.CHOOSING, self.choosing)
        return Doing.BOUGHT

    def _see(
        self, name: PageName, patience: float
    ) -> Generator[Load | Pause, Page | None, Doing | float]:
        """Try until the page is there: return what patience is left, or an ending.

        Patience in all ends a pause, never a page that is about to come.
        """
        errors = 0
        while True:
            page = yield Load(name, self.patience_for_a_page)
            assert page is not None
            if page.late:
                return Doing.TIRED
            patience -= page.took
            if page.status == 200:
                return patience
            if self._is_asked_to_wait(page):
                errors = 0
                pause = Pause(Doing.ASKED_TO_WAIT, page.retry_after or 0.0)
            else:
                errors += 1
                pause = Pause(Doing.AT_AN_ERROR, self.before_trying_again)
            yield Pause(pause.doing, max(0.0, min(pause.seconds, patience)))
            if errors == ERRORS_IN_A_ROW:
                return Doing.PUT_OFF
            patience -= pause.seconds
            if patience <= 0:
                return Doing.TIRED

    def _is_asked_to_wait(self, page: Page) -> bool:
        asked = page.status == 503 and page.retry_after is not None
        return asked and self.heeds_retry_after


def crowd(
    size: int, within: float, seed: int, *, deaf: bool = False, patience: float = 1.0
) -> Iterator[Person]:
    """Yield people in order of arrival, the same ones for the same *seed*.

    The *deaf* do not heed Retry-After: a 503 is an error page like any other to them.
    All have *patience* times as much of it as people do.

    Most come at the opening: the rate falls by half with each fifth of *within*.
    """
    chance = random.Random(seed)
    last = 1 - 2.0**-5
    for arrived in sorted(chance.random() for _ in range(size)):
        yield Person(
            arrives=-math.log2(1 - arrived * last) / 5 * within,
            choosing=chance.uniform(*CHOOSING),
            before_trying_again=chance.uniform(*BEFORE_TRYING_AGAIN),
            patience_for_a_page=patience * chance.uniform(*PATIENCE_FOR_A_PAGE),
            patience_in_all=patience * chance.uniform(*PATIENCE_IN_ALL),
            heeds_retry_after=not deaf,
        )
