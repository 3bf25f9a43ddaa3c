from __future__ import annotations

from django.db import models


class Item(models.Model):
    name: models.CharField[str, str] = models.CharField(max_length=100, unique=True)
    amount: models.IntegerField[int, int] = models.IntegerField(default=0)

    def __str__(self) -> str:
        return self.name
