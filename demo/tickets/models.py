import uuid

from django.db import models


class Event(models.Model):
    name = models.CharField(max_length=100)
    place = models.CharField(max_length=100)
    tickets_left = models.PositiveIntegerField()

    class Meta:
        ordering = ("id",)

    def __str__(self) -> str:
        return self.name


class Order(models.Model):
    event = models.ForeignKey(Event, on_delete=models.PROTECT, related_name="orders")
    number = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    created = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return str(self.number)
