"""What a request is known by."""

from __future__ import annotations

from collections.abc import Hashable
from contextvars import ContextVar

from django.http import HttpRequest

from .. import conf
from .client import client_of
from .incoming import FromDjango, Incoming

#: Whether this code is called to tell who the client is. Of the context, not of the
#: request: two of its threads may have to wait at once.
_tells_apart: ContextVar[bool] = ContextVar("pooled_db_tells_apart", default=False)


class Identity:
    """The request that a loan belongs to: its name, its client and its rank."""

    #: Since when it has waited for its client to send or to take more, by the gate's
    #: clock.
    receiving_since: float | None = None
    #: What a door knows of it, and Django's request once there is one.
    incoming: Incoming | None = None
    request: HttpRequest | None = None

    def describe(self) -> str:
        """Name the request and its view, without its query string."""
        request = self.request
        if request is None:
            incoming = self.incoming
            if incoming is None:
                return "a request"
            return f"{incoming.method} {incoming.path}"
        asked = f"{request.method} {request.path}"
        view = getattr(request.resolver_match, "_func_path", None)
        return asked if view is None else f"{asked} ({view})"

    def label(self) -> str:
        """Name the request's view and its route, without what the path has in it."""
        request = self.request
        if request is not None and request.resolver_match is not None:
            match = request.resolver_match
            view = getattr(match, "_func_path", None)
            if view is not None:
                return f"{request.method} /{match.route} ({view})"
        return self.describe()

    # Asked by the gate, if the request has to wait.

    def _incoming(self) -> Incoming | None:
        return self.incoming if self.request is None else FromDjango(self.request)

    def client(self) -> Hashable:
        """Whose request it is, as ``POOLED_DB["CLIENT"]`` tells them apart."""
        if _tells_apart.get():
            raise RuntimeError(
                'The function in POOLED_DB["CLIENT"] must not wait for the database: '
                "it is called because no connection is free."
            )
        token = _tells_apart.set(True)
        try:
            incoming = self._incoming()
            return None if incoming is None else client_of(incoming)
        finally:
            _tells_apart.reset(token)

    def has_priority(self) -> bool:
        """Whether ``POOLED_DB["PRIORITY"]`` has its path."""
        settings = conf.middleware_settings()
        incoming = self._incoming() if settings.priority else None
        return incoming is not None and settings.has_priority(incoming.path)
