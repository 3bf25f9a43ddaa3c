"""Overload beyond what one machine can produce: the gate under a clock of its own.

    python -m benchmarks.simulation         all of it, in some minutes
    python -m benchmarks.simulation stop    the scenarios with that in their name

A whole run writes benchmarks/results/simulation.md and .png. Its figures are the same
on every machine, but for the speed of the simulation itself.
"""

from __future__ import annotations

import argparse
import multiprocessing
from pathlib import Path

from rich.console import Console
from rich.progress import track

from benchmarks.simulation.report import markdown, print_tables, save_plot
from benchmarks.simulation.runs import play, runs

RESULTS = Path(__file__).parents[1] / "results"
#: Columns of a table that goes into a file or pipe.
PAPER = 120


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.simulation")
    parser.add_argument("part", nargs="?", default="", help="of a scenario's name")
    part = parser.parse_args().part
    console = Console()
    if not console.is_terminal:
        console.width = PAPER
    chosen = [run for run in runs() if part in run.scenario.name]
    with multiprocessing.Pool() as pool:
        played = pool.imap(play, chosen)
        results = list(track(played, "Simulating", total=len(chosen), console=console))
    print_tables(results, console)
    if not part:
        save_plot(results, RESULTS / "simulation.png")
        text = markdown(results, "simulation.png")
        (RESULTS / "simulation.md").write_text(text)
        console.print(f"Written to {RESULTS}/simulation.md and .png")


if __name__ == "__main__":
    main()
