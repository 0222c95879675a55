"""What is held in responses that their clients have yet to read."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from todo.api.large_responses import CHUNK_BYTES, RESPONSES_BYTES, RESPONSES_BYTES_PER_USER, LargeResponses

LARGE = b"x" * (RESPONSES_BYTES_PER_USER // 2)


async def respond_largely(scope: Scope, receive: Receive, send: Send) -> None:
    """An application with one response, as long as the path says."""
    await Response(LARGE if scope["path"] == "/large" else b"small")(scope, receive, send)


class Client:
    """A client of the application, which takes what it is sent or does not."""

    def __init__(
        self, app: LargeResponses, user_id: str, *, method: str = "GET", path: str = "/large", takes: bool = False
    ) -> None:
        self.status = 0
        self.sizes: list[int] = []
        self.body = b""
        self.takes = asyncio.Event()
        if takes:
            self.takes.set()
        scope = {"type": "http", "path": path, "path_params": {"user_id": user_id}, "state": {"request_id": "r"}}
        self.request = asyncio.create_task(app({**scope, "method": method, "headers": []}, self.receive, self.send))

    async def receive(self) -> Message:
        """Send nothing."""
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(self, message: Message) -> None:
        """Take a chunk once it is time to."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            return
        self.sizes.append(len(message["body"]))
        self.body = message["body"]
        if len(message["body"]) == CHUNK_BYTES:
            await self.takes.wait()


@asynccontextmanager
async def unread(app: LargeResponses, *user_ids: str) -> AsyncIterator[list[Client]]:
    """Clients that each have a large response on its way, and read none of it."""
    clients = [Client(app, user_id) for user_id in user_ids]
    await asyncio.sleep(0)
    yield clients
    for client in clients:
        client.takes.set()
    await asyncio.gather(*(client.request for client in clients))


async def test_large_response_goes_chunk_by_chunk() -> None:
    """Each after the one before, and all of it in the end; a small one goes as it is."""
    app = LargeResponses(respond_largely)
    async with unread(app, "alice") as (client,):
        assert client.sizes == [CHUNK_BYTES]
    small = Client(app, "alice", path="/small", takes=True)
    await small.request

    assert client.sizes == [CHUNK_BYTES] * (len(LARGE) // CHUNK_BYTES) + [0]
    assert small.sizes == [5]


async def test_responses_that_are_not_read_leave_no_room_for_more() -> None:
    """The next large one is a 503, small ones are served, and all is as before once the clients have taken theirs."""
    app = LargeResponses(respond_largely)
    async with unread(app, *(str(number) for number in range(RESPONSES_BYTES // len(LARGE)))) as clients:
        late, small = Client(app, "late", takes=True), Client(app, "late", path="/small", takes=True)
        await asyncio.gather(late.request, small.request)
    again = Client(app, "late", takes=True)
    await again.request

    assert {client.status for client in clients} == {200}
    assert (late.status, small.status, again.status) == (503, 200, 200)


async def test_one_user_cannot_take_all_the_room() -> None:
    """What is beyond its part is refused to it, and not to others."""
    app = LargeResponses(respond_largely)
    async with unread(app, "alice", "alice", "alice") as clients:
        other = Client(app, "bob", takes=True)
        await other.request

    assert [client.status for client in clients] == [200, 200, 503]
    assert other.status == 200


async def test_write_without_room_for_its_response_is_not_said_to_have_failed() -> None:
    """It has been committed by then; only of a read is it true that nothing has changed."""
    app = LargeResponses(respond_largely)
    async with unread(app, "alice", "alice"):
        clients = [Client(app, "alice", method=method, takes=True) for method in ("GET", "POST")]
        await asyncio.gather(*(client.request for client in clients))

    assert [client.status for client in clients] == [503, 503]
    codes = [json.loads(client.body)["type"].rpartition(":")[2] for client in clients]
    assert codes == ["overloaded", "outcome-unknown"]


async def test_response_that_takes_too_long_is_given_up() -> None:
    """And holds nothing any more."""
    app = LargeResponses(respond_largely, response_seconds=0.05)
    slow = Client(app, "alice")
    await asyncio.wait_for(slow.request, 5)

    async with unread(app, "alice", "alice") as clients:
        assert [client.status for client in clients] == [200, 200]
    assert slow.sizes == [CHUNK_BYTES]
