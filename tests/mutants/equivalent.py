"""Mutants that change nothing that is promised, each with the reason."""

from __future__ import annotations

EQUIVALENT: dict[str, str] = {}
