"""In which language who is refused is told so."""

from __future__ import annotations

import gettext
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import connections
from django.http import HttpRequest, HttpResponse
from django.middleware.locale import LocaleMiddleware
from django.test import Client
from django.urls import path
from django.utils import translation
from django.utils.translation import trans_real

import pooled_db.asgi
import pooled_db.wsgi
from pooled_db import PoolTimeout, pools
from pooled_db.exceptions import Reason
from pooled_db.pool.pool import Pool
from pooled_db.request import language as language_module
from pooled_db.request import responses
from pooled_db.request.language import Language, language_of

from .test_responses import HTML, JSON, answer, templates

OURS = "pooled_db.middleware.PooledConnectionMiddleware"
LOCALE = "django.middleware.locale.LocaleMiddleware"
LANGUAGES = ("de", "es", "fr", "ja", "pt-br")
#: The beginning of what a page says to somebody who is refused.
BUSY = {
    "en": "The site is busy.",
    "de": "Die Website ist gerade stark ausgelastet.",
    "es": "El sitio está muy ocupado.",
    "fr": "Le site est très sollicité.",
    "ja": "サイトが混み合っています。",
    "pt-BR": "O site está sobrecarregado.",
}
LOCALES = Path(pooled_db.__file__).parent / "locale"


class OwnLocaleMiddleware(LocaleMiddleware):
    pass


@pytest.fixture
def negotiating(settings: Any) -> None:
    settings.MIDDLEWARE = [OURS, LOCALE]


@pytest.fixture(autouse=True)
def somebody_elses_language() -> Iterator[None]:
    """What the previous request has left in this thread."""
    with translation.override("es"):
        yield


def choose(accepted: str = "", cookie: str = "") -> Language:
    return language_of({"accept-language": accepted, "cookie": cookie}.get)


# The choice.


@pytest.mark.usefixtures("negotiating")
@pytest.mark.parametrize(
    ("accepted", "code"),
    [
        ("de", "de"),
        ("de-AT,de;q=0.9,en;q=0.5", "de"),
        ("fr;q=0.3, ja;q=0.8", "ja"),
        ("pt-BR,pt;q=0.9", "pt-br"),
        ("xx, de;q=0.1", "de"),
        ("", "en"),
        ("*", "en"),
        ("xx", "en"),
        ("nonsense;;q=,", "en"),
        ("de, " + ", ".join(["fr;q=0.5"] * 500), "de"),
        ("x" * 5000, "en"),
    ],
)
def test_the_language_is_the_one_that_this_client_wants(
    accepted: str, code: str
) -> None:
    assert choose(accepted) == Language(code, ("Accept-Language", "Cookie"))


@pytest.mark.usefixtures("negotiating")
def test_settings_that_were_changed_count_at_once(settings: Any) -> None:
    assert choose("de").code == "de"
    settings.LANGUAGES = [("en", "English"), ("fr", "French")]
    assert choose("de").code == "en"
    settings.MIDDLEWARE = [OURS]
    assert choose("fr") == Language(settings.LANGUAGE_CODE)


@pytest.mark.usefixtures("negotiating")
@pytest.mark.parametrize(("site", "code"), [("fr-ca", "fr"), ("xx", "xx")])
def test_a_client_whose_language_is_none_of_the_sites_gets_the_sites(
    settings: Any, monkeypatch: pytest.MonkeyPatch, site: str, code: str
) -> None:
    """Django 4.2 says that there is none."""
    settings.LANGUAGE_CODE = site
    monkeypatch.setattr(translation, "get_language_from_request", lambda _: None)
    assert choose("tlh").code == code


@pytest.mark.usefixtures("negotiating")
@pytest.mark.parametrize(
    ("cookie", "code"),
    [
        ("django_language=de", "de"),
        ("sessionid=x; django_language=ja; other=y", "ja"),
        ("django_language=xx", "fr"),
        ("sessionid=django_language", "fr"),
        ("django_language=" + "x" * 5000, "fr"),
    ],
)
def test_who_has_chosen_a_language_on_the_site_keeps_it(cookie: str, code: str) -> None:
    assert choose("fr", cookie).code == code


def test_without_djangos_middleware_everybody_gets_the_sites_language(
    settings: Any,
) -> None:
    settings.LANGUAGE_CODE = "fr"

    assert choose("de", "django_language=ja") == Language("fr", ())


def test_middleware_that_derives_from_djangos_negotiates_too(settings: Any) -> None:
    settings.MIDDLEWARE = [OURS, f"{__name__}.OwnLocaleMiddleware"]

    assert choose("de").code == "de"


@pytest.mark.usefixtures("negotiating")
def test_without_translations_there_is_no_choice(settings: Any) -> None:
    settings.USE_I18N = False

    assert choose("de") == Language(None, ())
    assert language_of(lambda name: None, "de") == Language(None, ())


@pytest.mark.usefixtures("negotiating")
def test_a_language_that_the_site_does_not_have_is_not_chosen(settings: Any) -> None:
    settings.LANGUAGES = [("fr", "French"), ("en", "English")]

    assert choose("de, fr;q=0.1").code == "fr"


# What is said.


@pytest.mark.parametrize("language", ["en", *LANGUAGES])
def test_the_built_in_page_says_so_in_that_language(language: str) -> None:
    refusal = answer(language=Language(language, ("Accept-Language", "Cookie")))

    page = refusal.body.decode()
    written = "pt-BR" if language == "pt-br" else language
    assert f'<html lang="{written}">' in page
    assert f"<p>{BUSY[written]}" in page
    assert refusal.headers["Content-Language"] == written
    assert refusal.headers["Vary"] == "Accept, Accept-Language, Cookie"
    assert translation.get_language() == "es"


@pytest.mark.parametrize("language", ["en", *LANGUAGES])
def test_json_has_its_detail_in_that_language(language: str) -> None:
    refusal = answer(accept=JSON, language=Language(language))

    problem = json.loads(refusal.body)
    written = "pt-BR" if language == "pt-br" else language
    assert problem["detail"].startswith(BUSY[written])
    assert (problem["title"], problem["reason"]) == ("Service Unavailable", "timeout")
    assert refusal.headers["Content-Language"] == written
    assert refusal.headers["Vary"] == "Accept"


@pytest.mark.parametrize(
    ("site", "written"), [("en-us", "en"), ("fr", "fr"), ("it", "en")]
)
def test_a_page_that_nobody_has_translated_tells_which_language_it_is_in(
    settings: Any, monkeypatch: pytest.MonkeyPatch, site: str, written: str
) -> None:
    monkeypatch.setattr(trans_real, "_translations", {})  # they keep the old one
    settings.LANGUAGE_CODE = site

    refusal = answer(language=Language("it"))

    assert refusal.headers["Content-Language"] == written
    assert f'<html lang="{written}">' in refusal.body.decode()
    assert BUSY[written] in refusal.body.decode()


def test_without_translations_it_is_english(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.USE_I18N = False
    # Django looks at the setting once.
    translations: Any = translation
    monkeypatch.setattr(translations, "_trans", type(translations._trans)())

    refusal = answer(language=Language(None))

    assert refusal.headers["Content-Language"] == "en"
    assert BUSY["en"] in refusal.body.decode()


@pytest.mark.parametrize("language", ["de", "pt-br", "it"])
def test_the_projects_page_is_rendered_in_that_language(
    settings: Any, language: str
) -> None:
    settings.TEMPLATES = templates(
        "{% load i18n %}{% get_current_language as now %}{{ now }} {{ detail }}"
    )

    refusal = answer(language=Language(language))

    assert refusal.body.decode().startswith(f"{language} ")
    assert refusal.headers["Content-Language"] == language
    assert translation.get_language() == "es"


def test_pages_are_rendered_once_for_each_language_and_not_for_each_client(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(responses, "time", Clock())
    settings.TEMPLATES = templates("{{ detail }}")
    responses._html.cache_clear()

    for _ in range(1000):
        for language in LANGUAGES:
            answer(language=Language(language))

    assert responses._html.cache_info().misses == len(LANGUAGES)
    for cached in (responses._html, responses._json, language_module._chosen):
        maxsize = cached.cache_info().maxsize
        assert maxsize is not None
        assert maxsize <= 256


class Clock:
    """Stands still."""

    def monotonic(self) -> float:
        return 1000.0


def test_refusals_stay_cheap() -> None:
    header = {"accept-language": "de-AT,de;q=0.9", "cookie": "sessionid=abc"}.get
    answer(language=language_of(header))
    started = time.process_time()

    for _ in range(1000):
        answer(language=language_of(header))

    assert time.process_time() - started < 1.0


# The translations.


def entries(po: str) -> dict[str, str]:
    """The texts of a file whose entries are one line each."""
    return dict(re.findall(r'^msgid "(.+)"\nmsgstr "(.+)"$', po, re.MULTILINE))


@pytest.mark.parametrize("directory", sorted(LOCALES.iterdir()), ids=lambda d: d.name)
def test_each_translation_is_complete_and_compiled(directory: Path) -> None:
    written = entries((directory / "LC_MESSAGES" / "django.po").read_text())
    with (directory / "LC_MESSAGES" / "django.mo").open("rb") as file:
        compiled = gettext.GNUTranslations(file)

    source = (Path(responses.__file__)).read_text()
    assert len(written) == 6
    for text, translated in written.items():
        assert text == "en" or "".join(text.split()) in "".join(
            source.replace('"', "").split()
        )
        assert translated != text
        if text == "en":
            context = "the code of the language of this translation"
            assert compiled.pgettext(context, text) == translated
        else:
            assert compiled.gettext(text) == translated


def test_the_translations_are_those_that_the_documentation_names() -> None:
    found = {directory.name for directory in LOCALES.iterdir()}
    assert found == {"de", "es", "fr", "ja", "pt_BR"}


@pytest.mark.parametrize(("length", "language"), [(500, "ja"), (501, "de")])
def test_a_header_is_read_up_to_500_characters(
    negotiating: None, length: int, language: str
) -> None:
    none_of_ours = "xx," * 160 + "x" * (length - 498) + ","
    header = f"de;q=0.1,{none_of_ours}ja;q=0.9"
    headers = {"accept-language": header}
    assert len(header) == length
    assert language_of(headers.get).code == language


# Through the middleware and the doors.


def refused(request: HttpRequest) -> HttpResponse:
    raise PoolTimeout("default", Reason.TIMEOUT, 5.0, 4, 4, 7)


urlpatterns = [path("refused", refused)]


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Pool:
    connections["default"].close()
    pool = pools.for_alias("default")
    monkeypatch.setattr(pool, "timeout", 0.01)
    return pool


GERMAN = {"accept": HTML, "accept-language": "de"}


@pytest.mark.usefixtures("negotiating", "like_a_server")
def test_the_middleware_heeds_the_client(full_pool: Pool) -> None:
    response = Client().get("/refused", headers=GERMAN)

    assert response.status_code == 503
    assert response["Content-Language"] == "de"
    assert BUSY["de"] in response.content.decode()


def choose_german(get_response: Any) -> Any:
    """Middleware that chooses by something else, such as the user's profile."""

    def middleware(request: HttpRequest) -> HttpResponse:
        request.LANGUAGE_CODE = "de"
        response: HttpResponse = get_response(request)
        return response

    return middleware


def test_what_the_project_has_chosen_for_the_request_stays(settings: Any) -> None:
    settings.ROOT_URLCONF = __name__
    settings.POOLED_DB = {"CHECKOUT": "query"}
    settings.MIDDLEWARE = [OURS, LOCALE, f"{__name__}.choose_german"]

    response = Client().get("/refused", headers={"accept-language": "ja"})

    assert response.status_code == 503
    assert BUSY["de"] in response.content.decode()


@pytest.mark.usefixtures("negotiating")
def test_the_wsgi_door_heeds_the_client(full_pool: Pool) -> None:
    door = pooled_db.wsgi.Door(lambda environ, start_response: [])
    environ = {
        "PATH_INFO": "/",
        "REQUEST_METHOD": "GET",
        "HTTP_ACCEPT_LANGUAGE": "de",
        "HTTP_COOKIE": "django_language=ja",
    }

    (body,) = door(environ, lambda status, headers: None)

    assert BUSY["ja"] in body.decode()


@pytest.mark.usefixtures("negotiating")
def test_the_asgi_door_heeds_the_client(full_pool: Pool) -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        assert (await receive())["type"] == "http.disconnect"

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request"}

    door = pooled_db.asgi.Door(application)
    headers = [(b"accept-language", b"fr"), (b"cookie", b"django_language=ja")]
    scope = {"type": "http", "path": "/", "method": "GET", "headers": headers}

    async_to_sync(door)(scope, receive, send)

    assert BUSY["ja"] in sent[1]["body"].decode()
    assert (b"content-language", b"ja") in sent[0]["headers"]
