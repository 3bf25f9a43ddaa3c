"""All people of the sale over time, by what they are doing: one panel per backend.

Who has a ticket stands at the bottom, who has left without one hangs from the top, and
between them are those who are in the shop, by what they see there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from demo.rush.outcome import Outcome
from demo.rush.visit import Doing

STEP_SECONDS = 0.25
WIDTH, HEIGHT, DPI = 12.0, 6.4, 100  # 1200 pixels wide, and still read at 600
INK, QUIET = "#222222", "#555555"

#: Of the panel's height: what a number and its words need, and words in a hump.
ROOM_FOR_A_NUMBER = 0.12
ROOM_FOR_WORDS = 0.11

#: Of the time: how long the end is shown, so that its numbers stand on one colour.
AFTERWARDS = 0.2


@dataclass(frozen=True, slots=True)
class Layer:
    doing: Doing
    title: str
    colour: str
    words: str = ""


# Colours after Okabe and Ito's palette, for colour-blind eyes.
RISING = (
    Layer(Doing.BOUGHT, "has a ticket", "#009E73"),
    Layer(Doing.CHOOSING, "chooses", "#A6DCC9"),
    Layer(Doing.LOADING, "“loading …”", "#BFC5CC", "“loading …”"),
    Layer(
        Doing.ASKED_TO_WAIT, "“one moment, please”", "#F2C744", "“one moment,\nplease”"
    ),
    Layer(Doing.AT_AN_ERROR, "“server error”", "#F0916A", "“server\nerror”"),
)
HANGING = (
    Layer(Doing.PUT_OFF, "left at an error", "#C1272D", "left\nat an error"),
    Layer(Doing.TIRED, "left, tired of waiting", "#4A4F57", "left, tired\nof waiting"),
)


def save_picture(outcomes: Sequence[Outcome], path: Path) -> Path:
    """Write a PNG."""
    figure = Figure(figsize=(WIDTH, HEIGHT))
    (panels,) = figure.subplots(1, len(outcomes), sharey=True, squeeze=False)
    until = max(outcome.ended for outcome in outcomes) * (1 + AFTERWARDS)
    for panel, outcome in zip(panels, outcomes, strict=True):
        fill(panel, outcome, until)
        label(panel, outcome, until)
    panels[0].set_ylabel(
        f"{outcomes[0].seen.people:,} people", fontsize=15, color=QUIET
    )
    figure.legend(
        handles=[
            Patch(color=layer.colour, label=layer.title)
            for layer in (*RISING, *HANGING)
        ],
        loc="lower center",
        ncols=4,
        frameon=False,
        fontsize=15,
        handlelength=1.0,
        columnspacing=1.4,
    )
    figure.tight_layout(rect=(0, 0.14, 1, 1), w_pad=1.5)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=DPI)
    return path


def fill(panel: Axes, outcome: Outcome, until: float) -> None:
    people = outcome.seen.people
    panel.set_xlim(0, until)
    panel.set_ylim(0, people)
    times, counts = over_time(outcome, until)
    below = [0] * len(times)
    for layer in RISING:
        edge = [b + c[layer.doing] for b, c in zip(below, counts, strict=True)]
        panel.fill_between(times, below, edge, color=layer.colour, linewidth=0)
        if layer.words:
            put_words(panel, layer.words, times, below, edge)
        below = edge
    above = [people] * len(times)
    for layer in HANGING:
        edge = [a - c[layer.doing] for a, c in zip(above, counts, strict=True)]
        panel.fill_between(times, edge, above, color=layer.colour, linewidth=0)
        above = edge


def label(panel: Axes, outcome: Outcome, until: float) -> None:
    people, endings = outcome.seen.people, outcome.endings
    panel.set_title(
        outcome.backend.title, fontsize=18, weight="bold", color=INK, pad=10
    )
    put_number(panel, until, endings[Doing.BOUGHT] / 2, endings[Doing.BOUGHT], "bought")
    hanging = people
    for layer in HANGING:
        number = endings[layer.doing]
        if number >= ROOM_FOR_A_NUMBER * people:
            put_number(panel, until, hanging - number / 2, number, layer.words)
        hanging -= number
    panel.tick_params(labelsize=13, colors=QUIET)
    panel.set_xlabel("seconds", fontsize=14, color=QUIET)
    panel.spines[["top", "right", "left"]].set_visible(False)
    panel.set_yticks([])


def put_words(
    panel: Axes,
    words: str,
    times: Sequence[float],
    below: Sequence[int],
    edge: Sequence[int],
) -> None:
    """Write into the middle of a hump, if there is room."""
    heights = [high - low for low, high in zip(below, edge, strict=True)]
    moments = (step * height for step, height in enumerate(heights))
    at = round(sum(moments) / max(1, sum(heights)))
    if heights[at] < ROOM_FOR_WORDS * panel.get_ylim()[1]:
        return
    panel.text(
        times[at],
        (below[at] + edge[at]) / 2,
        words,
        color=INK,
        fontsize=13,
        ha="center",
        va="center",
    )


def put_number(panel: Axes, x: float, y: float, number: int, what: str) -> None:
    panel.text(
        x * 0.97,
        y,
        f"{number:,}\n{what}",
        color="white",
        fontsize=17,
        weight="bold",
        ha="right",
        va="center",
    )


def over_time(
    outcome: Outcome, until: float
) -> tuple[list[float], list[Counter[Doing]]]:
    """What people are doing at each step of time."""
    times = [step * STEP_SECONDS for step in range(int(until / STEP_SECONDS) + 2)]
    counts = []
    now: dict[int, Doing] = {}
    moments = iter(outcome.seen.moments)
    moment = next(moments, None)
    for time in times:
        while moment is not None and moment[0] <= time:
            now[moment[1]] = moment[2]
            moment = next(moments, None)
        counts.append(Counter(now.values()))
    return times, counts
