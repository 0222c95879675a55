"""The function that TODO_IDENTIFY_OWNER names, imported and checked."""

import pkgutil
import sys
import traceback
from contextlib import redirect_stdout
from pathlib import Path

from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import get_dependant

from todo.api.dependencies import IdentifyOwner
from todo.errors import BadSetting


def load_identify_owner(name: str) -> IdentifyOwner:
    """Import `package.module:function`, which must be a FastAPI dependency; the working folder is searched first.

    Raises BadSetting.
    """
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        with redirect_stdout(sys.stderr):  # that of `todo openapi` is a document
            function: IdentifyOwner = pkgutil.resolve_name(name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - a module may raise anything while it is imported
        raise BadSetting(f"TODO_IDENTIFY_OWNER: {_describe(error)}") from None
    try:
        dependant = get_dependant(path="/api/{user_id}/tasks", call=function)
    except Exception:  # noqa: BLE001 - FastAPI raises errors of several types
        raise BadSetting("TODO_IDENTIFY_OWNER: is not a FastAPI dependency") from None
    if _reads_body(dependant):
        raise BadSetting("TODO_IDENTIFY_OWNER: the function must not declare a request body")
    return function


def _describe(error: BaseException) -> str:
    if isinstance(error, ImportError | AttributeError | SyntaxError):
        return str(error)
    # The message of any other error may contain a secret.
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.name == "<module>"]
    return type(error).__name__ + "".join(f" at {frame.filename}, line {frame.lineno}" for frame in frames[-1:])


def _reads_body(dependant: Dependant) -> bool:
    return bool(dependant.body_params) or any(map(_reads_body, dependant.dependencies))
