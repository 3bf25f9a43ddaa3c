"""Who has to queue at the start of a request, and what the refused are told.

The middleware and the doors of WSGI and ASGI share it, so that they never differ.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from django.conf import settings
from django.db import connections

from .. import conf, pools, signals
from ..driver.errors import error_code, outage_in, pooled_alias, why_not_connected
from ..exceptions import PoolTimeout, Reason, ServerUnavailable
from ..pool.pool import Pool
from .age import age_of
from .debug_page import explained
from .diagnosis import diagnose
from .extra_headers import add_headers
from .incoming import Incoming
from .language import language_of
from .refusals import refusal_log
from .responses import SAFE_METHODS, Refusal, refuse
from .scope import Scope


class Admission:
    """The rules of ``POOLED_DB``, read once.

    Raises ImproperlyConfigured if the settings of it or of a pool are wrong.
    """

    def __init__(self) -> None:
        self.settings: conf.MiddlewareSettings = conf.middleware_settings()
        #: Of which aliases a request takes a connection at its start. Always in one
        #: order, so that two requests cannot hold what the other waits for.
        self.eager: Sequence[str] = self._eager_aliases()
        #: Tells by its path which request takes none, if some do not.
        self.exempts: Callable[[str], bool] | None = (
            self.settings.is_exempt if self.settings.exempt else None
        )
        #: Which header tells when the request reached the first proxy.
        self.age_header: str | None = self.settings.request_start_header

    def pools_for(self, path: str) -> Sequence[Pool]:
        """Whose connections the request for *path* takes at its start."""
        if self.exempts is not None and self.exempts(path):
            return ()
        return [pools.for_alias(alias) for alias in self.eager]

    def age(self, incoming: Incoming) -> float:
        """For how many seconds the request has been on its way."""
        header = self.age_header
        return age_of(incoming.header(header)) if header else 0.0

    def refuse(
        self,
        scope: Scope,
        error: BaseException,
        incoming: Incoming,
        language: str | None = None,
    ) -> Refusal:
        """Log the refusal, and make the answer to it.

        *language* is the code of the one that Django has chosen for the request, if it
        has come so far.
        """
        diagnosis = diagnose(error)
        assert diagnosis is not None
        reason, cause = diagnosis
        alias, message = _describe(cause)
        _announce(alias, reason, message, cause, incoming)
        method = incoming.method
        harmless = method in SAFE_METHODS or not scope.begun
        refusal = refuse(
            reason,
            method=method,
            accept=incoming.header("accept") or "",
            language=language_of(incoming.header, language),
            retry_after=self.settings.retry_after if harmless else None,
        )
        if settings.DEBUG and refusal.headers["Content-Type"].startswith("text/html"):
            refusal = explained(refusal, alias, reason, message)
        if self.settings.headers is not None:
            add_headers(refusal.headers, self.settings.headers, incoming)
        return refusal

    def _eager_aliases(self) -> Sequence[str]:
        pooled = pools.pooled_aliases()
        for alias in pooled:
            # What is wrong with the settings comes up now, not with the first request.
            conf.pool_settings(alias, connections.settings[alias])
        if self.settings.checkout == "query":
            return ()
        wanted = self.settings.aliases
        if wanted is None:
            wanted = ("default",)
        return [alias for alias in pooled if alias in wanted]


def _announce(
    alias: str,
    reason: Reason,
    message: object,
    cause: BaseException,
    incoming: Incoming,
) -> None:
    """Log and count the refusal, and send its signal."""
    refusal_log.add(alias, message)
    if reason is Reason.CONNECTION_LOST:
        pools.count_lost(alias)
    signals.send(
        signals.request_refused,
        alias=alias,
        reason=reason.value,
        method=incoming.method,
        path=incoming.path,
        error=cause,
    )


def _describe(cause: BaseException) -> tuple[str, object]:
    """Return the alias and what to write into the log: no host, no user, no SQL."""
    if isinstance(cause, PoolTimeout):
        return cause.alias, cause
    code = error_code(cause) or 0
    if isinstance(cause, ServerUnavailable):
        return cause.alias, (
            f"no connection to {cause.alias!r}: "
            f"{why_not_connected(cause) or cause.why} (error {code})."
        )
    alias, sign = pooled_alias(cause), outage_in(cause)
    assert alias is not None
    assert sign is not None
    what = "lost" if sign.lost else "cannot use"
    return alias, f"{what} {alias!r}: {sign.in_statement} (error {code})."
