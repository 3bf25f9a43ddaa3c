"""The people of a sale, before a real site: all of them in one asyncio process.

`come(plan)` does this in a process of its own, so that it shares no interpreter with
what it visits. A page is asked for on a connection of its own, and whoever leaves
hangs up.
"""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from demo.rush.visit import Doing, Load, Page, Pause, Person, crowd
from tests.harness.load import Request, allow_many_sockets
from tests.harness.load_http import Answer, NoAnswer, connect

PROGRESS_EVERY = 0.25
TOKEN = b'name="csrfmiddlewaretoken" value="'

Progress = Callable[[Counter[Doing]], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """Who comes where: *people* within that many seconds, to one of *events*.

    They wait *patience* times as long as people do.
    """

    url: str
    people: int
    within: float
    events: int
    deaf: bool = False
    patience: float = 1.0
    seed: int = 1


@dataclass(slots=True)
class Seen:
    """What people did, in order of time: (seconds, number of the person, doing)."""

    people: int
    moments: list[tuple[float, int, Doing]] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)

    def dump(self) -> dict[str, Any]:
        moments = [(round(at, 3), who, doing.value) for at, who, doing in self.moments]
        return {"people": self.people, "moments": moments, "statuses": self.statuses}

    @classmethod
    def load(cls, told: dict[str, Any]) -> Seen:
        return cls(
            told["people"],
            [(at, who, Doing(doing)) for at, who, doing in told["moments"]],
            Counter({int(status): n for status, n in told["statuses"].items()}),
        )


class Crowd:
    """A plan being carried out inside the running event loop."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.seen = Seen(plan.people)
        self.clock = asyncio.get_running_loop().time
        self.began = self.clock()
        self.now: dict[int, Doing] = {}

    async def come(self, progress: Progress | None = None) -> Seen:
        allow_many_sockets()
        telling = asyncio.create_task(self.tell(progress)) if progress else None
        plan = self.plan
        people = crowd(
            plan.people,
            plan.within,
            plan.seed,
            deaf=plan.deaf,
            patience=plan.patience,
        )
        visits = [
            asyncio.create_task(self.visit(number, person))
            for number, person in enumerate(people)
        ]
        try:
            await asyncio.gather(*visits)
        finally:
            if telling:
                telling.cancel()
        return self.seen

    async def tell(self, progress: Progress) -> None:
        while True:
            await asyncio.sleep(PROGRESS_EVERY)
            progress(Counter(self.now.values()))

    def note(self, number: int, doing: Doing) -> None:
        self.now[number] = doing
        self.seen.moments.append((self.clock() - self.began, number, doing))

    async def visit(self, number: int, person: Person) -> None:
        await asyncio.sleep(self.began + person.arrives - self.clock())
        browser = Browser(self.plan, number)
        visit = person.visit()
        page: Page | None = None
        while True:
            try:
                step = visit.send(page)
            except StopIteration as end:
                self.note(number, end.value)
                return
            if isinstance(step, Pause):
                self.note(number, step.doing)
                await asyncio.sleep(step.seconds)
                page = None
            else:
                self.note(number, Doing.LOADING)
                page = await browser.load(step)
                self.seen.statuses[page.status or 0] += 1


class Browser:
    """Keeps what the list page's form needs, as a browser does."""

    def __init__(self, plan: Plan, number: int) -> None:
        parts = urlsplit(plan.url)
        assert parts.hostname is not None
        assert parts.port is not None
        self.address = parts.hostname, parts.port
        self.host = parts.netloc
        self.event = 1 + number % plan.events
        self.token = ""
        self.cookie = ""

    async def load(self, step: Load) -> Page:
        clock = asyncio.get_running_loop().time
        began = clock()
        try:
            answer = await asyncio.wait_for(self.exchange(step), step.patience)
        except asyncio.TimeoutError:
            return Page(None, clock() - began, late=True)
        except NoAnswer:
            return Page(None, clock() - began)
        if step.page == "list" and answer.status == 200:
            self.read_form(answer)
        retry_after = answer.header("Retry-After") if answer.status == 503 else None
        return Page(
            answer.status,
            clock() - began,
            retry_after=None if retry_after is None else float(retry_after),
        )

    async def exchange(self, step: Load) -> Answer:
        connection = await connect(*self.address)
        try:
            return await connection.exchange(self.message(step))
        finally:
            connection.transport.abort()

    def message(self, step: Load) -> bytes:
        accept = {"Accept": "text/html"}
        if step.page == "list":
            return Request("/", headers=accept).message(self.host, keepalive=False)
        return Request(
            f"/buy/{self.event}",
            method="POST",
            headers={
                **accept,
                "Cookie": self.cookie,
                "Content-Type": "application/x-www-form-urlencoded",
            },
            body=f"csrfmiddlewaretoken={self.token}",
        ).message(self.host, keepalive=False)

    def read_form(self, answer: Answer) -> None:
        _, _, rest = answer.body.partition(TOKEN)
        self.token = rest.partition(b'"')[0].decode()
        self.cookie = (answer.header("Set-Cookie") or "").partition(";")[0]


@contextmanager
def coming(plan: Plan) -> Iterator[subprocess.Popen[str]]:
    """Let people come in the background; they are gone at the end of the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", "demo.rush.crowd"],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        json.dump(asdict(plan), process.stdin)
        process.stdin.close()
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def come(plan: Plan, progress: Progress) -> Seen:
    """Let people come, from a process of their own, until the last has left."""
    with coming(plan) as process:
        assert process.stdout is not None
        for line in process.stdout:
            told = json.loads(line)
            if "seen" in told:
                return Seen.load(told["seen"])
            progress(Counter({Doing(doing): n for doing, n in told["now"].items()}))
        raise RuntimeError(f"the crowd ended with code {process.wait()} and no report")


def main() -> None:
    plan = Plan(**json.load(sys.stdin))
    gc.freeze()
    gc.set_threshold(100_000)

    def tell(now: Counter[Doing]) -> None:
        told = {doing.value: number for doing, number in now.items()}
        print(json.dumps({"now": told}), flush=True)

    async def carry_out() -> Seen:
        return await Crowd(plan).come(tell)

    print(json.dumps({"seen": asyncio.run(carry_out()).dump()}), flush=True)


if __name__ == "__main__":
    main()
