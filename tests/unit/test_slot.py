"""The text by which others see who has a connection."""

from __future__ import annotations

import pytest

from pooled_db.driver.slot import on_one_line, padded


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("GET /größe/ (shop.size)", "GET /größe/ (shop.size)"),
        ("GET /a\nGET /b", r"GET /a\nGET /b"),
        ("GET /\x1b[2J", r"GET /\x1b[2J"),
        ("", ""),
    ],
)
def test_a_client_can_begin_no_line_and_command_no_terminal(
    text: str, told: str
) -> None:
    assert on_one_line(text) == told
    assert padded(text).rstrip(b"\0").decode() == told


@pytest.mark.parametrize("length", [0, 127, 128, 129, 5000])
def test_a_text_fills_its_place(length: int) -> None:
    assert padded(length * "x") == min(length, 128) * b"x" + (128 - length) * b"\0"


def test_texts_that_nobody_has_any_more_are_forgotten() -> None:
    """There are as many as paths that clients think of."""
    padded.cache_clear()
    for number in range(3000):
        padded(f"GET /{number}")
    assert padded.cache_info().currsize < 3000
