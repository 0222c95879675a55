"""Routes that are stricter than FastAPI's about parameters, JSON and media types."""

from collections.abc import Awaitable, Callable, Collection
from typing import ClassVar

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel

from todo.api.bodies import read_json
from todo.api.parameters import check_parameters, find_parameters


def name_operation(route: APIRoute) -> str:
    """Return the `operationId` of a route: the name of its function."""
    return route.name


class StrictRoute(APIRoute):
    """A route that refuses unknown parameters, and bodies that are not strictly JSON."""

    ignored: ClassVar[Collection[str]] = ()  # query parameters that are accepted, and that its document leaves out

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]  # wider is enough
        """Wrap the handler that FastAPI makes."""
        handle = super().get_route_handler()
        members = _find_members(self.body_field.field_info.annotation) if self.body_field else None
        parameters = dict.fromkeys(self.ignored, True) | find_parameters(self.dependant, self.openapi_extra or {})

        async def handle_strictly(request: Request) -> Response:
            check_parameters(request, parameters)
            return await handle(request if members is None else await read_json(request, members))

        return handle_strictly


def _find_members(model: object) -> frozenset[str]:
    """Return the names of the members that a body may have."""
    assert isinstance(model, type)  # noqa: S101 - every body is a model
    assert issubclass(model, BaseModel)  # noqa: S101
    return frozenset(model.model_fields) | set(getattr(model, "ignored", ()))
