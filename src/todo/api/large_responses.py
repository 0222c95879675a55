"""Large responses: sent in chunks, and limited in what all of them hold in memory."""

import asyncio
import logging
from collections import Counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from todo.api.problems import answer
from todo.errors import OutcomeUnknown, Overloaded

# The size of a chunk; a longer response is sent in chunks.
CHUNK_BYTES = 65_536
# The time in which a client must read a large response.
RESPONSE_SECONDS = 60
# What a worker holds of large responses that their clients have not read, in all and for one user.
RESPONSES_BYTES = 64 * 1024 * 1024
RESPONSES_BYTES_PER_USER = RESPONSES_BYTES // 4

READS = frozenset({"GET", "HEAD"})
UNSAID = "The change has been made, but too many large responses wait for slow clients to say how; read again."

_log = logging.getLogger(__name__)


class LargeResponses:
    """Sends large responses in chunks, and limits what all of them hold in memory.

    granian keeps what it was given until the client has read it, without any limit, but accepts the next chunk only
    then. A large response beyond the limit, or its user's part of that, is a 503. Small ones pass through. A write has
    been committed by then, so its 503 is another: the only large responses to writes are those to batches.
    """

    def __init__(self, app: ASGIApp, response_seconds: float = RESPONSE_SECONDS) -> None:
        self._app = app
        self._response_seconds = response_seconds
        self._held: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start: Message = {}

        async def send_by_size(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                start = message  # kept until the size of the body is known
            elif len(message["body"]) <= CHUNK_BYTES:
                await send(start)
                await send(message)
            else:
                await self._send_large(start, message["body"], scope, receive, send)

        await self._app(scope, receive, send_by_size)

    async def _send_large(self, start: Message, body: bytes, scope: Scope, receive: Receive, send: Send) -> None:
        user_id = scope.get("path_params", {}).get("user_id", "")
        if not self._has_room(user_id, len(body)):
            error = Overloaded() if scope["method"] in READS else OutcomeUnknown(UNSAID)
            await answer(error, scope["state"]["request_id"])(scope, receive, send)
            return
        self._held[user_id] += len(body)
        try:
            async with asyncio.timeout(self._response_seconds):
                await send(start)
                for offset in range(0, len(body), CHUNK_BYTES):
                    chunk = body[offset : offset + CHUNK_BYTES]
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        except TimeoutError:
            _log.info("Request %s: its client did not read the response in time", scope["state"]["request_id"])
        finally:
            self._held[user_id] -= len(body)
            self._held += Counter()  # drops users with a count of 0

    def _has_room(self, user_id: str, size: int) -> bool:
        held = self._held[user_id]
        return self._held.total() + size <= RESPONSES_BYTES and (not held or held + size <= RESPONSES_BYTES_PER_USER)
