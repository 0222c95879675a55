"""The six operations in one go, for every way in which the service can be run."""

import httpx2


def run_six_operations(client: httpx2.Client, user_id: str) -> None:
    """Create, read all, read one, update, toggle and delete, each with its status and what it left behind."""
    tasks = f"/api/{user_id}/tasks"

    created = client.post(tasks, json={"title": "Buy milk", "tags": ["shop"], "priority": "high"})
    assert created.status_code == 201, created.text
    task = created.json()
    assert created.headers["Location"] == task["url"]

    listed = client.get(tasks)
    assert (listed.status_code, listed.json()) == (200, [task])

    read = client.get(task["url"])
    assert (read.status_code, read.json()) == (200, task)
    assert client.get(f"/api/not-{user_id}/tasks/{task['id']}").status_code == 404

    updated = client.patch(task["url"], json={"title": "Buy oat milk"})
    assert (updated.status_code, updated.json()["title"], updated.json()["version"]) == (200, "Buy oat milk", 2)

    toggled = client.patch(f"{task['url']}/complete")
    assert (toggled.status_code, toggled.json()["completed"], toggled.json()["version"]) == (200, True, 3)

    assert client.delete(task["url"]).status_code == 204
    assert client.get(task["url"]).status_code == 404
