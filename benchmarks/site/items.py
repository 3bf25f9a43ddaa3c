"""What the measured site looks up."""

from __future__ import annotations

from django.db import models


class Item(models.Model):
    name: models.CharField[str, str] = models.CharField(max_length=40)

    class Meta:
        app_label = "benchmarks"  # which is no app: INSTALLED_APPS is the contender's
        managed = False
        db_table = "item"
