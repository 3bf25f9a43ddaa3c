"""What the value of each setting may be, and what is wrong with one that is not."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.conf import settings
from django.utils.module_loading import import_string

#: In seconds; threads cannot wait much longer.
_LONGEST = 1e9
#: Beyond all that there can be of anything, and far from where a word overflows.
_MOST = 1_000_000_000
_SECONDS = f"must be a number of seconds above 0 and below {_LONGEST:,.0f}"


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value < _MOST


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


@dataclass(frozen=True, slots=True)
class Rule:
    """What the value of a setting may be.

    *words* go on after the name of a setting for which *holds* says no. *closer* finds
    what is wrong with a value for which it says yes, by the setting's name and value.
    """

    words: str
    holds: Callable[[Any], bool]
    closer: Callable[[str, Any], Iterator[str]] = lambda where, value: iter(())


def is_path(name: str) -> bool:
    """Whether *name* is a dotted path rather than the name of a header."""
    return "." in name


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


def _header_name_problems(where: str, name: str | None) -> Iterator[str]:
    """Find a name from ``request.META``, or such a one: servers drop these headers."""
    if name is not None and "_" in name:
        sent = name.removeprefix("HTTP_").replace("_", "-").title()
        yield f"{where} has {name!r}: write {sent!r}, as the header is sent."


def _client_problems(where: str, value: Any) -> Iterator[str]:
    name = value[0] if isinstance(value, (list, tuple)) else value
    if not isinstance(name, str) or name == "REMOTE_ADDR":
        return
    if name is value and is_path(name):
        yield from _function_problems(where, name)
    elif _HEADER_NAME.fullmatch(name) is None:
        yield f"{where} has {name!r}, which is no name of a header."
    else:
        yield from _header_name_problems(where, name)


def _one_of(*words: str) -> Rule:
    *first, last = (f'"{word}"' for word in words)
    return Rule(f"must be {', '.join(first)} or {last}", lambda value: value in words)


POSITIVE_INTEGER: Final = Rule(
    f"must be an integer of at least 1 and below {_MOST:,}",
    lambda value: _is_integer(value) and value >= 1,
)
INTEGER: Final = Rule(
    f"must be an integer of at least 0 and below {_MOST:,}",
    lambda value: _is_integer(value) and value >= 0,
)
INTEGER_OR_NONE: Final = Rule(
    f"{INTEGER.words}, or None for no bound",
    lambda value: value is None or (_is_integer(value) and value >= 0),
)
SECONDS: Final = Rule(_SECONDS, _is_duration)
SECONDS_OR_NONE: Final = Rule(
    f"{_SECONDS}, or None to switch it off",
    lambda value: value is None or _is_duration(value),
)
SECONDS_0_OR_NONE: Final = Rule(
    f"must be a number of seconds from 0 on and below {_LONGEST:,.0f}, or None",
    lambda value: value is None or _is_duration(value) or _is_zero(value),
)
BOOLEAN: Final = Rule(
    "must be True or False",
    lambda value: isinstance(value, bool),
)
ECHO: Final = Rule(
    'must be True, False or "debug"',
    lambda value: isinstance(value, bool) or value == "debug",
)
RESET: Final = _one_of("dirty", "always", "rollback")
HOLD: Final = _one_of("request", "transaction")
STATEMENT_OR_NONE: Final = Rule(
    "must be an SQL statement, or None for no check",
    lambda value: value is None or (isinstance(value, str) and bool(value.strip())),
)
CHECKOUT: Final = _one_of("request", "query")
PATTERNS: Final = Rule(
    "must be a list of regular expressions, each a string",
    lambda value: (
        isinstance(value, (list, tuple))
        and all(isinstance(pattern, str) for pattern in value)
    ),
    _pattern_problems,
)
HEADER_OR_NONE: Final = Rule(
    'must be the name of a header, such as "X-Request-Start", or None',
    lambda value: (
        value is None
        or (isinstance(value, str) and _HEADER_NAME.fullmatch(value) is not None)
    ),
    _header_name_problems,
)
HEADERS: Final = Rule(
    "must be a dict of headers, a function of path and origin, or None",
    lambda value: value is None or callable(value) or isinstance(value, _NAMED),
    _headers_problems,
)
DIRECTORY_OR_NONE: Final = Rule(
    "must be the absolute path of a directory, or None to switch it off",
    lambda value: (
        value is None
        or (
            isinstance(value, (str, os.PathLike))
            and os.path.isabs(value)
            and "\0" not in os.fspath(value)
        )
    ),
)
CLIENT: Final = Rule(
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
    _client_problems,
)
SHARE: Final = Rule(
    "must be a number from 0 on and below 1",
    lambda value: (
        isinstance(value, (int, float))
        and not isinstance(value, bool)
        and 0 <= value < 1
    ),
)
ALIASES: Final = Rule(
    "must be a list of aliases of DATABASES, or None",
    lambda value: (
        value is None
        or (
            isinstance(value, (list, tuple))
            and all(alias in list(settings.DATABASES) for alias in value)
        )
    ),
)


def _nearest(name: str, options: Iterable[str]) -> list[str]:
    by_lower = {option.lower(): option for option in options}
    near = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.55)
    return [f"Did you mean {by_lower[option]!r}?" for option in near]


def problems_of(
    rules: Mapping[str, Rule], options: Mapping[str, Any], where: Mapping[str, str]
) -> Iterator[str]:
    """Judge *options* by *rules*, both by their written names."""
    for name, value in options.items():
        if name not in rules:
            wrong = f"{where[name]} is not an option of pooled_db."
            known = f"The options are {', '.join(rules)}."
            yield " ".join([wrong, *_nearest(str(name), rules), known])
        else:
            rule = rules[name]
            if rule.holds(value):
                yield from rule.closer(where[name], value)
            else:
                yield f"{where[name]} {rule.words}, not {value!r}."
