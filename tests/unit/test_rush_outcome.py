"""What the demo makes of what it has seen."""

from __future__ import annotations

import math
from collections import Counter

import pytest

from demo.books import Books, Connections
from demo.rush.crowd import Browser, Plan, Seen
from demo.rush.outcome import Outcome
from demo.rush.visit import Doing, Load
from demo.serving import BACKENDS, POOLED
from tests.harness.load_http import Answer

MOMENTS = [
    (0.0, 0, Doing.LOADING),
    (1.0, 1, Doing.LOADING),
    (1.0, 0, Doing.ASKED_TO_WAIT),
    (2.0, 2, Doing.LOADING),
    (3.0, 0, Doing.LOADING),
    (4.0, 1, Doing.BOUGHT),
    (5.0, 2, Doing.AT_AN_ERROR),
    (6.0, 0, Doing.BOUGHT),
    (7.0, 2, Doing.PUT_OFF),
]


def outcome() -> Outcome:
    seen = Seen(3, MOMENTS, Counter())
    return Outcome(POOLED, seen, Connections(30, 30), Books(2, 2, 2))


def test_every_person_has_one_ending() -> None:
    assert outcome().endings == {Doing.BOUGHT: 2, Doing.PUT_OFF: 1}


def test_a_person_who_waited_twice_counts_once() -> None:
    assert outcome().ever(Doing.ASKED_TO_WAIT) == 1
    assert outcome().ever(Doing.AT_AN_ERROR) == 1
    assert outcome().ever(Doing.TIRED) == 0


def test_the_time_to_buy_begins_when_the_person_comes() -> None:
    assert outcome().times_to_buy == [3.0, 6.0]
    assert outcome().time_to_buy(50) == 3.0
    assert outcome().time_to_buy(99) == 6.0


def test_where_nobody_bought_there_is_no_time() -> None:
    nobody = Outcome(POOLED, Seen(0), Connections(0, 0), Books(0, 0, 0))
    assert math.isnan(nobody.time_to_buy(50))


def test_what_was_seen_survives_the_way_between_processes() -> None:
    seen = Seen(3, MOMENTS, Counter({200: 5, 500: 1}))
    assert Seen.load(seen.dump()) == seen


@pytest.mark.parametrize(
    ("books", "said"),
    [
        (Books(5, 5, 5), "yes"),
        (Books(5, 5, 3), "2 sold to people who had left"),
        (Books(5, 4, 5), "NO: the books are wrong"),
        (Books(3, 3, 5), "NO: the books are wrong"),
    ],
)
def test_the_verdict_names_what_does_not_agree(books: Books, said: str) -> None:
    pytest.importorskip("rich")
    from demo.rush.table import verdict

    assert verdict(books).plain == said


def test_the_table_fits_a_terminal_of_80_columns() -> None:
    pytest.importorskip("rich")
    from rich.console import Console

    from demo.rush.table import rush_table

    seen, books = Seen(3, MOMENTS, Counter()), Books(2413, 2413, 2)
    outcomes = [
        Outcome(backend, seen, Connections(30, 30), books) for backend in BACKENDS
    ]
    console = Console(width=80)
    with console.capture() as captured:
        console.print(rush_table(outcomes))
    lines = captured.get().splitlines()
    assert max(map(len, lines)) <= 80
    assert not [line for line in lines if "…" in line]
    assert "connections opened, or tried │" in captured.get()


def test_the_picture_counts_people_by_what_they_do_at_each_moment() -> None:
    pytest.importorskip("matplotlib")
    from demo.rush.picture import STEP_SECONDS, over_time

    times, counts = over_time(outcome(), until=7.0)
    at = dict(zip(times, counts, strict=True))
    assert times[1] - times[0] == STEP_SECONDS
    assert at[0.0] == {Doing.LOADING: 1}
    assert at[2.5] == {Doing.ASKED_TO_WAIT: 1, Doing.LOADING: 2}
    assert at[7.0] == {Doing.BOUGHT: 2, Doing.PUT_OFF: 1}


def test_a_browser_sends_what_the_list_page_gave_it() -> None:
    browser = Browser(Plan("http://127.0.0.1:8000", 1, 1.0, events=8), number=9)
    browser.read_form(
        Answer(
            200,
            b"HTTP/1.1 200 OK\r\nSet-Cookie: csrftoken=secret; SameSite=Lax",
            False,
            b'<input type="hidden" name="csrfmiddlewaretoken" value="masked"> <p>',
        )
    )
    message = browser.message(Load("buy", patience=1.0))
    head, _, body = message.partition(b"\r\n\r\n")
    assert head.startswith(b"POST /buy/2 HTTP/1.1\r\n")
    assert b"\r\nCookie: csrftoken=secret" in head
    assert body == b"csrfmiddlewaretoken=masked"
