"""Good answers, their p99 and what had none, by load and contender."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from benchmarks.overload.cases import FEW_CLIENTS, MANY_CLIENTS
from benchmarks.overload.measurement import Measurement
from benchmarks.overload.tables import Measurements

# Okabe and Ito's palette, for colour-blind eyes.
COLOURS = {
    "django": "#444444",
    "dj-pool": "#E69F00",
    "middleware": "#56B4E9",
    "door": "#009E73",
}


def is_plain(one: Measurement) -> bool:
    """Whether all arrivals open a connection each, on all cores."""
    case = one.case
    return not case.keepalive and (case.place, case.part) == ("all cores", "all")


Panel = tuple[str, Callable[[Measurement], float | None]]


def unanswered_percent(one: Measurement) -> float:
    counts = one.whole.counts
    all_of_them = sum(counts.values())
    answered = one.whole.good + counts.get(503, 0)
    return 100 * (all_of_them - answered) / all_of_them if all_of_them else 0.0


PANELS: Sequence[Panel] = (
    ("good answers per second", lambda one: one.whole.good_per_second),
    ("p99 of good answers, seconds", lambda one: one.whole.p99_good),
    ("neither good nor 503, % of arrivals", unanswered_percent),
)


def save_plot(measured: Measurements, path: Path) -> Path:
    """Write a PNG with one row of panels per server."""
    servers = list(dict.fromkeys(case.server for case in measured))
    figure = Figure(figsize=(15, 3.8 * len(servers) + 0.5))
    rows = figure.subplots(len(servers), len(PANELS) + 1, squeeze=False)
    for server, row in zip(servers, rows, strict=True):
        here = [one for one in measured.values() if one.case.server == server]
        by_rate = [one for one in here if is_plain(one) and one.case.times is not None]
        for panel, (name, figure_of) in zip(row, PANELS, strict=False):
            draw_lines(panel, by_rate, figure_of)
            panel.set_title(f"{server}: {name}", fontsize=10)
        row[0].set_ylim(bottom=0)
        if by_rate:
            row[0].axhline(by_rate[0].case.capacity, color="#AAAAAA", linestyle=":")
        row[1].set_yscale("log")
        draw_bars(row[-1], [one for one in here if one.case.clients is not None])
        row[-1].set_title(f"{server}: good/s, clients that retry at once", fontsize=10)
        for panel in row:
            panel.spines[["top", "right"]].set_visible(False)
    figure.legend(
        handles=legend(measured), loc="lower center", ncols=len(COLOURS), frameon=False
    )
    figure.tight_layout(rect=(0, 0.12 / len(servers), 1, 1))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    return path


def draw_lines(
    panel: Axes,
    measured: Sequence[Measurement],
    figure_of: Callable[[Measurement], float | None],
) -> None:
    for name, colour in COLOURS.items():
        points = [
            (one.case.times, value)
            for one in measured
            if one.case.contender_name == name
            and (value := figure_of(one)) is not None
            and one.case.times is not None
        ]
        panel.plot(
            [times for times, _ in points],
            [value for _, value in points],
            color=colour,
            marker="o",
        )
    ticks = sorted({one.case.times for one in measured if one.case.times is not None})
    panel.set_xscale("log")
    panel.set_xticks(ticks, [f"{times:g}" for times in ticks])
    panel.minorticks_off()
    panel.set_xlabel("offered load, times capacity")


def draw_bars(panel: Axes, measured: Sequence[Measurement]) -> None:
    names = [
        n for n in COLOURS if any(one.case.contender_name == n for one in measured)
    ]
    width = 0.8 / max(1, len(names))
    groups = (FEW_CLIENTS, MANY_CLIENTS)
    for place, name in enumerate(names):
        heights = [
            sum(
                one.whole.good_per_second
                for one in measured
                if one.case.contender_name == name
                and one.case.clients == clients
                and not one.case.keepalive
            )
            for clients in groups
        ]
        starts = [group + place * width for group in range(len(groups))]
        panel.bar(starts, heights, width=width, align="edge", color=COLOURS[name])
    panel.set_xticks(
        [group + 0.4 for group in range(len(groups))],
        [f"{clients:,} clients" for clients in groups],
    )


def legend(measured: Measurements) -> list[Line2D]:
    titles = {case.contender_name: case.contender.title for case in measured}
    return [
        Line2D([], [], color=colour, marker="o", label=titles[name])
        for name, colour in COLOURS.items()
        if name in titles
    ]
