"""The main figures of all contenders, side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import ScalarFormatter

from benchmarks.contenders import COSTING
from benchmarks.cost.medians import (
    Figures,
    Found,
    Groups,
    cpu,
    cycle,
    latency,
    statements,
)

# Okabe and Ito's palette, for colour-blind eyes; as in the plot of overload.
COLOURS = {
    "django": "#444444",
    "persistent": "#999999",
    "dj-pool": "#E69F00",
    "pooled": "#56B4E9",
    "always": "#0072B2",
    "rollback": "#CC79A7",
    "door": "#009E73",
}


GROUP_WIDTH = 0.85

PANELS: Mapping[str, tuple[str, Callable[[Figures], Groups], bool]] = {
    "statements": ("statements per request, as the server counts", statements, False),
    "cycle": ("connection bound and given back, microseconds", cycle, True),
    "cpu": ("server's CPU per request, 1 query, microseconds", cpu, False),
    "distance": ("latency of a request, 1 query, milliseconds", latency, True),
}


def save_plot(found: Found, path: Path) -> Path | None:
    """Write a PNG with a panel for each part that there is, if there is one."""
    parts = [part for part in PANELS if part in found]
    if not parts:
        return None
    rows = (len(parts) + 1) // 2
    figure = Figure(figsize=(14, 4.2 * rows + 0.5))
    panels = list(figure.subplots(rows, 2, squeeze=False).flat)
    for panel, part in zip(panels, parts, strict=False):
        title, groups_of, logarithmic = PANELS[part]
        groups = groups_of(found[part].figures)
        draw(panel, groups)
        panel.set_title(title, fontsize=10)
        if logarithmic:
            panel.set_yscale("log")
            smallest = min(min(bars.values()) for bars in groups.values())
            panel.set_ylim(bottom=min(1.0, smallest / 2))
            panel.yaxis.set_major_formatter(ScalarFormatter())
        panel.spines[["top", "right"]].set_visible(False)
    for panel in panels[len(parts) :]:
        panel.set_visible(False)
    figure.legend(handles=legend(), loc="lower center", ncols=4, frameon=False)
    figure.tight_layout(rect=(0, 0.14 / rows, 1, 1))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    return path


def draw(panel: Axes, groups: Groups) -> None:
    for place, bars in enumerate(groups.values()):
        width = GROUP_WIDTH / len(bars)
        for number, (name, height) in enumerate(bars.items()):
            bar = panel.bar(
                place + number * width,
                height,
                width=width,
                align="edge",
                color=COLOURS[name],
            )
            panel.bar_label(bar, fmt=label, fontsize=6)
    centres = [place + GROUP_WIDTH / 2 for place in range(len(groups))]
    panel.set_xticks(centres, [group.replace(", ", ",\n") for group in groups])


def label(height: float) -> str:
    return f"{height:.0f}" if height >= 100 else f"{height:.3g}"


def legend() -> list[Patch]:
    return [
        Patch(color=colour, label=COSTING[name].title)
        for name, colour in COLOURS.items()
    ]
