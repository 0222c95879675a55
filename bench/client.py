"""An HTTP client that costs little: keep-alive connections, each with one request at a time."""

import asyncio
import re
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple, cast

import uvloop
from bench.operations import Request

LIMIT_SECONDS = 120
HEAD_END = b"\r\n\r\n"
CONTENT_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
CONTENT_TYPE = re.compile(rb"\r\ncontent-type: *([^\r]*)\r\n", re.IGNORECASE)


class Answer(NamedTuple):
    """What came back; the body is kept where it is asked for."""

    status: int
    content_type: str
    body: str
    seconds: float


class Load(NamedTuple):
    """What came of a number of requests."""

    answers: Sequence[Answer]
    seconds: float

    def find_quantile(self, share: float) -> float:
        """Find the latency in milliseconds that a share of the answers stays below."""
        latencies = sorted(answer.seconds for answer in self.answers)
        return latencies[int(share * (len(latencies) - 1))] * 1000

    def require(self, status: int) -> None:
        """Raise RuntimeError unless all were answered with this status."""
        if wrong := {answer.status for answer in self.answers} - {status}:
            raise RuntimeError(f"answered {wrong} instead of {status}")


def send_all(port: int, requests: Sequence[Request], *, connections: int, keeps_bodies: bool = False) -> Load:
    """Send the requests, each as soon as a connection is free."""
    return uvloop.run(_send_all(port, requests, connections, keeps_bodies=keeps_bodies))


async def _send_all(port: int, requests: Sequence[Request], connections: int, *, keeps_bodies: bool) -> Load:
    loop = asyncio.get_running_loop()
    waiting = iter([_write_request(request) for request in requests])
    answers: list[Answer] = []

    def make_connection() -> _Connection:
        return _Connection(waiting, answers, keeps_bodies=keeps_bodies)

    began = time.perf_counter()
    async with asyncio.timeout(LIMIT_SECONDS):
        opened = [
            await loop.create_connection(make_connection, "127.0.0.1", port)
            for _ in range(min(connections, len(requests)))
        ]
        await asyncio.gather(*(connection.is_done for _, connection in opened))
    return Load(answers, time.perf_counter() - began)


def _write_request(request: Request) -> bytes:
    headers = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    return f"{request.method} {request.path} HTTP/1.1\r\n{headers}\r\n".encode() + request.body


class _Connection(asyncio.Protocol):
    """One connection: it sends the next request that waits when the one before is answered."""

    def __init__(self, waiting: Iterator[bytes], answers: list[Answer], *, keeps_bodies: bool) -> None:
        self._waiting = waiting
        self._answers = answers
        self._keeps_bodies = keeps_bodies
        self._received = bytearray()
        self._end = 0  # of the answer in what is received, once it is known
        self._sent_at = 0.0
        self.is_done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first."""
        self._transport = cast("asyncio.Transport", transport)  # of a connection, as asyncio documents
        self._send_next()

    def data_received(self, data: bytes) -> None:
        """Take a part of an answer."""
        self._received += data
        if not self._end and (head := self._received.find(HEAD_END)) >= 0:
            length = CONTENT_LENGTH.search(self._received, 0, head + 2)
            self._end = head + len(HEAD_END) + (int(length[1]) if length else 0)
        if self._end and len(self._received) >= self._end:
            self._answers.append(self._read_answer())
            self._received.clear()
            self._end = 0
            self._send_next()

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail unless everything was answered."""
        if not self.is_done.done():
            self.is_done.set_exception(exc or ConnectionError("closed before the answer"))

    def _send_next(self) -> None:
        request = next(self._waiting, None)
        if request is None:
            self.is_done.set_result(None)
            self._transport.close()
        else:
            self._sent_at = time.perf_counter()
            self._transport.write(request)

    def _read_answer(self) -> Answer:
        seconds = time.perf_counter() - self._sent_at
        status = int(self._received[9:12])
        if not self._keeps_bodies:
            return Answer(status, "", "", seconds)
        head, _, body = bytes(self._received).partition(HEAD_END)
        found = CONTENT_TYPE.search(head + b"\r\n")
        return Answer(status, found[1].decode() if found else "", body.decode(), seconds)
