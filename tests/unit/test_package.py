"""What is known of the package once it is installed."""

from __future__ import annotations

import re
from importlib.metadata import metadata


def test_no_link_of_the_description_leads_into_the_repository() -> None:
    description = str(metadata("pooled-db").json["description"])

    assert description.startswith("# pooled_db")
    assert re.findall(r"\]\((?!https?:)[^)]*\)", description) == []
