from __future__ import annotations

import uuid
from datetime import datetime

from django.db import models


class Event(models.Model):
    name: models.CharField[str, str] = models.CharField(max_length=100)
    place: models.CharField[str, str] = models.CharField(max_length=100)
    tickets_left: models.PositiveIntegerField[int, int] = models.PositiveIntegerField()

    class Meta:
        ordering = ("id",)

    def __str__(self) -> str:
        return self.name


class Order(models.Model):
    event: models.ForeignKey[Event, Event] = models.ForeignKey(
        Event, on_delete=models.PROTECT, related_name="orders"
    )
    number: models.UUIDField[uuid.UUID, uuid.UUID] = models.UUIDField(
        default=uuid.uuid4, unique=True, editable=False
    )
    created: models.DateTimeField[datetime, datetime] = models.DateTimeField(
        auto_now_add=True
    )

    def __str__(self) -> str:
        return str(self.number)
