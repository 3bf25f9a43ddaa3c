"""Selling one ticket: never more than there are, and never without an order."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import connection, transaction

from demo.tickets.models import Event, Order


class SoldOut(Exception):
    """There is no ticket left."""


def sell_ticket(event_id: int, number: uuid.UUID | None = None) -> Order:
    """Sell one, and return its order, which gets *number* if there is one.

    Raises IntegrityError if there is an order of that number already.
    """
    with transaction.atomic():
        work_in_the_database(settings.DEMO_WORK_SECONDS)
        event = Event.objects.select_for_update().get(pk=event_id)
        if event.tickets_left == 0:
            raise SoldOut(event.name)
        event.tickets_left -= 1
        event.save(update_fields=["tickets_left"])
        return Order.objects.create(event=event, number=number or uuid.uuid4())


def work_in_the_database(seconds: float) -> None:
    """Stands for what a real purchase asks of the database besides."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT SLEEP(%s)", [seconds])
