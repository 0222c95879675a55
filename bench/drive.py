"""Drives a contender's application in this process, one request after another, and says what CPU time it took.

A child of the bench: it takes a JSON document a line from standard input, and answers each with one on standard output.
"""

import asyncio
import json
import os
import sys
import time
from typing import Any

import uvloop
from bench.contenders import load_app
from bench.operations import OPERATIONS, Request
from granian.asgi import LifespanProtocol
from starlette.types import ASGIApp, Message, Scope

OPERATIONS_BY_NAME = {operation.name: operation for operation in OPERATIONS}


class Exchange:
    """A request and its answer, as a server would have them."""

    __slots__ = ("_has_body", "_request", "body", "headers", "scope", "status")

    def __init__(self, request: Request, state: dict[str, Any]) -> None:
        self.scope = make_scope(request, state)
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = b""
        self._request = request
        self._has_body = True

    async def receive(self) -> Message:
        """Give the body; whoever asks again waits for the client to go, which it does not."""
        if not self._has_body:
            await asyncio.get_running_loop().create_future()
        self._has_body = False
        return {"type": "http.request", "body": self._request.body, "more_body": False}

    async def send(self, message: Message) -> None:
        """Take a part of the answer."""
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], message["headers"]
        else:
            self.body += message.get("body", b"")


def make_scope(request: Request, state: dict[str, Any]) -> Scope:
    """Make the scope that granian would make."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "scheme": "http",
        "server": ("127.0.0.1", 8000),
        "client": ("127.0.0.1", 50000),
        "root_path": "",
        "method": request.method,
        "path": request.path,
        "raw_path": request.path.encode(),
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in request.headers.items()],
        "extensions": {},
        "state": state.copy(),
    }


async def measure(app: ASGIApp, exchanges: list[Exchange], status: int) -> dict[str, float]:
    """Put the requests to the application, and measure the CPU time of this process."""
    began, cpu_began = time.perf_counter(), time.process_time()
    for exchange in exchanges:
        await app(exchange.scope, exchange.receive, exchange.send)
    cpu, seconds = time.process_time() - cpu_began, time.perf_counter() - began
    if wrong := {exchange.status for exchange in exchanges} - {status}:
        raise RuntimeError(f"answered {wrong} instead of {status}")
    return {"cpu_us": cpu / len(exchanges) * 1e6, "rate": len(exchanges) / seconds}


async def handle(app: ASGIApp, state: dict[str, Any], order: dict[str, Any]) -> object:
    """Carry out an order: what is answered to one request, or what many cost."""
    operation = OPERATIONS_BY_NAME[order["operation"]]
    requests = [operation.make_request(order["user_id"], number) for number in range(order["start"], order["stop"])]
    exchanges = [Exchange(request, state) for request in requests]
    if order["is_measured"]:
        return await measure(app, exchanges, operation.status)
    [exchange] = exchanges
    await app(exchange.scope, exchange.receive, exchange.send)
    headers = {name.decode().lower(): value.decode() for name, value in exchange.headers}
    return [exchange.status, headers.get("content-type", ""), exchange.body.decode()]


def main() -> None:
    """Carry out orders until there are no more."""
    app = load_app(sys.argv[1], os.environ["DATABASE_URL"], os.environ["TODO_LOG_LEVEL"])
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        lifespan = LifespanProtocol(app)
        runner.run(lifespan.startup())
        for line in sys.stdin:
            print(json.dumps(runner.run(handle(app, lifespan.state, json.loads(line)))), flush=True)
        runner.run(lifespan.shutdown())


if __name__ == "__main__":
    main()
