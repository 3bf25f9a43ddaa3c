"""The configurations in docs/clusters, as far as they can be read without a cluster."""

from __future__ import annotations

import re
import runpy
from collections import Counter
from pathlib import Path

import pytest

from pooled_db.conf import PoolSettings
from tests.cluster.ledger import Entry, Ledger
from tests.cluster.sharing import Row
from tests.harness.configurations import CONFIGURATIONS, written_for_here

HAPROXY = sorted(CONFIGURATIONS.glob("haproxy-*.cfg"))
CHECKED = [path for path in HAPROXY if "tcp-check" in path.read_text()]
HEADER_BYTES, COM_QUERY = 4, 3
DOCUMENTED = re.compile(r"\b10\.0\.0\.1\d:\d+")


@pytest.mark.parametrize("path", CHECKED, ids=lambda path: path.name)
def test_a_check_says_the_true_length_of_what_it_sends(path: Path) -> None:
    sent = re.findall(r'tcp-check (send-binary|send) "?([^"\n]+)"?', path.read_text())
    assert len(sent) == 6
    for (_, login), (_, header), (_, statement) in zip(
        sent[0::3], sent[1::3], sent[2::3], strict=True
    ):
        packet = bytes.fromhex(login)
        assert int.from_bytes(packet[:3], "little") == len(packet) - HEADER_BYTES
        assert b"haproxy\0" in packet
        length, command = bytes.fromhex(header)[:3], bytes.fromhex(header)[-1]
        assert command == COM_QUERY
        assert int.from_bytes(length, "little") == 1 + len(statement)


@pytest.mark.parametrize("path", HAPROXY, ids=lambda path: path.name)
def test_every_address_can_be_replaced(path: Path) -> None:
    documented = set(DOCUMENTED.findall(path.read_text()))
    assert len(documented) == 5
    written = written_for_here(path.name, dict.fromkeys(documented, "127.0.0.1:1"))
    assert not DOCUMENTED.search(written)


def test_an_address_that_is_not_there_is_a_mistake() -> None:
    with pytest.raises(ValueError, match=r"does not mention 10\.9\.9\.9"):
        written_for_here("haproxy-galera.cfg", {"10.9.9.9": "127.0.0.1"})


def test_the_documented_settings_are_valid() -> None:
    settings = runpy.run_path(str(CONFIGURATIONS / "settings.py"))
    for database in settings["DATABASES"].values():
        PoolSettings(**database["OPTIONS"]["pool"])
    assert set(settings["DATABASES"]) == {"default", "readers"}


def test_a_row_of_the_fleet_says_who_got_least() -> None:
    row = Row("2 x 1", 10.0, Counter({200: 300, 503: 100}), good=[100, 200])
    row.reasons.update({"unavailable": 5, "overloaded": 95})
    assert (row.refused, row.unavailable) == (0.25, 0.05)
    assert row.least_share == pytest.approx(100 * 2 / 300)


def test_the_first_good_write_was_sent_after_the_moment() -> None:
    ledger = Ledger()
    ledger.entries += [
        Entry("buy", 1.0, 4.0, 200, False, "sent before"),
        Entry("read", 3.0, 3.1, 200, False, "a read"),
        Entry("buy", 3.0, 3.2, 503, True, "refused"),
        Entry("buy", 3.3, 3.5, 200, False, "good"),
    ]
    assert ledger.first_good_write(2.0) == 3.5
    assert ledger.first_good_write(9.0) is None
