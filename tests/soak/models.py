from __future__ import annotations

from django.db import models


class Account(models.Model):
    balance: models.BigIntegerField[int, int] = models.BigIntegerField()

    class Meta:
        app_label = "soak"

    def __str__(self) -> str:
        return f"{self.pk}: {self.balance}"


class Transfer(models.Model):
    # Not unique: a transfer that is stored twice must be seen, not prevented.
    token: models.CharField[str, str] = models.CharField(max_length=40, db_index=True)
    source: models.ForeignKey[Account, Account] = models.ForeignKey(
        Account, models.CASCADE, related_name="+"
    )
    target: models.ForeignKey[Account, Account] = models.ForeignKey(
        Account, models.CASCADE, related_name="+"
    )
    amount: models.IntegerField[int, int] = models.IntegerField()

    class Meta:
        app_label = "soak"

    def __str__(self) -> str:
        return self.token
