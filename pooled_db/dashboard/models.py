"""The permission to see the pools, which Django makes for models only."""

from __future__ import annotations

from django.db import models


class NoPools(models.Manager["Pools"]):
    """Finds nothing, so that nobody asks for the table that there is not."""

    def get_queryset(self) -> models.QuerySet[Pools]:
        nothing: models.QuerySet[Pools] = super().get_queryset().none()
        return nothing


class Pools(models.Model):
    """What stands for the pools in the admin. It has no table."""

    objects = NoPools()

    class Meta:
        managed = False
        base_manager_name = "objects"
        default_permissions = ("view",)
        verbose_name = "connection pool"
        verbose_name_plural = "connection pools"

    def __str__(self) -> str:
        return "connection pools"
