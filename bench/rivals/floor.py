"""Nothing but ASGI, psycopg and orjson."""

import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from time import perf_counter
from typing import Any

import orjson
from bench.rivals import sql
from bench.rivals.pool import Pool
from starlette.types import ASGIApp, Receive, Scope, Send
from uuid_utils.compat import uuid7

OPTIONS = orjson.OPT_UTC_Z
JSON = (b"content-type", b"application/json")


def create_app(database_url: str, log_level: str) -> ASGIApp:
    """Make the application."""
    return Floor(Pool(database_url), is_logging=log_level == "info")


class Floor:
    """An ASGI application that does what is asked and no more."""

    def __init__(self, pool: Pool, *, is_logging: bool) -> None:
        self._pool = pool
        self._is_logging = is_logging

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        started = perf_counter()
        status, body = await self._answer(scope, receive)
        headers = [(b"content-length", str(len(body)).encode()), JSON] if body else []
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})
        if self._is_logging:
            line = {
                "time": datetime.now(UTC),
                "level": "INFO",
                "method": scope["method"],
                "path": scope["path"],
                "status": status,
                "duration_ms": round((perf_counter() - started) * 1000, 1),
            }
            sys.stderr.buffer.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
            sys.stderr.buffer.flush()

    async def _live(self, receive: Receive, send: Send) -> None:
        while (await receive())["type"] != "lifespan.shutdown":
            await self._pool.open()
            await send({"type": "lifespan.startup.complete"})
        await self._pool.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def _answer(  # noqa: PLR0911 - one for each route
        self, scope: Scope, receive: Receive
    ) -> tuple[int, bytes]:
        user_id, _, *rest = scope["path"].removeprefix("/api/").split("/")
        base_url = f"http://{_find_host(scope)}"
        parameters: dict[str, Any] = {"user_id": user_id, "task_id": rest[0] if rest else None}
        match scope["method"], rest:
            case "GET", []:
                rows = await self._pool.fetch(sql.LIST, parameters)
                return 200, orjson.dumps([sql.make_task(row, base_url) for row in rows], option=OPTIONS)
            case "POST", []:
                parameters |= {"task_id": uuid7(), **sql.make_parameters(await _read_body(receive))}
                return await self._write_one(201, base_url, sql.CREATE, parameters)
            case "GET", [_]:
                return await self._write_one(200, base_url, sql.READ, parameters)
            case "PATCH", [_]:
                parameters |= sql.make_parameters(await _read_body(receive))
                return await self._write_one(200, base_url, sql.UPDATE, parameters)
            case "PATCH", [_, "complete"]:
                return await self._write_one(200, base_url, sql.TOGGLE, parameters)
            case "DELETE", [_]:
                return (204 if await self._pool.fetch(sql.DELETE, parameters) else 404), b""
        return 404, b""

    async def _write_one(
        self, status: int, base_url: str, statement: str, parameters: Mapping[str, Any]
    ) -> tuple[int, bytes]:
        rows = await self._pool.fetch(statement, parameters)
        return (status, orjson.dumps(sql.make_task(rows[0], base_url), option=OPTIONS)) if rows else (404, b"")


def _find_host(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"host":
            return str(value.decode())
    return ""


async def _read_body(receive: Receive) -> Mapping[str, Any]:
    body = b""
    has_more = True
    while has_more:
        message = await receive()
        body += message["body"]
        has_more = message["more_body"]
    members: dict[str, Any] = orjson.loads(body)
    return members
