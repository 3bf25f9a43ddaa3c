"""A request as far as it has to be known before Django has made one of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from django.http import HttpRequest


class Incoming(Protocol):
    """What is read of a request only when it has to wait, or is refused."""

    @property
    def method(self) -> str: ...

    @property
    def path(self) -> str:
        """What Django calls ``request.path``."""

    @property
    def address(self) -> str:
        """Who is at the other end of its connection; empty if nobody knows."""

    def header(self, name: str) -> str | None:
        """The value of a header, all its lines joined by commas."""

    def headers(self) -> Mapping[str, str]:
        """All of them, by names in whatever case."""


class FromDjango:
    """Django's request."""

    __slots__ = ("_request",)

    def __init__(self, request: HttpRequest) -> None:
        self._request = request

    @property
    def method(self) -> str:
        return self._request.method or "GET"

    @property
    def path(self) -> str:
        return self._request.path

    @property
    def address(self) -> str:
        address: str = self._request.META.get("REMOTE_ADDR") or ""
        return address

    def header(self, name: str) -> str | None:
        return self._request.headers.get(name)

    def headers(self) -> Mapping[str, str]:
        return self._request.headers
