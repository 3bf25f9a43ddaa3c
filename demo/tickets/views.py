import uuid

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from demo.tickets.models import Event
from demo.tickets.sale import SoldOut, sell_ticket, work_in_the_database

REPORT_SECONDS = 15.0


def event_list(request: HttpRequest) -> HttpResponse:
    return render(request, "tickets/event_list.html", {"events": Event.objects.all()})


@require_POST
def buy(request: HttpRequest, event_id: int) -> HttpResponse:
    event = get_object_or_404(Event, pk=event_id)
    try:
        order = sell_ticket(event_id)
    except SoldOut:
        return render(request, "tickets/sold_out.html", {"event": event}, status=409)
    return render(request, "tickets/bought.html", {"event": event, "order": order})


@csrf_exempt  # an API for programs: nothing here rests on a browser's cookies
@require_POST
def api_buy(request: HttpRequest, event_id: int) -> JsonResponse:
    """Buy. Whoever gives the order's number can look for it if there is no answer."""
    try:
        number = uuid.UUID(request.GET["number"]) if "number" in request.GET else None
    except ValueError:
        return JsonResponse({"error": "the number is no UUID"}, status=400)
    try:
        order = sell_ticket(event_id, number)
    except Event.DoesNotExist:
        return JsonResponse({"error": "no such event"}, status=404)
    except SoldOut:
        return JsonResponse({"error": "sold out"}, status=409)
    return JsonResponse({"order": str(order.number)})


def report(request: HttpRequest) -> HttpResponse:
    """The query that somebody runs in the middle of a sale."""
    work_in_the_database(REPORT_SECONDS)
    return HttpResponse("That took a while.", content_type="text/plain")
