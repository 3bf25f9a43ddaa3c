"""Which settings lead to the same place, and which changes of them lead elsewhere.

What becomes of connections there is for tests/server/test_destination.py.
"""

from __future__ import annotations

import copy
from typing import Any

import pytest

from pooled_db.pool.destination import Destination
from tests.destinations import SETTINGS

WITH_OPTIONS: dict[str, Any] = {
    **SETTINGS,
    "PORT": 3306,
    "OPTIONS": {
        "unix_socket": "/run/a",
        "ssl": {"ca": "/a.pem"},
        "isolation_level": "read committed",
        "pool": {"pool_size": 5},
    },
}


@pytest.mark.parametrize(
    ("changed", "leads_elsewhere"),
    [
        *(
            ({name: "other"}, True)
            for name in ("NAME", "HOST", "PORT", "USER", "PASSWORD")
        ),
        ({"OPTIONS": {"unix_socket": "/run/b"}}, True),
        ({"OPTIONS": {"ssl": {"ca": "/b.pem"}}}, True),
        ({"OPTIONS": {"charset": "latin1"}}, True),
        # Each session is given the one, and the other is the pool's.
        ({"OPTIONS": {"isolation_level": "serializable"}}, False),
        ({"OPTIONS": {"pool": {"pool_size": 6}}}, False),
        ({"CONN_MAX_AGE": 5}, False),
        ({}, False),
    ],
)
@pytest.mark.parametrize("in_place", [True, False])
def test_settings_that_change_lead_elsewhere(
    changed: dict[str, Any], leads_elsewhere: bool, in_place: bool
) -> None:
    before = copy.deepcopy(WITH_OPTIONS)
    destination = Destination(before)
    after = before if in_place else copy.deepcopy(before)
    for name, value in changed.items():
        if name == "OPTIONS":
            for option, its_value in value.items():
                if isinstance(its_value, dict):
                    after["OPTIONS"][option].update(its_value)
                else:
                    after["OPTIONS"][option] = its_value
        else:
            after[name] = value
    assert destination.is_of(after) is not leads_elsewhere
    assert (destination != Destination(after)) is leads_elsewhere


@pytest.mark.parametrize("other", [None, WITH_OPTIONS, "default"])
def test_what_is_no_destination_leads_elsewhere(other: object) -> None:
    """As for a pool that has no home."""
    assert Destination(WITH_OPTIONS) != other


@pytest.mark.parametrize(
    ("changed", "is_another"),
    [
        ({"HOST": "other"}, True),
        ({"PORT": 3307}, True),
        ({"USER": "other"}, True),
        ({"OPTIONS": {"unix_socket": "/run/b"}}, True),
        # Databases of one server, whatever leads there.
        ({"NAME": "other"}, False),
        ({"PASSWORD": "other"}, False),
        ({"OPTIONS": {**WITH_OPTIONS["OPTIONS"], "charset": "latin1"}}, False),
    ],
)
def test_accounts_of_one_server_are_places_of_their_own(
    changed: dict[str, Any], is_another: bool
) -> None:
    """Their connections are limited apart; and no file has what they are."""
    place = Destination(WITH_OPTIONS).place
    other = Destination({**WITH_OPTIONS, **changed}).place
    assert (other != place) is is_another
    assert place.isalnum()


def test_what_is_logged_of_a_destination_has_no_password() -> None:
    destination = Destination({**WITH_OPTIONS, "PASSWORD": "secret"})
    assert f"{destination}" == f"{destination!r}" == "<Destination>"
