"""An application of one's own that has the API of tasks under /todo: `uvicorn mounted:app`, with DATABASE_URL set."""

import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI

from todo.app import create_app
from todo.database.urls import read_database_url
from todo.settings import read_settings

settings = read_settings()
if settings.database_url is None:
    sys.exit("DATABASE_URL is not set")
tasks = create_app(settings, read_database_url(settings.database_url.get_secret_value()))


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[Mapping[str, Any]]:
    """Run the lifespan of the mounted application, which FastAPI does not, and give its state to every request."""
    async with tasks.router.lifespan_context(tasks) as state:
        yield state or {}


app = FastAPI(lifespan=lifespan)
app.mount("/todo", tasks)


@app.get("/hello")
async def greet() -> str:
    """Answer a request that has nothing to do with tasks."""
    return "Hello"
