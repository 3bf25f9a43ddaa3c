"""Who is refused in a language that the project has translated the texts to."""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import Any

import pytest

from pooled_db.request.language import Language
from tests.documentation import DOCS, blocks

from .test_responses import HTML, JSON, answer


def compiled(po: str) -> bytes:
    """What msgfmt makes of it."""
    entries = {"": "Content-Type: text/plain; charset=UTF-8\n"}
    for context, text, translated in re.findall(
        r'^(?:msgctxt "(.*)"\n)?msgid "(.+)"\nmsgstr "(.*)"$', po, re.MULTILINE
    ):
        entries[f"{context}\x04{text}" if context else text] = translated
    texts = [*sorted(entries), *(entries[one] for one in sorted(entries))]
    count, table, data = len(entries), b"", b""
    for text in texts:
        written = text.encode()
        table += struct.pack("<2I", len(written), 28 + 16 * count + len(data))
        data += written + b"\0"
    header = struct.pack("<7I", 0x950412DE, 0, count, 28, 28 + 8 * count, 0, 0)
    return header + table + data


@pytest.mark.parametrize("accept", [HTML, JSON])
def test_the_documented_translation_is_used(
    settings: Any, tmp_path: Path, accept: str
) -> None:
    """At once, though what is sent is made once a second at most."""
    (po,) = (
        block.text
        for block in blocks(DOCS / "how-to" / "your-503.md")
        if block.language == "po"
    )
    catalogue = tmp_path / "it" / "LC_MESSAGES" / "django.mo"
    catalogue.parent.mkdir(parents=True)
    catalogue.write_bytes(compiled(po))
    assert b"The site is busy." in answer(accept=accept, language=Language("it")).body

    settings.LOCALE_PATHS = [tmp_path]
    refusal = answer(accept=accept, language=Language("it"))

    assert b"Il sito" in refusal.body
    assert refusal.headers["Content-Language"] == "it"
