"""Settings in, frozen validated objects out."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from . import rules

#: Where each kind of option may be written, for messages.
POOL_DEFAULTS = "SQLALCHEMY_QUEUEPOOL"
MIDDLEWARE_SETTINGS = "POOLED_DB"


def _option(default: Any, rule: rules.Rule) -> Any:
    return field(default=default, metadata={"rule": rule})


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSettings:
    """The pool of one database alias. Times are in seconds.

    ``echo`` is QueuePool's own: it logs what QueuePool does to ``sqlalchemy.pool``.
    ``max_waiting`` bounds the queue, ``timeout`` the wait. ``queue_target`` and
    ``queue_interval`` are explained in :class:`pooled_db.pool.gate.Gate`.
    """

    pool_size: int = _option(10, rules.POSITIVE_INTEGER)
    max_overflow: int = _option(0, rules.INTEGER)
    timeout: float = _option(5.0, rules.SECONDS)
    recycle: float = _option(1800.0, rules.SECONDS)
    ping_after: float | None = _option(None, rules.SECONDS_0_OR_NONE)
    check_on_connect: str | None = _option(None, rules.STATEMENT_OR_NONE)
    max_idle: float | None = _option(60.0, rules.SECONDS_OR_NONE)
    use_lifo: bool = _option(False, rules.BOOLEAN)
    echo: bool | str = _option(False, rules.ECHO)
    reset: str = _option("dirty", rules.RESET)
    hold: str = _option("request", rules.HOLD)
    warn_after: float | None = _option(None, rules.SECONDS_OR_NONE)
    max_waiting: int | None = _option(1000, rules.INTEGER_OR_NONE)
    queue_target: float | None = _option(0.08, rules.SECONDS_OR_NONE)
    queue_interval: float = _option(1.0, rules.SECONDS)


#: Headers, or a function of path and origin that returns them.
ClientSetting = str | tuple[str, int] | Callable[[Mapping[str, str]], Hashable] | None
HeadersSetting = Mapping[str, str] | Callable[[str, "str | None"], Mapping[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class MiddlewareSettings:
    """How requests get their connections: the setting ``POOLED_DB``.

    ``retry_after`` is in seconds: a refused client is told to come back after one to
    two times that. ``request_start_header`` names the header in which a proxy writes
    when it got the request; the time since then counts against ``timeout``. ``door``
    lets requests queue in front of Django. ``headers`` are added to refusals.
    ``state_dir`` is where processes keep their numbers for others to read; a directory
    of the site's own if it is empty.
    ``client`` tells clients apart, each of whom waits in a line of its own. Paths of
    ``priority`` go before others, and ``priority_share`` is the part of the connections
    that only they can take.
    """

    checkout: str = _option("request", rules.CHECKOUT)
    exempt: tuple[str, ...] = _option((), rules.PATTERNS)
    aliases: tuple[str, ...] | None = _option(None, rules.ALIASES)
    retry_after: int = _option(2, rules.POSITIVE_INTEGER)
    request_start_header: str | None = _option(None, rules.HEADER_OR_NONE)
    door: bool = _option(True, rules.BOOLEAN)
    headers: HeadersSetting | None = field(
        default=None, metadata={"rule": rules.HEADERS}
    )
    state_dir: str | None = _option("", rules.DIRECTORY_OR_NONE)
    client: ClientSetting = field(
        default="REMOTE_ADDR", metadata={"rule": rules.CLIENT}
    )
    priority: tuple[str, ...] = _option((), rules.PATTERNS)
    priority_share: float = _option(0.25, rules.SHARE)

    def has_priority(self, path: str) -> bool:
        """Whether the request for *path* goes before others."""
        path = path.lstrip("/")
        return any(search(path) for search in _searches(self.priority))

    def is_exempt(self, path: str) -> bool:
        """Whether the request for *path* is never queued."""
        path = path.lstrip("/")
        return any(search(path) for search in _searches(self.exempt))


@cache
def _searches(patterns: tuple[str, ...]) -> list[Callable[[str], Any]]:
    return [re.compile(pattern).search for pattern in patterns]


def _rules(cls: type[Any]) -> dict[str, rules.Rule]:
    return {entry.name: entry.metadata["rule"] for entry in dataclasses.fields(cls)}


#: Options of a pool whose names mean nothing to a driver, nor to a derived backend.
_POOLS_ALONE = _rules(PoolSettings).keys() - {"timeout", "echo", "reset", "hold"}


def is_pooled(database: Mapping[str, Any]) -> bool:
    """Whether ``OPTIONS["pool"]`` leaves pooling on, as it is by default."""
    return database.get("OPTIONS", {}).get("pool", True) is not False


def pool_problems(alias: str, database: Mapping[str, Any]) -> list[str]:
    """Everything that is wrong with the pool of *alias*, one sentence each."""
    return _pool_options(alias, database)[1]


def pool_settings(alias: str, database: Mapping[str, Any]) -> PoolSettings:
    """The settings of the pool of *alias*.

    Raises ImproperlyConfigured with everything that is wrong with them.
    """
    values, problems, _ = _pool_options(alias, database)
    if problems:
        raise ImproperlyConfigured(" ".join(problems))
    return PoolSettings(**values)


def pool_origins(alias: str, database: Mapping[str, Any]) -> dict[str, str]:
    """Where the options of the pool of *alias* are written that are no defaults."""
    return _pool_options(alias, database)[2]


def _pool_options(
    alias: str, database: Mapping[str, Any]
) -> tuple[dict[str, Any], list[str], dict[str, str]]:
    values: dict[str, Any] = {}
    where: dict[str, str] = {}
    problems: list[str] = []
    defaults = getattr(settings, POOL_DEFAULTS, {})
    own = database.get("OPTIONS", {}).get("pool", True)
    own_name = f'DATABASES["{alias}"]["OPTIONS"]["pool"]'
    for name, options in (
        (POOL_DEFAULTS, defaults),
        (own_name, {} if isinstance(own, bool) else own),
    ):
        if not isinstance(options, Mapping):
            expected = "a dict" if name is POOL_DEFAULTS else "True, False or a dict"
            problems.append(f"{name} must be {expected}, not {options!r}.")
            continue
        values.update(options)
        where.update({key: f'{name}["{key}"]' for key in options})
    if database.get("CONN_MAX_AGE", 0) != 0:
        problems.append(
            f'DATABASES["{alias}"]["CONN_MAX_AGE"] must be 0 with a pool, which keeps '
            f"the connections open itself, not {database['CONN_MAX_AGE']!r}."
        )
    problems.extend(
        f'DATABASES["{alias}"]["OPTIONS"]["{name}"] is an option of the pool, and '
        f"unknown to the driver. Write it into {own_name}."
        for name in database.get("OPTIONS", {})
        if name in _POOLS_ALONE
    )
    problems.extend(rules.problems_of(_rules(PoolSettings), values, where))
    return values, problems, where


def middleware_problems() -> list[str]:
    """Everything that is wrong with ``POOLED_DB``, one sentence each."""
    return _middleware_options()[1]


@cache
def middleware_settings() -> MiddlewareSettings:
    """The middleware's settings.

    Raises ImproperlyConfigured with everything that is wrong with them.
    """
    values, problems = _middleware_options()
    if problems:
        raise ImproperlyConfigured(" ".join(problems))
    frozen: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in values.items()
    }
    for name in ("headers", "client"):
        if isinstance(frozen.get(name), str) and rules.is_path(frozen[name]):
            frozen[name] = import_string(frozen[name])
    return MiddlewareSettings(**frozen)


def _middleware_options() -> tuple[dict[str, Any], list[str]]:
    options = getattr(settings, MIDDLEWARE_SETTINGS, {})
    if not isinstance(options, Mapping):
        return {}, [f"{MIDDLEWARE_SETTINGS} must be a dict, not {options!r}."]
    known = {name.upper(): rule for name, rule in _rules(MiddlewareSettings).items()}
    where = {name: f'{MIDDLEWARE_SETTINGS}["{name}"]' for name in options}
    problems = list(rules.problems_of(known, options, where))
    return {str(name).lower(): value for name, value in options.items()}, problems
