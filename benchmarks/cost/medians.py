"""What the plot shows and the summary tells, from what the parts found.

Medians, but for the cycle: its best round is what it takes when nothing else runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median
from typing import Any

from benchmarks.contenders import COSTING
from benchmarks.cost.bench import Findings
from benchmarks.cost.links import CYCLE_LINKS, LINKS

Found = Mapping[str, Findings]
Figures = Mapping[str, Any]
#: By the server, with its link to the database where there are several; by contender.
Groups = Mapping[str, Mapping[str, float]]


def statements(figures: Figures) -> Groups:
    return _counted(figures, "questions")


def connections(figures: Figures) -> Groups:
    return _counted(figures, "connections")


def _counted(figures: Figures, what: str) -> Groups:
    return {
        server: {name: one[what] for name, one in counted.items()}
        for server, counted in figures.items()
    }


def cycle(figures: Figures) -> Groups:
    """By the link to the database, and by contender."""
    # CONN_MAX_AGE=None has no cycle: it keeps what it has.
    return {
        link: {
            name: min(timing["wall"] for timing in measured[link])
            for name, measured in figures.items()
            if name != "persistent"
        }
        for link in CYCLE_LINKS
    }


def cpu(figures: Figures, site: str = "bare") -> Groups:
    return {
        server: {
            name: median(one["cpu"] for one in costs[site][f"{name} 1"]) * 1e6
            for name in COSTING
            if f"{name} 1" in costs[site]
        }
        for server, costs in figures.items()
    }


def relative(groups: Groups) -> Groups:
    """The ratios to a persistent connection."""
    return {
        server: {name: own / costs["persistent"] for name, own in costs.items()}
        for server, costs in groups.items()
    }


def latency(figures: Figures) -> Groups:
    return {
        f"{server}, {link}": {
            name: median(one["latency"] for one in costs[f"{link}, {name}"]) * 1e3
            for name in COSTING
            if f"{link}, {name}" in costs
        }
        for server, costs in figures.items()
        for link in LINKS
    }
