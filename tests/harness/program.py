"""The main function of a program that starts servers."""

from __future__ import annotations

import signal
from collections.abc import Callable

#: What shells make of a program that Ctrl-C has ended.
INTERRUPTED = 130


def run_to_the_end(program: Callable[[], int]) -> int:
    """Return *program*'s exit status; at Ctrl-C or SIGTERM it ends in good order."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return program()
    except KeyboardInterrupt:
        print("Interrupted; everything started here has been removed.")
        return INTERRUPTED


def _interrupt(signal_number: int, frame: object) -> None:
    raise KeyboardInterrupt
