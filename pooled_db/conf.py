"""Settings in, frozen validated objects out."""

from __future__ import annotations

import dataclasses
import difflib
import os
import re
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

#: Where each kind of option may be written, for messages.
POOL_DEFAULTS = "SQLALCHEMY_QUEUEPOOL"
MIDDLEWARE_SETTINGS = "POOLED_DB"

#: In seconds; threads cannot wait much longer.
_LONGEST = 1e9
_SECONDS = f"must be a number of seconds above 0 and below {_LONGEST:,.0f}"


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_duration(value: object) -> bool:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return False
    return 0 < value < _LONGEST


def _is_zero(value: object) -> bool:
    return (
        isinstance(value, (int, float)) and not isinstance(value, bool) and value == 0
    )


#: https://www.rfc-editor.org/rfc/rfc9110#section-5.6.2
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
#: https://www.rfc-editor.org/rfc/rfc9110#section-5.5
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")

#: What may stand for a function or a dict, until it is looked at more closely.
_NAMED = (str, Mapping)

_RULES: Mapping[str, tuple[str, Any]] = {
    "positive integer": (
        "must be an integer of at least 1",
        lambda value: _is_integer(value) and value >= 1,
    ),
    "integer": (
        "must be an integer of at least 0",
        lambda value: _is_integer(value) and value >= 0,
    ),
    "integer or None": (
        "must be an integer of at least 0, or None for no bound",
        lambda value: value is None or (_is_integer(value) and value >= 0),
    ),
    "seconds": (
        _SECONDS,
        _is_duration,
    ),
    "seconds or None": (
        f"{_SECONDS}, or None to switch it off",
        lambda value: value is None or _is_duration(value),
    ),
    "seconds, 0 or None": (
        f"must be a number of seconds from 0 on and below {_LONGEST:,.0f}, or None",
        lambda value: value is None or _is_duration(value) or _is_zero(value),
    ),
    "boolean": (
        "must be True or False",
        lambda value: isinstance(value, bool),
    ),
    "echo": (
        'must be True, False or "debug"',
        lambda value: isinstance(value, bool) or value == "debug",
    ),
    "reset": (
        'must be "dirty", "always" or "rollback"',
        lambda value: value in ("dirty", "always", "rollback"),
    ),
    "hold": (
        'must be "request" or "transaction"',
        lambda value: value in ("request", "transaction"),
    ),
    "statement or None": (
        "must be an SQL statement, or None for no check",
        lambda value: value is None or (isinstance(value, str) and bool(value.strip())),
    ),
    "checkout": (
        'must be "request" or "query"',
        lambda value: value in ("request", "query"),
    ),
    "patterns": (
        "must be a list of regular expressions",
        lambda value: (
            isinstance(value, (list, tuple))
            and all(isinstance(pattern, str) for pattern in value)
        ),
    ),
    "header or None": (
        'must be the name of a header, such as "X-Request-Start", or None',
        lambda value: (
            value is None
            or (isinstance(value, str) and _HEADER_NAME.fullmatch(value) is not None)
        ),
    ),
    "headers": (
        "must be a dict of headers, a function of path and origin, or None",
        lambda value: value is None or callable(value) or isinstance(value, _NAMED),
    ),
    "directory or None": (
        "must be the absolute path of a directory, or None to switch it off",
        lambda value: (
            value is None
            or (isinstance(value, (str, os.PathLike)) and os.path.isabs(value))
        ),
    ),
    "client": (
        (
            'must be "REMOTE_ADDR", the name of a header, (the name, how many proxies '
            "to trust), a function of the headers, or None"
        ),
        lambda value: (
            value is None
            or callable(value)
            or (isinstance(value, str) and bool(value))
            or (
                isinstance(value, (list, tuple))
                and len(value) == 2
                and isinstance(value[0], str)
                and _HEADER_NAME.fullmatch(value[0]) is not None
                and _is_integer(value[1])
                and value[1] >= 1
            )
        ),
    ),
    "share": (
        "must be a number from 0 on and below 1",
        lambda value: (
            isinstance(value, (int, float))
            and not isinstance(value, bool)
            and 0 <= value < 1
        ),
    ),
    "aliases": (
        "must be a list of aliases of DATABASES",
        lambda value: (
            isinstance(value, (list, tuple))
            and all(alias in list(settings.DATABASES) for alias in value)
        ),
    ),
}


def _pattern_problems(where: str, patterns: Iterable[str]) -> Iterator[str]:
    for pattern in patterns:
        try:
            re.compile(pattern)
        except (re.error, OverflowError, RecursionError) as error:
            yield (
                f"{where} has {pattern!r} in it, which is no regular expression: "
                f"{error}."
            )


def header_problem(headers: object) -> str | None:
    """What is wrong with *headers*, as it goes on after their name."""
    if not isinstance(headers, Mapping):
        return f"must be a dict, not {headers!r}"
    for name, value in headers.items():
        if not isinstance(name, str) or _HEADER_NAME.fullmatch(name) is None:
            return f"has {name!r} in it, which is no name of a header"
        if not isinstance(value, str) or _HEADER_VALUE.fullmatch(value) is None:
            return f"has {value!r} for {name}, which a header cannot hold"
    return None


def _headers_problems(where: str, value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield from _function_problems(where, value)
    elif isinstance(value, Mapping) and (problem := header_problem(value)) is not None:
        yield f"{where} {problem}."


def _function_problems(where: str, path: str) -> Iterator[str]:
    try:
        found = import_string(path)
    except ImportError as error:
        yield f"{where} names {path!r}, which cannot be imported: {error}."
    else:
        if not callable(found):
            yield f"{where} names {path!r}, which is no function but {found!r}."


def _client_problems(where: str, value: Any) -> Iterator[str]:
    if not isinstance(value, str):
        return
    if _is_path(value):
        yield from _function_problems(where, value)
    elif _HEADER_NAME.fullmatch(value) is None:
        yield f"{where} has {value!r}, which is no name of a header."


def _is_path(name: str) -> bool:
    """Whether *name* is a dotted path rather than the name of a header."""
    return "." in name


#: What is looked at more closely, by the name of its rule.
_CLOSER: Mapping[str, Callable[[str, Any], Iterator[str]]] = {
    "patterns": _pattern_problems,
    "headers": _headers_problems,
    "client": _client_problems,
}


def _option(default: Any, rule: str) -> Any:
    return field(default=default, metadata={"rule": rule})


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSettings:
    """The pool of one database alias. Times are in seconds.

    ``echo`` is QueuePool's own: it logs what QueuePool does to ``sqlalchemy.pool``.
    ``max_waiting`` bounds the queue, ``timeout`` the wait. ``queue_target`` and
    ``queue_interval`` are explained in :class:`pooled_db.gate.Gate`.
    """

    pool_size: int = _option(10, "positive integer")
    max_overflow: int = _option(0, "integer")
    timeout: float = _option(5.0, "seconds")
    recycle: float = _option(1800.0, "seconds")
    ping_after: float | None = _option(None, "seconds, 0 or None")
    check_on_connect: str | None = _option(None, "statement or None")
    max_idle: float | None = _option(60.0, "seconds or None")
    use_lifo: bool = _option(False, "boolean")
    echo: bool | str = _option(False, "echo")
    reset: str = _option("dirty", "reset")
    hold: str = _option("request", "hold")
    warn_after: float | None = _option(None, "seconds or None")
    max_waiting: int | None = _option(1000, "integer or None")
    queue_target: float | None = _option(0.08, "seconds or None")
    queue_interval: float = _option(1.0, "seconds")


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

    checkout: str = _option("request", "checkout")
    exempt: tuple[str, ...] = _option((), "patterns")
    aliases: tuple[str, ...] | None = _option(None, "aliases")
    retry_after: int = _option(2, "positive integer")
    request_start_header: str | None = _option(None, "header or None")
    door: bool = _option(True, "boolean")
    headers: HeadersSetting | None = field(default=None, metadata={"rule": "headers"})
    state_dir: str | None = _option("", "directory or None")
    client: ClientSetting = field(default="REMOTE_ADDR", metadata={"rule": "client"})
    priority: tuple[str, ...] = _option((), "patterns")
    priority_share: float = _option(0.25, "share")

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


def _nearest(name: str, options: Iterable[str]) -> list[str]:
    by_lower = {option.lower(): option for option in options}
    near = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.55)
    return [f"Did you mean {by_lower[option]!r}?" for option in near]


def _problems(
    rules: Mapping[str, str], options: Mapping[str, Any], where: Mapping[str, str]
) -> Iterator[str]:
    """Judge *options* by *rules*, both by their written names."""
    for name, value in options.items():
        if name not in rules:
            wrong = f"{where[name]} is not an option of pooled_db."
            known = f"The options are {', '.join(rules)}."
            yield " ".join([wrong, *_nearest(str(name), rules), known])
        else:
            words, holds = _RULES[rules[name]]
            if not holds(value):
                yield f"{where[name]} {words}, not {value!r}."
            elif rules[name] in _CLOSER:
                yield from _CLOSER[rules[name]](where[name], value)


def _rules(cls: type[Any]) -> dict[str, str]:
    return {entry.name: entry.metadata["rule"] for entry in dataclasses.fields(cls)}


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
    problems.extend(_problems(_rules(PoolSettings), values, where))
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
        if isinstance(frozen.get(name), str) and _is_path(frozen[name]):
            frozen[name] = import_string(frozen[name])
    return MiddlewareSettings(**frozen)


def _middleware_options() -> tuple[dict[str, Any], list[str]]:
    options = getattr(settings, MIDDLEWARE_SETTINGS, {})
    if not isinstance(options, Mapping):
        return {}, [f"{MIDDLEWARE_SETTINGS} must be a dict, not {options!r}."]
    rules = {name.upper(): rule for name, rule in _rules(MiddlewareSettings).items()}
    where = {name: f'{MIDDLEWARE_SETTINGS}["{name}"]' for name in options}
    problems = list(_problems(rules, options, where))
    return {str(name).lower(): value for name, value in options.items()}, problems
