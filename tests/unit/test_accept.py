"""Who gets JSON, and who HTML."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pooled_db.request.accept import prefers_json

from .test_responses import answer


@pytest.mark.parametrize(
    "accept",
    [
        "application/json",
        "APPLICATION/JSON",
        "application/json; charset=utf-8",
        "application/problem+json",
        "application/vnd.api+json",
        "application/hal+json, application/json;q=0.9",
        # axios, jQuery.getJSON, and Django REST framework's browsable API's own calls
        "application/json, text/plain, */*",
        "application/json, text/javascript, */*; q=0.01",
        "application/json; indent=4, */*",
        "text/html;q=0.5, application/json",
        "text/html;q=0.8,application/json;q=0.9",
        "application/json;q=0.1",
        "text/html;q=0, application/json;q=0.1",
        "text/html ; level=1 ; Q=0.3 , application/json ; q=0.4",
        # A range that allows JSON, and no HTML or not as much.
        "application/*",
        "application/*;q=0.5, text/*;q=0.2",
        "text/*;q=0.2, application/json",
        "*/*;q=0.2, application/*;q=0.3",
        "application/*, */*",
        "text/html;q=0, */*",
        # The more precise counts, whatever the order.
        "*/*, text/html;q=0.5, application/json;q=0.9",
        "application/json, application/*;q=0.1, text/html;q=0.5",
        # What is neither is no page.
        "text/xml, application/json;q=0.5",
        # What Django cannot parse is nobody's preference.
        "text/html;x*=unknown''%41, application/json",
    ],
)
def test_who_asks_for_json_gets_json(accept: str) -> None:
    assert prefers_json(accept)
    assert answer(accept=accept).headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize(
    "accept",
    [
        "",
        "*/*",
        "text/html",
        "text/plain",
        "image/avif,image/webp,*/*;q=0.8",
        # Firefox and Safari, then Chrome
        "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
        (
            "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,"
            "image/webp,image/apng,*/*;q=0.8,"
            "application/signed-exchange;v=b3;q=0.7"
        ),
        "text/html, application/json",
        "application/json, text/html",
        "application/xhtml+xml, application/json",
        "text/html, application/json;q=0.9",
        "application/json;q=0",
        "application/json;q=0.0, */*",
        "application/json;q=nonsense",
        "application/json;q=",
        "application/jsonlines",
        "text/*",
        "text/*, application/*",
        "text/html, */*",
        "application/*;q=0.9, text/*",
        "application/json;q=0, application/*;q=0.5, */*;q=0.1",
        "*/*, application/json;q=0.5",
        "application/*;q=0",
        "application/json;q=1.5",
        "application/json;q=-1",
        "image/*",
    ],
)
def test_everybody_else_gets_html(accept: str) -> None:
    assert not prefers_json(accept)
    assert answer(accept=accept).headers["Content-Type"] == "text/html; charset=utf-8"


media_ranges = st.builds(
    "".join,
    st.lists(
        st.sampled_from(
            [
                "application/json",
                "text/html",
                "*/*",
                "/",
                ",",
                ";",
                "=",
                "q",
                ";q=",
                "0.5",
                "1e999",
                "-1",
                "nan",
                "inf",
                "+json",
                " ",
                '"',
                "\t",
                "\x00",
                "é",
                "İ",
            ]
        ),
        max_size=30,
    ),
)


@hypothesis_settings(derandomize=True, deadline=None)
@given(accept=st.text() | media_ranges)
def test_no_accept_header_raises(accept: str) -> None:
    assert prefers_json(accept) in (True, False)


def test_of_a_very_long_header_only_the_beginning_is_read_and_remembered() -> None:
    filler = ", ".join(f"image/x-{number}" for number in range(1000))

    refusal = answer(accept=f"application/json, {filler}, text/html")

    assert refusal.headers["Content-Type"] == "application/problem+json"
    assert prefers_json.cache_info().maxsize == 256
