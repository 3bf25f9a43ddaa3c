"""What the measured site looks up."""

from django.db import models


class Item(models.Model):
    name = models.CharField(max_length=40)

    class Meta:
        app_label = "benchmarks"  # which is no app: INSTALLED_APPS is the contender's
        managed = False
        db_table = "item"
