"""The functions that the documents show do what the text around them says."""

from __future__ import annotations

import ast
import asyncio
import dataclasses
import json
import types
import unittest
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import celery  # type: ignore[import-untyped]
import pytest
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory, override_settings
from django.urls import path

import pooled_db
from pooled_db import signals
from pooled_db.exceptions import Reason
from tests.documentation import Block, blocks, importable, pages, run

FUNCTIONS: dict[str, Block] = {}
for block in (block for page in pages() for block in blocks(page)):
    if block.language == "python" and block.page != "docs/measurements.md":
        for node in ast.walk(ast.parse(block.text)):
            if isinstance(node, (ast.AsyncFunctionDef, ast.FunctionDef)):
                FUNCTIONS[node.name] = block

pytestmark = pytest.mark.usefixtures("may_connect")

CALLED: set[str] = set()
Test = Callable[..., None]


def calls(*names: str) -> Callable[[Test], Test]:
    """Give a test the block that defines *names*, which it calls."""
    CALLED.update(names)
    return pytest.mark.parametrize("block", [FUNCTIONS[names[0]]], ids=str)


def query(*arguments: object, **options: object) -> object:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        return cursor.fetchone()


def in_use() -> int:
    return pooled_db.stats()["default"].in_use


def filled(block: Block, **given: Any) -> dict[str, Any]:
    """Run *block* with a query in the place of what it leaves to its readers."""
    text = block.text.replace(" ...\n", " query()\n")
    return run(dataclasses.replace(block, text=text), query=query, **given)


def test_each_function_is_called() -> None:
    in_files = {name for name, block in FUNCTIONS.items() if block.file is not None}

    assert {*FUNCTIONS} - in_files == CALLED  # those: test_tutorial.py


@calls("pay")
def test_a_view_gives_its_connection_back_while_it_asks_the_bank(block: Block) -> None:
    held = []

    def ask(order: object) -> None:
        held.append(in_use())

    objects = SimpleNamespace(get=query, create=query)
    model = SimpleNamespace(objects=objects)
    pay = filled(block, Order=model, Payment=model, ask_the_bank=ask)["pay"]

    pay(HttpRequest())

    assert (held, in_use()) == ([0], 1)


@calls("work")
def test_a_thread_leaves_nothing_behind(block: Block) -> None:
    filled(block)["work"]()

    assert (pooled_db.stats()["default"].checkouts, in_use()) == (1, 0)


@calls("pools")
def test_a_view_tells_the_numbers(block: Block) -> None:
    query()

    response = run(block)["pools"](HttpRequest())

    assert json.loads(response.content)["default"]["in_use"] == 1


@calls("is_mysql")
def test_the_vendor_is_mysql(block: Block) -> None:
    assert run(block)["is_mysql"]() is True


@calls("client")
def test_clients_are_told_apart_by_their_key(block: Block) -> None:
    client = run(block)["client"]

    assert (client({"X-Api-Key": "k"}), client({})) == ("k", None)


@calls("refusal_headers")
def test_another_origin_may_read_the_refusal(block: Block) -> None:
    headers = run(block)["refusal_headers"]

    assert headers("/", "https://a.example")["Access-Control-Allow-Origin"] == (
        "https://a.example"
    )
    assert headers("/", None) == {}


@calls("remember")
def test_a_receiver_hears_of_a_refusal(block: Block) -> None:
    names = run(block)

    signals.send(
        signals.request_refused,
        alias="default",
        reason=Reason.TIMEOUT,
        method="GET",
        path="/buy",
        error=None,
    )

    assert names["refused_paths"] == {("/buy", Reason.TIMEOUT)}


@calls("read_own_writes", "middleware", "db_for_read", "db_for_write", "allow_relation")
def test_who_has_written_reads_what_was_written(
    block: Block, rf: RequestFactory
) -> None:
    names = run(block)
    router = names["ReplicaRouter"]()
    read: list[str] = []

    def view(request: HttpRequest) -> HttpResponse:
        read.append(router.db_for_read(None))
        if request.method == "POST":
            assert router.db_for_write(None) == "default"
            read.append(router.db_for_read(None))
        return HttpResponse()

    serve = names["read_own_writes"](view)
    serve(rf.get("/"))
    written = serve(rf.post("/"))
    rf.cookies = written.cookies.copy()
    serve(rf.get("/"))
    rf.cookies.clear()
    again = serve(rf.get("/"))

    assert read == ["replica", "replica", "default", "default", "replica"]
    assert (written.cookies["wrote"]["max-age"], again.cookies) == (5, {})
    assert router.allow_relation(None, None) is True


@calls("send_invoice")
def test_a_task_is_tried_again_when_the_pool_is_exhausted(block: Block) -> None:
    tried: list[int] = []

    def once_refused() -> None:
        tried.append(1)
        if len(tried) == 1:
            raise pooled_db.PoolTimeout("default", Reason.TIMEOUT, 5.0, 10, 10, 3)

    with celery.Celery("documented", broker="memory://", set_as_current=True) as app:
        app.set_default()
        text = block.text.replace(": ...", ": once_refused()")
        block = dataclasses.replace(block, text=text)
        # Celery keeps by name what whoever else ran this block has registered.
        names = run(block, __name__="invoices", once_refused=once_refused)
        result = names["send_invoice"].apply((7,))

    assert (result.state, len(tried)) == ("SUCCESS", 2)


@calls("receive_json", "store")
def test_a_consumer_gives_its_connection_back(block: Block) -> None:
    testing: Any = pytest.importorskip("channels.testing")
    chat = filled(block)["Chat"]

    async def talk() -> None:
        communicator = testing.WebsocketCommunicator(chat.as_asgi(), "/chat")
        assert await communicator.connect() == (True, None)
        await communicator.send_json_to({"text": "hello"})
        await communicator.disconnect()

    asyncio.run(talk())

    assert (pooled_db.stats()["default"].checkouts, in_use()) == (1, 0)


@pytest.fixture
def shop() -> Iterator[None]:
    """A project as the example takes one for granted."""
    made = {
        name: types.ModuleType(name) for name in ("shop", "shop.views", "shop.urls")
    }
    made["shop"].views = made["shop.views"]  # type: ignore[attr-defined]
    views: Any = made["shop.views"]
    views.events = lambda request: HttpResponse("events")
    urls: Any = made["shop.urls"]
    urls.urlpatterns = [path("", lambda request: views.events(request))]
    with importable(made), override_settings(ROOT_URLCONF="shop.urls"):
        yield


@pytest.mark.django_db
@pytest.mark.usefixtures("shop")
@calls("test_the_list_is_refused_politely")
def test_a_documented_test_passes(block: Block) -> None:
    case = run(block)["Busy"]("test_the_list_is_refused_politely")

    result = unittest.TestResult()
    case(result)

    assert (result.testsRun, result.errors, result.failures) == (1, [], [])
