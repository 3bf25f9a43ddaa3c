from django.contrib.gis.db import models


class Place(models.Model):
    name = models.CharField(max_length=100)
    at = models.PointField()

    def __str__(self) -> str:
        return self.name
