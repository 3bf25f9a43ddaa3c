"""Admission before Django: ``get_wsgi_application`` with a door."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import django
import django.core.wsgi
from django.core.handlers.wsgi import WSGIHandler, get_path_info, get_script_name
from django.core.signals import request_finished
from django.db import close_old_connections
from django.http.request import HttpHeaders

from . import placement
from .exceptions import PoolTimeout
from .pool.pool import outsiders
from .pools import for_alias
from .request.admission import Admission
from .request.current import open_scope
from .request.responses import Refusal

__all__ = ["Door", "get_wsgi_application"]

Environ = dict[str, Any]
Application = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]

#: Marks what has come through a door, so that nothing passes two.
PASSED = "pooled_db.door"


def get_wsgi_application() -> Application:
    """Make Django's WSGI application, and let requests queue in front of it.

    With the app and the middleware installed, Django's own function does the same,
    unless ``POOLED_DB["DOOR"]`` is false. The middleware takes the admission over.
    Raises ImproperlyConfigured for wrong settings.
    """
    django.setup(set_prefix=False)
    _close_after_requests_of(WSGIHandler)
    return Door(WSGIHandler(), placement.served_above())


def install() -> None:
    """Let Django's own ``get_wsgi_application`` put the door in front."""
    django.core.wsgi.WSGIHandler = DoorHandler  # type: ignore[attr-defined]


class DoorHandler(WSGIHandler):
    """Django's handler with the door in front, if the settings want it."""

    def __init__(self) -> None:
        super().__init__()
        _close_after_requests_of(type(self))
        self._entrance: Application = super().__call__
        if placement.wants_door():
            self._entrance = Door(super().__call__, placement.served_above())

    def __call__(self, environ: Any, start_response: Any) -> Any:
        return self._entrance(environ, start_response)


class FromWSGI:
    """A request as the server describes it."""

    __slots__ = ("_environ",)

    def __init__(self, environ: Environ) -> None:
        self._environ = environ

    @property
    def method(self) -> str:
        method: str = self._environ["REQUEST_METHOD"]
        return method

    @property
    def path(self) -> str:
        script: str = get_script_name(self._environ)
        info: str = get_path_info(self._environ)
        return f"{script.rstrip('/')}/{info.removeprefix('/')}"

    @property
    def address(self) -> str:
        address: str = self._environ.get("REMOTE_ADDR") or ""
        return address

    def header(self, name: str) -> str | None:
        key = "HTTP_" + name.upper().replace("-", "_")
        value: str | None = self._environ.get(key)
        return value

    def headers(self) -> Mapping[str, str]:
        return HttpHeaders(self._environ)


class Door:
    """Admits requests to *application*, or answers them with a 503.

    Paths that begin with *passing* go through.
    """

    def __init__(self, application: Application, passing: str | None = None) -> None:
        self.application = application
        self.admission: Admission = Admission()
        self._passing = passing

    def __call__(
        self, environ: Environ, start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        incoming = FromWSGI(environ)
        if PASSED in environ or not self._admits(incoming):
            return self.application(environ, start_response)
        if outsiders:
            # Django does it, too, but not before this thread has queued: it would wait
            # for itself.
            close_old_connections()
        admission = self.admission
        scope = open_scope()
        if not scope.at_door:
            return self.application(environ, start_response)
        environ[PASSED] = True
        scope.incoming = incoming
        try:
            age = admission.age(incoming) if admission.age_header else 0.0
            try:
                for alias in admission.eager:
                    # What is answered above the middleware waits for no server.
                    scope.check_out(for_alias(alias), age, idle_only=True)
            except PoolTimeout as error:
                refusal = admission.refuse(scope, error, incoming)
                return _answer(start_response, refusal)
            return self.application(environ, start_response)
        finally:
            if scope.at_door:
                scope.close()

    def _admits(self, incoming: FromWSGI) -> bool:
        """Whether the request takes connections at its start."""
        admission, passing = self.admission, self._passing
        # Reading the path is left to those for whom it makes a difference.
        if passing is not None and incoming.path.startswith(passing):
            return False
        return bool(admission.eager) and (
            admission.exempts is None or not admission.exempts(incoming.path)
        )


def _close_what_is_left(**kwargs: Any) -> None:
    """Give back what other receivers of ``request_finished`` have left in this thread.

    It is connected when all apps are ready, and so comes after theirs.
    """
    if outsiders:
        close_old_connections()


def _close_after_requests_of(handler: type[WSGIHandler]) -> None:
    request_finished.connect(_close_what_is_left, sender=handler)


def _answer(start_response: Callable[..., Any], refusal: Refusal) -> Iterable[bytes]:
    start_response("503 Service Unavailable", list(refusal.headers.items()))
    return [refusal.body]
