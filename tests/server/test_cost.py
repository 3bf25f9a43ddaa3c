"""The benchmark of costs, in a very short form: nothing is left out, and it adds up."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("rich", reason="the benchmarks' packages are not installed")

from rich.progress import Progress

from benchmarks.contenders import COSTING
from benchmarks.cost import cycle, parts
from benchmarks.cost.bench import Bench, Effort
from benchmarks.cost.certificate import Certificate
from benchmarks.cost.medians import cycle as cycle_of
from benchmarks.cost.ratio import is_certain
from benchmarks.cost.spread import Spread, in_turn, interval
from benchmarks.cost.statements import per_request
from benchmarks.serving import SCHEMA
from benchmarks.site.table import make_items
from tests.harness.mariadb import MariaDB

BRIEF = Effort(cycle_rounds=1, cycle_seconds=0.001)


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    unused = Certificate(Path(), Path())
    with MariaDB() as database:
        make_items(database, SCHEMA)
        yield Bench(database, unused, Progress(disable=True), BRIEF)


def test_each_contender_has_a_cycle_and_only_persistent_ones_have_none(
    bench: Bench,
) -> None:
    findings = cycle.measure(bench)

    titles = [row[0] for row in findings.tables[0].rows]
    assert titles == [one.title for one in COSTING.values() if not one.door]
    best = cycle_of(findings.figures)
    for figures in best.values():
        assert COSTING.keys() - figures.keys() == {"persistent", "door"}
        assert all(figure > 0 for figure in figures.values())


def test_parts_add_up_to_the_whole(bench: Bench) -> None:
    findings = parts.measure(bench)

    rows = findings.tables[0].rows
    figures = {name: float(figure.split()[0]) for name, figure, _ in rows}
    layers = (
        parts.POOL_CYCLE,
        "what the scope adds",
        "what Django's wrapper adds",
        "the middleware, and what is left",
    )
    assert sum(figures[name] for name in layers) == pytest.approx(
        figures[parts.WHOLE], abs=0.05
    )


def test_request_with_one_query_costs_the_server_one_statement(bench: Bench) -> None:
    counted = per_request(bench.database, "gunicorn", COSTING["pooled"], requests=10)

    assert counted.cells() == ("1", "0", "0")


def test_turns_begin_with_another_each_round() -> None:
    assert list(in_turn("abc", rounds=2)) == list("abcbca")


def test_ratio_is_taken_round_by_round() -> None:
    """A round in which all was ten times slower does not count for more."""
    assert (Spread((2.0, 20.0)) / Spread((1.0, 10.0))).values == (2.0, 2.0)


def test_a_ratio_is_certain_once_its_interval_is_narrow() -> None:
    """Twice as many pairs halve the variance of the mean, not that of a pair."""
    few = interval([1.0, 1.1, 1.0, 1.1])
    many = interval([1.0, 1.1] * 100)

    assert few.low < few.mean < few.high
    assert few.mean == pytest.approx(many.mean)
    assert (is_certain(few), is_certain(many)) == (False, True)
