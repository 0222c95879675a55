"""The API's own pages: its OpenAPI document, and Swagger UI, which shows it and loads nothing from anywhere else.

Their handlers are plain functions, which Starlette runs in a thread, and read what they send when it is asked for: to a
worker that nobody asks, the pages cost nothing.
"""

import re
from base64 import b64encode
from collections.abc import Callable, Iterator
from hashlib import sha256
from importlib.resources import files
from typing import Any
from urllib.parse import urlsplit

import orjson
from fastapi import Request, Response
from fastapi.openapi.docs import get_swagger_ui_oauth2_redirect_html
from fastapi.responses import RedirectResponse
from starlette.routing import Route

from todo.api.headers import hash_etag, read_if_none_match
from todo.errors import NoSuchResource

# Addresses are relative, so that the pages work behind a proxy that adds a path, and where the application is mounted.
PAGE = b"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Todo backend</title>
<link rel="icon" href="docs/favicon-32x32.png">
<link rel="stylesheet" href="docs/swagger-ui.css">
<script src="docs/swagger-ui-bundle.js" defer></script>
<script src="docs/start.js" defer></script>
</head>
<body>
<div id="swagger-ui"></div>
</body>
</html>
"""
START = b"""SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  showCommonExtensions: true,
  validatorUrl: null,
  oauth2RedirectUrl: new URL("docs/oauth2-redirect", document.baseURI).href,
});
"""
ASSETS = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css", "favicon-32x32.png": "image/png"}
NOTHING_ELSE = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
# Swagger UI's images are data within its style sheet.
PAGE_POLICY = f"{NOTHING_ELSE}; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'"

_SCRIPT = re.compile(rb"<script>(.*?)</script>", re.DOTALL)


def show_document(request: Request) -> Response:
    """Return the OpenAPI document, with the path at which the application is mounted, if it is."""
    document = request.app.openapi()
    if request.scope.get("root_path") and document["servers"] == [{"url": "/"}]:
        document = {**document, "servers": [{"url": request.scope["root_path"]}]}
    return _answer(request, orjson.dumps(document), "application/json")


def show_page(request: Request) -> Response:
    """Return the page of Swagger UI, which may also connect to where a security scheme gets its tokens."""
    token_urls = _find_addresses(request, "tokenUrl", "refreshUrl", "openIdConnectUrl")
    parts = [urlsplit(url) for url in token_urls]
    origins = sorted({f"{part.scheme}://{part.netloc}" for part in parts if part.netloc})
    return _answer(request, PAGE, "text/html", " ".join([PAGE_POLICY, *origins]))


def show_start(request: Request) -> Response:
    """Return the script that starts Swagger UI."""
    return _answer(request, START, "text/javascript")


def show_oauth2_redirect(request: Request) -> Response:
    """Return the page to which an authorization server sends a browser back.

    Raises NoSuchResource unless a security scheme has such a server.
    """
    if not any(_find_addresses(request, "authorizationUrl", "openIdConnectUrl")):
        raise NoSuchResource
    page = bytes(get_swagger_ui_oauth2_redirect_html().body)
    hashes = [f"'sha256-{b64encode(sha256(script).digest()).decode()}'" for script in _SCRIPT.findall(page)]
    return _answer(request, page, "text/html", " ".join([NOTHING_ELSE + "; script-src", *hashes]))


def redirect_to_page(_: Request) -> Response:
    """Lead a browser from the root to the page."""
    return RedirectResponse("docs")


def _show_asset(name: str, media_type: str) -> Callable[[Request], Response]:
    def show(request: Request) -> Response:
        return _answer(request, files("fastapi_swagger").joinpath("resources", name).read_bytes(), media_type)

    return show


def _find_addresses(request: Request, *names: str) -> Iterator[str]:
    """Yield the members of these names of the document's security schemes and their OAuth 2 flows."""
    schemes: dict[str, Any] = request.app.openapi()["components"].get("securitySchemes", {})
    for scheme in schemes.values():
        for part in (scheme, *scheme.get("flows", {}).values()):
            yield from (part[name] for name in names if name in part)


def _answer(request: Request, body: bytes, media_type: str, policy: str | None = None) -> Response:
    known, etag = read_if_none_match(request), hash_etag(body)
    headers = {"ETag": etag} | ({"Content-Security-Policy": policy} if policy else {})
    if known is None or etag in known:
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type=media_type)


ROUTES = [
    Route("/", redirect_to_page),
    Route("/openapi.json", show_document),
    Route("/docs", show_page),
    Route("/docs/start.js", show_start),
    Route("/docs/oauth2-redirect", show_oauth2_redirect),
    *(Route(f"/docs/{name}", _show_asset(name, media_type)) for name, media_type in ASSETS.items()),
]
