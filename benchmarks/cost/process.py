"""A contender's Django, alone in a process that does as it is told."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import ParamSpec, TypeVar

import django

P = ParamSpec("P")
Result = TypeVar("Result")


class DjangoProcess:
    def __init__(self, executor: ProcessPoolExecutor) -> None:
        self._executor = executor

    def call(
        self, function: Callable[P, Result], *args: P.args, **kwargs: P.kwargs
    ) -> Result:
        """Call a function of a module in that process."""
        return self._executor.submit(function, *args, **kwargs).result()


@contextlib.contextmanager
def django_process(site: Mapping[str, str]) -> Iterator[DjangoProcess]:
    """Start one with the site's environment (see serving.site_environment)."""
    with ProcessPoolExecutor(
        1, mp_context=get_context("spawn"), initializer=_set_up, initargs=(site,)
    ) as executor:
        yield DjangoProcess(executor)


def _set_up(site: Mapping[str, str]) -> None:
    os.environ.update(site)
    django.setup()
