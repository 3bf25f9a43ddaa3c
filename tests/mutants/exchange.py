"""Exchanges the code of functions that are loaded, as a mutant has it."""

from __future__ import annotations

import functools
import gc
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

from .mutations import Mutant


class Loaded:
    """The functions that have been loaded, and what remembers their results.

    They are looked for once, which takes as long as ten tests, and not in each child.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._functions: dict[str, list[FunctionType]] = {}
        self._caches: list[functools._lru_cache_wrapper[Any]] = []
        gc.unfreeze()  # what is frozen is not told
        for one in gc.get_objects():
            # isinstance() would ask what is lazy for its class.
            if type(one) is FunctionType:
                self._functions.setdefault(one.__code__.co_filename, []).append(one)
            elif type(one) is functools._lru_cache_wrapper:
                wrapped: Any = one.__wrapped__
                if str(getattr(wrapped, "__module__", "")).startswith("pooled_db"):
                    self._caches.append(one)
        gc.freeze()

    def put_in(self, mutant: Mutant) -> int:
        """Exchange the code that *mutant* changes; of how many functions.

        Raises SyntaxError or ValueError if nothing can be compiled of it.
        """
        path = str(self._root / mutant.module)
        text = Path(path).read_bytes()
        # As many lines as before, so that what follows stays where it is.
        lines = text.count(b"\n", mutant.start, mutant.end)
        after = mutant.after.encode() + b"\\\n" * lines
        mutated = text[: mutant.start] + after + text[mutant.end :]
        count = 0
        for old, new in _changed(_compiled(text, path), _compiled(mutated, path)):
            for function in self._functions.get(path, ()):
                if function.__code__ == old:
                    function.__code__ = new
                    count += 1
        # Nothing that was computed before the change is to pass for its result.
        self.forget()
        return count

    def forget(self) -> None:
        """Let all be computed again that the library has remembered."""
        for one in self._caches:
            one.cache_clear()


def _compiled(text: bytes, path: str) -> CodeType:
    return compile(text, path, "exec", dont_inherit=True)


def _changed(old: CodeType, new: CodeType) -> Iterator[tuple[CodeType, CodeType]]:
    if old == new:
        return
    yield old, new
    inner = [
        [one for one in code.co_consts if isinstance(one, CodeType)]
        for code in (old, new)
    ]
    yield from (
        pair for pairs in zip(*inner, strict=False) for pair in _changed(*pairs)
    )
