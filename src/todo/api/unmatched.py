"""Requests that no route matches: the path does not exist, or does not have the method."""

from collections import defaultdict
from collections.abc import Collection
from http import HTTPStatus

from fastapi import FastAPI, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from todo.errors import MethodNotAllowed, NoSuchResource


class OtherMethods:
    """Answers the methods that the routes of a path do not have: OPTIONS, and all that are not allowed.

    `Allow` has the methods of every route of the path (RFC 9110, section 10.2.1); the router itself would name those of
    the first one.
    """

    def __init__(self, path: str, methods: Collection[str]) -> None:
        self.path_format = path
        added = {"HEAD", "OPTIONS"} if "GET" in methods else {"OPTIONS"}
        self._headers = {"Allow": ", ".join(sorted({*methods, *added}))}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        scope["route"] = self  # for the log
        if scope["method"] != "OPTIONS":
            raise MethodNotAllowed(headers=self._headers)
        await Response(status_code=HTTPStatus.NO_CONTENT, headers=self._headers)(scope, receive, send)


async def refuse_path(_scope: Scope, _receive: Receive, _send: Send) -> None:
    """Refuse a request for a path that does not exist."""
    raise NoSuchResource


def answer_unmatched(app: FastAPI) -> None:
    """Make the application answer requests that none of its routes matches; call this once it has all of them."""
    methods: defaultdict[str, set[str]] = defaultdict(set)
    for route in app.routes:
        if isinstance(route, Route):
            methods[route.path] |= route.methods or set()
    for path, found in methods.items():
        app.router.routes.append(Route(path, OtherMethods(path, found), include_in_schema=False))
    app.router.default = refuse_path
