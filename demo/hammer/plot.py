"""Answers over time, good and bad, for each backend."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from demo.hammer.comparison import Outcome
from tests.harness.load_report import NONE, Report

BIN_SECONDS = 0.5

# Title, colour, statuses. The palette is Okabe and Ito's, for colour-blind eyes.
KINDS: Sequence[tuple[str, str, Callable[[int], bool]]] = [
    ("200", "#009E73", lambda status: status == 200),
    ("503, try again", "#E69F00", lambda status: status == 503),
    ("500, error", "#D55E00", lambda status: status == 500),
    ("none", "#444444", lambda status: status == NONE),
]


def save_plot(outcomes: Sequence[Outcome], path: Path) -> Path:
    """Write a PNG with one panel per outcome."""
    figure = Figure(figsize=(13, 4.2))
    (panels,) = figure.subplots(
        1, len(outcomes), sharex=True, sharey=True, squeeze=False
    )
    for panel, outcome in zip(panels, outcomes, strict=True):
        report = outcome.report
        starts = [number * BIN_SECONDS for number in range(last_bin(outcomes) + 1)]
        bottom = [0.0] * len(starts)
        for title, colour, belongs in KINDS:
            rates = per_second(report, belongs, len(starts))
            panel.bar(
                starts,
                rates,
                bottom=bottom,
                width=BIN_SECONDS,
                align="edge",
                color=colour,
                label=title,
            )
            bottom = [low + rate for low, rate in zip(bottom, rates, strict=True)]
        panel.set_title(
            f"{outcome.backend.title}: {report.good_per_second:.0f} good answers/s"
        )
        panel.set_xlabel("seconds")
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("answers per second")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=len(KINDS), frameon=False)
    figure.tight_layout(rect=(0, 0.07, 1, 1))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    return path


def last_bin(outcomes: Sequence[Outcome]) -> int:
    return max(int(at // BIN_SECONDS) for o in outcomes for at in o.report.completed)


def per_second(
    report: Report, belongs: Callable[[int], bool], bins: int
) -> list[float]:
    answers = zip(report.statuses, report.completed, strict=True)
    counted = Counter(int(at // BIN_SECONDS) for s, at in answers if belongs(s))
    return [counted[number] / BIN_SECONDS for number in range(bins)]
