"""What others may see of one connection: some words and a text, in mapped memory.

Each is written when it changes and read by whoever wants to know, be it another process
while this one hangs.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

#: Places of the words: the connection's number on the server (0 if there is no
#: connection), whether somebody works with it, whether a transaction is open. And of
#: the times, by the monotonic clock: since when it is lent (0.0 if it is not), when its
#: last statement ended, and when it was opened.
CONNECTION, AT_WORK, TRANSACTION, SINCE, RESTED, OPENED_AT = range(6)
#: The number of a connection to which its server gives none, as MySQL Router does.
NO_NUMBER: Final = -1
#: Where the text begins, which says who has it, and how long it is: in words, bytes.
TEXT: Final = 8
TEXT_SIZE: Final = 128
#: In words.
SIZE: Final = TEXT + TEXT_SIZE // 8
#: How the text of one begins that has it outside of requests.
OUTSIDE: Final = "taken "


class Slot:
    """The place of one connection in *memory*."""

    __slots__ = ("text", "times", "words")

    def __init__(self, memory: memoryview) -> None:
        self.words: memoryview[int] = memory.cast("q")
        self.times: memoryview[float] = memory.cast("d")
        self.text: memoryview = memory[8 * TEXT :]


def on_one_line(text: str) -> str:
    """Escape *text* if a client could begin a line or command a terminal with it."""
    return text if text.isprintable() else text.encode("unicode_escape").decode()


@lru_cache(maxsize=1024)
def padded(text: str) -> bytes:
    """Make of *text* what fills a slot's text."""
    cut = on_one_line(text).encode()[:TEXT_SIZE]
    return cut.ljust(TEXT_SIZE, b"\0")
