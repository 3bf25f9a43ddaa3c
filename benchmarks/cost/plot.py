"""What a request costs as the ratio to Django's persistent connection, as bars."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.contenders import SERVERS
from benchmarks.cost.medians import Found, Groups, cpu, latency, relative

FAR = "1 ms"
#: Who is drawn, from the top, and how.
TITLES = {
    "django": "Django, CONN_MAX_AGE=0",
    "dj-pool": "django-db-connection-pool",
    "pooled": "pooled_db",
}
OURS, OTHERS = "#009E73", "#9A9A9A"


def save_plot(found: Found, path: Path) -> Path | None:
    """Write a PNG with a row of panels for each of these parts that there is."""
    rows = [
        (title, groups)
        for title, groups in (
            ("CPU", _cpu(found)),
            (f"latency, database {FAR} away", _far(found)),
        )
        if groups
    ]
    if not rows:
        return None
    figure = Figure(figsize=(10, 1 + 1.6 * len(rows)))
    panels = figure.subplots(
        len(rows), len(SERVERS), squeeze=False, sharex="row", sharey=True
    )
    for (title, groups), row in zip(rows, panels, strict=True):
        for server, panel in zip(SERVERS, row, strict=True):
            _draw(panel, groups.get(server, {}))
            panel.set_title(f"{server}: {title}", fontsize=10, loc="left")
    panels[0][0].invert_yaxis()
    figure.suptitle(
        "A request with one query, as the ratio to Django with"
        " CONN_MAX_AGE=None (the line)",
        fontsize=11,
    )
    figure.tight_layout(w_pad=4)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    return path


def _cpu(found: Found) -> Groups:
    return relative(cpu(found["cpu"].figures)) if "cpu" in found else {}


def _far(found: Found) -> Groups:
    if "distance" not in found:
        return {}
    links = relative(latency(found["distance"].figures))
    return {server: links.get(f"{server}, {FAR}", {}) for server in SERVERS}


def _draw(panel: Axes, ratios: Mapping[str, float]) -> None:
    names = [name for name in TITLES if name in ratios]
    heights = [ratios[name] for name in names]
    colours = [OURS if name == "pooled" else OTHERS for name in names]
    panel.barh([TITLES[name] for name in names], heights, color=colours)
    panel.axvline(1.0, color="black", linewidth=1)
    for place, height in enumerate(heights):
        panel.annotate(
            f"{height:.2f}",
            (1, place),
            xycoords=("axes fraction", "data"),
            va="center",
            fontsize=9,
        )
    panel.set_xticks([])
    panel.tick_params(left=False)
    panel.spines[:].set_visible(False)
