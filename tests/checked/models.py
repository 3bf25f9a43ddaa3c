"""Models of which every part depends on what the server can do."""

from __future__ import annotations

from typing import Any

import django
from django.db import models
from django.db.models.functions import Lower, Now

_IS_POSITIVE = models.Q(price__gt=0)
_ARGUMENTS: dict[str, Any] = (
    {"condition": _IS_POSITIVE} if django.VERSION >= (5, 1) else {"check": _IS_POSITIVE}
)


class Thing(models.Model):
    """One of everything."""

    name: Any = models.CharField(max_length=100, db_comment="what it is called")
    price: Any = models.DecimalField(max_digits=6, decimal_places=2)
    details = models.JSONField(default=dict)
    parent: Any = models.ForeignKey("self", models.CASCADE, null=True)
    if django.VERSION >= (5, 0):
        made: Any = models.DateTimeField(db_default=Now())
        double = models.GeneratedField(
            expression=models.F("price") * 2,
            output_field=models.DecimalField(max_digits=7, decimal_places=2),
            db_persist=True,
        )

    class Meta:
        db_table_comment = "things"
        constraints = (models.CheckConstraint(name="positive", **_ARGUMENTS),)
        indexes = (models.Index(Lower("name"), name="by_lower_name"),)
