"""What becomes of those who come when there are too many, as bars."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.contenders import ServerName
from benchmarks.overload.cases import CLIENT_TIMEOUT_SECONDS
from benchmarks.overload.measurement import Measurement
from benchmarks.overload.tables import Measurements
from tests.harness.load_report import NONE

#: How many times the capacity is drawn: of so many who come, one can be served.
TIMES = 10.0
WIDTH, HEIGHT_OF_BAR = 10.0, 0.42
#: Below so many percent a number has no room in its part of a bar.
LEAST_TOLD = 5.0

# Colours that those tell apart who do not see all of them.
GOOD = "#009E73"
Fate = tuple[str, str, str, Callable[[Measurement], int]]
FATES: Sequence[Fate] = (
    (
        "asked to come back (503)",
        "#A9D8F0",
        "black",
        lambda one: one.whole.counts.get(503, 0),
    ),
    (
        "an error page (500)",
        "#D55E00",
        "white",
        lambda one: one.whole.counts.get(500, 0) + one.whole.other,
    ),
    (
        f"no answer within {CLIENT_TIMEOUT_SECONDS:g} s",
        "#3A3A3A",
        "white",
        lambda one: one.whole.counts.get(NONE, 0),
    ),
)
#: Who is drawn, from the top, and how; the door is what the settings switch on.
TITLES = {
    "django": "Django alone",
    "dj-pool": "django-db-connection-pool",
    "door": "pooled_db",
}


def save_plot(measured: Measurements, path: Path) -> Path:
    """Write a PNG with two bars for each server and contender, at `TIMES` the capacity.

    One shows how many were served a second, and one what the others got.
    """
    drawn = {server: _drawn(measured, server) for server in _servers(measured)}
    bars = sum(map(len, drawn.values()))
    figure = Figure(figsize=(WIDTH, 1.5 + 0.4 * len(drawn) + HEIGHT_OF_BAR * bars))
    rows = figure.subplots(
        len(drawn),
        2,
        squeeze=False,
        height_ratios=[max(1, len(some)) for some in drawn.values()],
    )
    for (server, some), (served, others) in zip(drawn.items(), rows, strict=True):
        _draw_served(served, some)
        _draw_others(others, some)
        served.set_ylabel(server, fontsize=11, fontweight="bold")
    most = next((one.case.capacity for some in drawn.values() for one in some), 0.0)
    title = f"pages served per second ({most:.0f} at best)"
    rows[0][0].set_title(title, fontsize=11)
    rows[0][1].set_title("what everybody else got, in %", fontsize=11)
    figure.suptitle(f"{TIMES:g} times as many come as the database can serve")
    handles, names = rows[0][1].get_legend_handles_labels()
    figure.legend(handles, names, loc="lower right", ncols=len(FATES), frameon=False)
    figure.tight_layout(rect=(0, 0.06, 1, 1), w_pad=3)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    return path


def _servers(measured: Measurements) -> list[ServerName]:
    return list(dict.fromkeys(case.server for case in measured))


def _drawn(measured: Measurements, server: ServerName) -> list[Measurement]:
    """Those where each arrival opens a connection of its own, on all cores."""
    return [
        one
        for name in TITLES
        for case, one in measured.items()
        if (case.server, case.contender_name, case.times) == (server, name, TIMES)
        and not case.keepalive
        and (case.place, case.part) == ("all cores", "all")
    ]


def _draw_served(panel: Axes, some: Sequence[Measurement]) -> None:
    places = range(len(some))
    good = [one.whole.good_per_second for one in some]
    bars = panel.barh(places, good, color=GOOD)
    told = [f"{number:.0f}" for number in good]
    panel.bar_label(bars, told, label_type="center", color="white", fontsize=9)
    for place, one in zip(places, some, strict=True):
        most, p50 = one.case.capacity, one.whole.p50_good
        panel.axvline(most, color="#AAAAAA", linestyle=":")
        panel.set_xlim(0, 1.4 * most)
        if p50 is not None:
            within = f"half within {p50:.1f} s"
            panel.text(1.04 * most, place, within, va="center", fontsize=9)
    panel.set_yticks(places, [TITLES[one.case.contender_name] for one in some])
    _tidy(panel)


def _draw_others(panel: Axes, some: Sequence[Measurement]) -> None:
    places = range(len(some))
    starts = [0.0] * len(some)
    for name, colour, ink, count in FATES:
        shares = [100 * count(one) / max(1, one.whole.unserved) for one in some]
        bars = panel.barh(places, shares, left=starts, color=colour, label=name)
        told = [f"{share:.0f}" if share >= LEAST_TOLD else "" for share in shares]
        panel.bar_label(bars, told, label_type="center", color=ink, fontsize=9)
        starts = [start + share for start, share in zip(starts, shares, strict=True)]
    panel.set_yticks([])
    panel.set_xlim(0, 100)
    _tidy(panel)


def _tidy(panel: Axes) -> None:
    panel.invert_yaxis()
    panel.set_xticks([])
    panel.tick_params(left=False)
    panel.spines[:].set_visible(False)
