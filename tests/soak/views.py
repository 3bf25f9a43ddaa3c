from __future__ import annotations

import functools
import random
from collections.abc import Callable

from django.db import OperationalError, transaction
from django.db.models import F
from django.http import HttpRequest, HttpResponse

from tests.site.views import ask

from .models import Account, Transfer

DEADLOCK, LOCK_WAIT_TIMEOUT, INTERRUPTED = 1213, 1205, 1317


def answers_busy(view: Callable[[HttpRequest], str]) -> Callable[..., HttpResponse]:
    """Make a 409 of what a view may expect on accounts that others use, too."""

    @functools.wraps(view)
    def answer(request: HttpRequest) -> HttpResponse:
        try:
            return HttpResponse(view(request))
        except OperationalError as error:
            if error.args[0] in (DEADLOCK, LOCK_WAIT_TIMEOUT, INTERRUPTED):
                return HttpResponse("busy accounts", status=409)
            raise

    return answer


@answers_busy
def look(request: HttpRequest) -> str:
    """Answer with the token in two statements without a transaction."""
    token = request.GET["token"]
    said = {ask("SELECT %s", token) for _ in range(2)}
    return " and ".join(map(str, said))


@answers_busy
@transaction.atomic
def transfer(request: HttpRequest) -> str:
    """Move money, and answer with the token as the database has stored it."""
    token = request.GET["token"]
    source, target, amount = (
        int(request.GET[name]) for name in ("source", "target", "amount")
    )
    # Locked in an order by chance, so that deadlocks happen.
    for account in random.sample([source, target], 2):
        Account.objects.select_for_update().get(pk=account)
    Account.objects.filter(pk=source).update(balance=F("balance") - amount)
    Account.objects.filter(pk=target).update(balance=F("balance") + amount)
    row = Transfer.objects.create(
        token=token, source_id=source, target_id=target, amount=amount
    )
    stored: str = Transfer.objects.values_list("token", flat=True).get(pk=row.pk)
    return stored
