"""Configuration files of the documentation, with addresses of this machine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from .processes import HOST

CONFIGURATIONS = Path(__file__).parents[2] / "docs" / "clusters"


def written_for_here(name: str, addresses: Mapping[str, str]) -> str:
    """A documented configuration with what *addresses* says in place of its own."""
    text = (CONFIGURATIONS / name).read_text()
    for documented, here in addresses.items():
        if documented not in text:
            raise ValueError(f"{name} does not mention {documented}")
        text = text.replace(documented, here)
    return text


def at(port: int) -> str:
    return f"{HOST}:{port}"
