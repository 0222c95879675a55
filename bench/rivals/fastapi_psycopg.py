"""FastAPI reads and checks the requests; psycopg and orjson do the rest."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import orjson
from bench.rivals import sql
from bench.rivals.access_log import AccessLog, configure_logging
from bench.rivals.pool import Pool
from fastapi import FastAPI, HTTPException, Request, Response
from pydantic import BaseModel
from starlette.types import ASGIApp
from uuid_utils.compat import uuid7


class TaskCreate(BaseModel):
    """A new task."""

    title: str
    description: str | None = None
    completed: bool = False
    due_at: datetime | None = None
    priority: Literal["low", "medium", "high"] | None = None
    tags: list[str] = []
    order: int | None = None


class TaskUpdate(TaskCreate):
    """A change to a task."""

    title: str = ""


def create_app(database_url: str, log_level: str) -> ASGIApp:
    """Make the application."""
    configure_logging(log_level)
    pool = Pool(database_url)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await pool.open()
        yield
        await pool.close()

    app = FastAPI(lifespan=lifespan)
    add_routes(app, pool)
    return AccessLog(app)


def add_routes(app: FastAPI, pool: Pool) -> None:
    """Add the routes."""

    async def answer_one(request: Request, status: int, statement: str, parameters: Mapping[str, Any]) -> Response:
        rows = await pool.fetch(statement, parameters)
        if not rows:
            raise HTTPException(404)
        return answer(sql.make_task(rows[0], find_base_url(request)), status)

    @app.get("/api/{user_id}/tasks")
    async def list_tasks(request: Request, user_id: str) -> Response:
        base_url = find_base_url(request)
        return answer([sql.make_task(row, base_url) for row in await pool.fetch(sql.LIST, {"user_id": user_id})])

    @app.post("/api/{user_id}/tasks")
    async def create_task(request: Request, user_id: str, task: TaskCreate) -> Response:
        parameters = {"user_id": user_id, "task_id": uuid7(), **sql.make_parameters(task.model_dump())}
        return await answer_one(request, 201, sql.CREATE, parameters)

    @app.get("/api/{user_id}/tasks/{task_id}")
    async def read_task(request: Request, user_id: str, task_id: UUID) -> Response:
        return await answer_one(request, 200, sql.READ, {"user_id": user_id, "task_id": task_id})

    @app.patch("/api/{user_id}/tasks/{task_id}")
    async def update_task(request: Request, user_id: str, task_id: UUID, changes: TaskUpdate) -> Response:
        members = changes.model_dump(exclude_unset=True)
        parameters = {"user_id": user_id, "task_id": task_id, **sql.make_parameters(members)}
        return await answer_one(request, 200, sql.UPDATE, parameters)

    @app.patch("/api/{user_id}/tasks/{task_id}/complete")
    async def toggle_task(request: Request, user_id: str, task_id: UUID) -> Response:
        return await answer_one(request, 200, sql.TOGGLE, {"user_id": user_id, "task_id": task_id})

    @app.delete("/api/{user_id}/tasks/{task_id}")
    async def delete_task(user_id: str, task_id: UUID) -> Response:
        if not await pool.fetch(sql.DELETE, {"user_id": user_id, "task_id": task_id}):
            raise HTTPException(404)
        return Response(status_code=204)


def find_base_url(request: Request) -> str:
    """Find the address at which this service was called."""
    return f"http://{request.headers['host']}"


def answer(content: object, status: int = 200) -> Response:
    """Answer in JSON."""
    body = orjson.dumps(content, option=orjson.OPT_UTC_Z)
    return Response(body, status_code=status, media_type="application/json")
