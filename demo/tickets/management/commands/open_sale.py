from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandParser

from demo.tickets.models import Event, Order

EVENTS = [
    ("The Queue: A Play in Two Acts", "Little Theatre"),
    ("String Quartet No. 503", "Chamber Hall"),
    ("Open Air: Too Many Connections", "City Park"),
    ("An Evening of Deadlocks", "The Cellar"),
    ("Swim Meet: Pool Finals", "Indoor Pool"),
    ("First Come, First Served", "Market Square"),
    ("Lecture: On Waiting", "Old Library"),
    ("Midnight Rollback", "Warehouse 9"),
]


class Command(BaseCommand):
    help = "Open the sale anew: tables made, every event full, no orders."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--tickets", type=int, default=10_000, help="per event")

    def handle(self, *, tickets: int, **options: Any) -> None:
        call_command("migrate", verbosity=0)
        Order.objects.all().delete()
        for number, (name, place) in enumerate(EVENTS, start=1):
            Event.objects.update_or_create(
                pk=number,
                defaults={"name": name, "place": place, "tickets_left": tickets},
            )
        self.stdout.write(f"{len(EVENTS)} events, {tickets} tickets each")
