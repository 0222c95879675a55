"""The application, made of settings, database and API."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.types import Lifespan

from todo import __version__
from todo.api import health, pages, sync, tasks
from todo.api.authentication import load_identify_owner
from todo.api.dependencies import IdentifyOwner, State, trust_path
from todo.api.document import INFO, DocumentedApi
from todo.api.large_responses import LargeResponses
from todo.api.middleware import Cors, HeadAsGet, RequestContext, TargetRules, UnexpectedErrors
from todo.api.problems import answer_errors
from todo.api.unmatched import answer_unmatched
from todo.database.engine import Database
from todo.database.urls import DatabaseUrl
from todo.errors import TodoError
from todo.settings import Settings


def create_app(settings: Settings, database_url: DatabaseUrl, identify_owner: IdentifyOwner | None = None) -> FastAPI:
    """Make the application on the database at `database_url`; nothing is connected before its lifespan begins.

    `identify_owner` is the FastAPI dependency that identifies the owner of a request: by default the one that the
    settings name, else `trust_path`. Raises BadSetting.
    """
    if identify_owner is None:
        identify_owner = load_identify_owner(settings.identify_owner) if settings.identify_owner else trust_path
    app = DocumentedApi(
        **INFO,
        version=__version__,
        servers=[{"url": settings.public_url or "/"}],
        lifespan=_make_lifespan(settings, database_url),
        # Not `include_router`, which would match a path twice.
        routes=[
            *tasks.make_router(identify_owner).routes,
            *sync.make_router(identify_owner).routes,
            *health.router.routes,
            *(pages.ROUTES if settings.docs else ()),
        ],
        telemetry={"tracing": False, "metrics": False, "logs": False},  # nothing reads it
        redirect_slashes=False,
        openapi_url=None,  # FastAPI's own pages load scripts from elsewhere
        middleware=[
            Middleware(RequestContext),
            Middleware(Cors, settings.cors_origins, allow_loopback=settings.is_embedded),
            Middleware(LargeResponses),
            Middleware(HeadAsGet),
            Middleware(TargetRules, settings.allowed_hosts, settings.public_url, only_loopback=settings.is_embedded),
            Middleware(UnexpectedErrors),
        ],
    )
    answer_errors(app)
    answer_unmatched(app)
    return app


def _make_lifespan(settings: Settings, database_url: DatabaseUrl) -> Lifespan[FastAPI]:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[State]:
        database = Database(
            database_url,
            pool_size=settings.pool_size,
            pool_timeout_seconds=settings.pool_timeout_seconds,
            deadline_seconds=settings.deadline_seconds,
            prepared_statements=settings.prepared_statements,
        )
        # In the background: a database that is slow to answer must not hold up the start.
        first_contact = asyncio.create_task(_make_first_contact(database), name="first contact")
        try:
            yield State(
                database=database,
                max_body_bytes=settings.max_body_bytes,
                deadline_seconds=settings.deadline_seconds,
            )
        finally:
            first_contact.cancel()
            await asyncio.wait([first_contact])
            await database.close()

    return lifespan


async def _make_first_contact(database: Database) -> None:
    with suppress(TodoError):  # already logged
        await database.ping()
