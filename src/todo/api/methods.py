"""Which methods a path has: the router itself names only those of the first route that matches."""

from collections import defaultdict
from collections.abc import Sequence

from fastapi import FastAPI
from starlette.routing import Route, compile_path


class AllowedMethods:
    """The methods of every path of an application."""

    def __init__(self, app: FastAPI) -> None:
        methods: defaultdict[str, set[str]] = defaultdict(set)
        for route in app.routes:
            if isinstance(route, Route):
                methods[route.path] |= route.methods or set()
        self._paths = [(compile_path(path)[0], _sort(found)) for path, found in methods.items()]

    def at(self, path: str) -> str:
        """Return the value of `Allow` (RFC 9110, section 10.2.1) for a path, empty where there is none."""
        return next((", ".join(methods) for regex, methods in self._paths if regex.match(path)), "")


def _sort(methods: set[str]) -> Sequence[str]:
    return sorted(methods | ({"HEAD", "OPTIONS"} if "GET" in methods else {"OPTIONS"}))
