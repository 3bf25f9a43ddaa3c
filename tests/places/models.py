from __future__ import annotations

from django.contrib.gis.db import models
from django.contrib.gis.geos import Point


class Place(models.Model):
    name: models.CharField[str, str] = models.CharField(max_length=100)
    at: models.PointField[Point, Point] = models.PointField()

    def __str__(self) -> str:
        return self.name
