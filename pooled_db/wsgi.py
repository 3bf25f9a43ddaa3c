"""Admission before Django: ``get_wsgi_application`` with a door."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from django.core.handlers.wsgi import get_path_info, get_script_name
from django.core.wsgi import get_wsgi_application as get_django_application

from .exceptions import PoolTimeout
from .request.admission import Admission
from .request.current import open_scope
from .request.pace import process_pace
from .request.responses import Refusal

Environ = dict[str, Any]
Application = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]


def get_wsgi_application() -> Application:
    """Make Django's WSGI application, and let requests queue in front of it.

    The middleware takes the admission over. Raises ImproperlyConfigured for wrong
    settings.
    """
    return Door(get_django_application())


class Door:
    """Admits requests to *application*, or answers them with a 503."""

    def __init__(self, application: Application) -> None:
        self.application = application
        self.admission: Admission = Admission()

    def __call__(
        self, environ: Environ, start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        path = _path(environ)
        pools = self.admission.pools_for(path)
        if not pools:
            return self.application(environ, start_response)
        scope = open_scope()
        scope.at_door = True
        scope.asked = (environ["REQUEST_METHOD"], path)
        try:
            header = self.admission.age_header
            age = self.admission.age(environ.get(_key(header))) if header else 0.0
            try:
                for pool in pools:
                    scope.admit(pool, age)
            except PoolTimeout as error:
                refusal = self.admission.refuse(
                    scope,
                    error,
                    method=environ["REQUEST_METHOD"],
                    header=lambda name: environ.get(_key(name)),
                )
                process_pace.hold()
                return _answer(start_response, refusal)
            return self.application(environ, start_response)
        finally:
            if scope.at_door:
                scope.close()


def _path(environ: Environ) -> str:
    """Return what Django will call ``request.path``."""
    script: str = get_script_name(environ)
    info: str = get_path_info(environ)
    return f"{script.rstrip('/')}/{info.removeprefix('/')}"


def _key(header: str) -> str:
    return "HTTP_" + header.upper().replace("-", "_")


def _answer(start_response: Callable[..., Any], refusal: Refusal) -> Iterable[bytes]:
    start_response("503 Service Unavailable", list(refusal.headers.items()))
    return [refusal.body]
