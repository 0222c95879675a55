"""Clients that use the service without pause while something breaks, and keep account of every answer."""

import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import NamedTuple
from uuid import uuid4

import httpx2
import psycopg
from tests.service import Service

CLIENTS = 8
PAUSE_SECONDS = 0.01
UNAVAILABLE, UNKNOWN, LATE = "database-unavailable", "outcome-unknown", "deadline-exceeded"


class Answer(NamedTuple):
    """One answer to one request."""

    method: str
    status: int
    problem: str  # the last part of its type; empty for a success
    arrived: float
    seconds: float


class Client(threading.Thread):
    """One user's client: creates tasks, toggles one of them, and reads."""

    def __init__(self, service: Service, is_over: threading.Event) -> None:
        super().__init__()
        self.user = f"user-{uuid4()}"
        self.answers: list[Answer] = []
        self.titles: dict[str, Answer] = {}
        self.toggles: list[Answer] = []
        self._is_over = is_over
        self._http = httpx2.Client(base_url=service.client.base_url, timeout=30)
        self.toggled = self._http.post(f"/api/{self.user}/tasks", json={"title": "toggled"}).json()["url"]

    def run(self) -> None:
        """Work until it is over."""
        tasks_url = f"/api/{self.user}/tasks"
        with closing(self._http):
            while not self._is_over.is_set():
                title = f"Task {len(self.titles)}"
                self.titles[title] = self._ask("POST", tasks_url, {"title": title})
                self.toggles.append(self._ask("PATCH", f"{self.toggled}/complete", None))
                self._ask("GET", f"{tasks_url}?limit=5", None)
                time.sleep(PAUSE_SECONDS)

    def _ask(self, method: str, url: str, body: object) -> Answer:
        started = time.monotonic()
        response = self._http.request(method, url, json=body)
        arrived = time.monotonic()
        problem = "" if response.is_success else response.json()["type"].rpartition(":")[2]
        answer = Answer(method, response.status_code, problem, arrived, arrived - started)
        self.answers.append(answer)
        if answer.status == httpx2.codes.SERVICE_UNAVAILABLE:
            assert response.headers["Retry-After"]
        return answer


class Load:
    """Several clients at once."""

    def __init__(self, clients: list[Client]) -> None:
        self._clients = clients

    @property
    def answers(self) -> list[Answer]:
        """Every answer so far."""
        return [answer for client in self._clients for answer in list(client.answers)]

    @property
    def problems(self) -> set[str]:
        """Every kind of problem that was answered."""
        return {answer.problem for answer in self.answers} - {""}

    def assert_full_service_since(self, moment: float) -> None:
        """From that moment on, every client was served, and nothing but success was answered."""
        for client in self._clients:
            late = [answer for answer in client.answers if answer.arrived - answer.seconds > moment]
            assert late
            assert {answer.problem for answer in late} == {""}

    def assert_nothing_lost_or_doubled(self, database_url: str) -> None:
        """What was acknowledged is there once, what "has not happened" is not there, and the rest at most once."""
        for client in self._clients:
            with psycopg.connect(database_url) as connection:
                question = "SELECT title, count(*), max(version) FROM tasks WHERE user_id = %s GROUP BY title"
                found = {
                    title: (count, version) for title, count, version in connection.execute(question, [client.user])
                }
            toggles = found.pop("toggled")[1] - 1
            assert set(found) <= set(client.titles)
            for title, answer in client.titles.items():
                expected = {"": {1}, UNAVAILABLE: {0}}.get(answer.problem, {0, 1})
                assert found.get(title, (0, 0))[0] in expected, (title, answer)
            sure = sum(answer.problem == "" for answer in client.toggles)
            perhaps = sum(answer.problem in {UNKNOWN, LATE} for answer in client.toggles)
            assert sure <= toggles <= sure + perhaps


@contextmanager
def under_load(service: Service) -> Iterator[Load]:
    """Run clients for the time of the block."""
    is_over = threading.Event()
    clients = [Client(service, is_over) for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    try:
        yield Load(clients)
    finally:
        is_over.set()
        for client in clients:
            client.join(40)
            assert not client.is_alive()
