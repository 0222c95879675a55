"""Middleware: request ids, log lines, common headers, CORS, hosts, HEAD, unexpected errors.

Pure ASGI: nothing here buffers a body or starts a task.
"""

import logging
import re
from collections.abc import Collection, Sequence
from http import HTTPStatus
from time import perf_counter
from urllib.parse import quote

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uuid_utils import uuid4

from todo.api.problems import answer
from todo.errors import InternalError, MalformedRequest, NoSuchResource, TodoError
from todo.models.fields import USER_ID_LENGTH
from todo.settings import read_host

ENCODED_SLASH = re.compile(rb"%(2f|5c)|\\", re.IGNORECASE)
AUTHORITY = re.compile(r"(?P<host>[^:]*|\[[^]]*\])(?::(?P<port>[0-9]{0,5}))?")  # RFC 3986, section 3.2
LAST_PORT = 65_535
PATH_CHARACTERS = "/!$&'()*+,;=:@"  # besides those that are never encoded (RFC 3986, section 3.3)
REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")
# W3C Trace Context, section 3.2: neither id is all zeros, and only versions after 00 may be longer.
TRACEPARENT = re.compile(
    rb"(?!ff|00.{54})[0-9a-f]{2}-(?!0{32})(?P<trace_id>[0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?"
)

LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "[::1]")
LOOPBACK_ORIGIN = r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?"
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
REQUEST_HEADERS = [
    "Authorization", "Content-Type", "If-Match", "If-None-Match", "Idempotency-Key", "X-Request-ID",
    "traceparent", "tracestate", "baggage",  # which tracing in a browser sends unasked
]  # fmt: skip
EXPOSED_HEADERS = [
    "ETag", "Link", "Location", "X-Request-ID", "Idempotent-Replayed", "Retry-After", "Allow", "Accept-Patch", "Date",
]  # fmt: skip
PREFLIGHT_SECONDS = 600
CACHEABLE = {HTTPStatus.OK, HTTPStatus.NOT_MODIFIED}

_log = logging.getLogger(__name__)


class RequestContext:
    """Gives each request an id, the client's own if that is valid, and a line in the log; adds the common headers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        sent_id = traceparent = b""
        for name, value in scope["headers"]:
            if name == b"x-request-id":
                sent_id = sent_id or value
            elif name == b"traceparent":
                traceparent = value
        raw_id = sent_id if REQUEST_ID.fullmatch(sent_id) else str(uuid4()).encode()
        request_id = raw_id.decode()
        scope["state"]["request_id"] = request_id
        method, path = scope["method"], _find_path(scope)
        started, status = perf_counter(), 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                # No route sets any of these.
                headers = message["headers"]
                headers += [
                    (b"x-request-id", raw_id),
                    (b"x-content-type-options", b"nosniff"),
                    (b"cache-control", _find_caching(method, path, status)),
                ]
                if status >= HTTPStatus.BAD_REQUEST and _has_unread_body(scope):
                    headers.append((b"connection", b"close"))
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        finally:
            _log_request(scope, method, status, perf_counter() - started, traceparent)


class Cors(CORSMiddleware):
    """Starlette's CORS, except that a preflight request from a foreign origin gets an empty 204.

    Starlette would answer with an error in plain text; a browser looks at the headers alone. It would also name each
    header of the request in `Vary`, which means nothing on an answer that no cache keeps.
    """

    def __init__(self, app: ASGIApp, origins: Sequence[str], *, allow_loopback: bool) -> None:
        super().__init__(
            app,
            allow_origins=origins,
            allow_origin_regex=LOOPBACK_ORIGIN if allow_loopback else None,
            allow_methods=METHODS,
            allow_headers=REQUEST_HEADERS,
            expose_headers=EXPOSED_HEADERS,
            max_age=PREFLIGHT_SECONDS,
        )

    def preflight_response(self, request_headers: Headers) -> Response:
        """Answer a preflight request."""
        response = super().preflight_response(request_headers)
        if response.status_code != HTTPStatus.OK:
            response = Response(status_code=HTTPStatus.NO_CONTENT)
        response.headers["Vary"] = "Origin"
        return response


class TargetRules:
    """Refuses requests for a foreign host, and paths with an encoded slash.

    The path is decoded before it is routed, so that `/api/a%2Ftasks` would be the list of the user `a`. `allowed_hosts`
    are names without a port; none means any, or with `only_loopback` those of this machine, since a page from anywhere
    can reach a developer's machine through a name that resolves to it. Health routes allow any host: probes use none in
    particular. Every other request gets its `base_url`: the public URL, or the scheme and `Host` of the request, and
    where the application is mounted.
    """

    def __init__(
        self, app: ASGIApp, allowed_hosts: Collection[str], public_url: str | None, *, only_loopback: bool
    ) -> None:
        self._app = app
        self._allowed_hosts = frozenset(allowed_hosts or (LOOPBACK_HOSTS if only_loopback else ()))
        self._public_url = public_url

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        error = self._check(scope) if scope["type"] == "http" else None
        if error:
            await answer(error, scope["state"]["request_id"])(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _check(self, scope: Scope) -> TodoError | None:
        if ENCODED_SLASH.search(scope["raw_path"]):
            return NoSuchResource()
        if _find_path(scope).startswith("/health/"):
            return None
        hosts = Headers(scope=scope).getlist("host")
        authority = self._read_authority(hosts[0]) if len(hosts) == 1 else None
        if authority is None:
            return MalformedRequest("The Host header is malformed or not allowed.")
        mount = quote(scope["root_path"], safe=PATH_CHARACTERS) if scope.get("root_path") else ""
        scope["state"]["base_url"] = self._public_url or f"{scope['scheme']}://{authority}{mount}"
        return None

    def _read_authority(self, header: str) -> str | None:
        """Return a `Host` as it stands in a URL, or None where it is malformed or foreign."""
        match = AUTHORITY.fullmatch(header)
        host = read_host(match["host"]) if match else None
        if not match or host is None or (self._allowed_hosts and host not in self._allowed_hosts):
            return None
        if not match["port"]:  # an empty port is the same as none
            return match["host"]
        return header if int(match["port"]) <= LAST_PORT else None


class HeadAsGet:
    """Answers HEAD wherever GET is answered, with its headers and without its body (RFC 9110, section 9.3.2)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def send_without_body(message: Message) -> None:
            scope["method"] = "HEAD"  # else uvicorn expects as many bytes as Content-Length says
            if message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        scope["method"] = "GET"
        await self._app(scope, receive, send_without_body)


class UnexpectedErrors:
    """Answers unexpected errors with a 500; inside CORS, so that a browser can read it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        has_started = False

        async def watch(message: Message) -> None:
            nonlocal has_started
            has_started = True
            await send(message)

        try:
            await self._app(scope, receive, watch)
        except Exception:
            if scope["type"] != "http" or has_started:
                raise
            request_id = scope["state"]["request_id"]
            _log.exception("Request %s failed", request_id)
            await answer(InternalError(), request_id)(scope, receive, send)


def _find_path(scope: Scope) -> str:
    """Return the path of a request within this application, which may be mounted in another."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))


def _find_caching(method: str, path: str, status: int) -> bytes:
    """Return the `Cache-Control` of a response: what was read may be kept, and is asked for before it is used again.

    But not what is about one moment: the state of health, and changes, each page of which has a new position.
    """
    is_of_a_moment = path.startswith("/health/") or path.endswith("/tasks/changes")
    if status not in CACHEABLE or method not in {"GET", "HEAD"} or is_of_a_moment:
        return b"no-store"
    return b"private, no-cache" if path.startswith("/api/") else b"no-cache"


def _has_unread_body(scope: Scope) -> bool:
    """Return whether a body is left unread, with which the server ends the connection: clients must not reuse it."""
    headers = Headers(scope=scope)
    has_body = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
    return has_body and "is_body_read" not in scope["state"]


def _log_request(scope: Scope, method: str, status: int, seconds: float, traceparent: bytes) -> None:
    """Log the route and not the path, which repeats the user id."""
    route = getattr(scope.get("route"), "path_format", "-")
    facts = {
        "method": method,
        "route": route,
        "status": status,
        "duration_ms": round(seconds * 1000, 1),
        "request_id": scope["state"]["request_id"],
        "user_id": scope.get("path_params", {}).get("user_id", "-")[:USER_ID_LENGTH],
    }
    if traceparent and (trace := TRACEPARENT.fullmatch(traceparent)):
        facts["trace_id"] = trace["trace_id"].decode()
    _log.info("%(method)s %(route)s %(status)s %(duration_ms)s ms %(request_id)s %(user_id)s", facts)
