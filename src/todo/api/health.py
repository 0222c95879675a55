"""The routes of health: liveness and readiness."""

from fastapi import APIRouter, Request
from pydantic import BaseModel

from todo.api.operations import CHECK_LIVENESS, CHECK_READINESS
from todo.api.routes import StrictRoute, name_operation
from todo.database.engine import Database

router = APIRouter(
    prefix="/health",
    tags=["health"],
    route_class=StrictRoute,
    generate_unique_id_function=name_operation,
)


class Health(BaseModel):
    """The status of the service."""

    status: str


@router.get("/live", **CHECK_LIVENESS)
async def check_liveness() -> Health:
    """Answer 200 while the process runs; the database is not asked."""
    return Health(status="live")


@router.get("/ready", **CHECK_READINESS)
async def check_readiness(request: Request) -> Health:
    """Answer 200 while the database is available; it is asked only if the last contact with it failed."""
    database: Database = request.state.database
    if not database.is_ready:
        await database.ping()
    return Health(status="ready")
