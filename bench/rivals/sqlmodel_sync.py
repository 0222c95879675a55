"""The way of FastAPI's full-stack template: plain functions, which run in threads, and synchronous sessions."""

from collections.abc import Iterator, Sequence
from typing import Annotated
from uuid import UUID

from bench.rivals.access_log import AccessLog, configure_logging
from bench.rivals.models import Task, TaskCreate, TaskPublic, TaskUpdate
from bench.rivals.sql import PAGE_LENGTH
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request
from sqlmodel import Session, col, create_engine, select
from starlette.types import ASGIApp


def create_app(database_url: str, log_level: str) -> ASGIApp:
    """Make the application."""
    configure_logging(log_level)
    app = FastAPI()
    app.state.engine = create_engine(database_url.replace("postgresql:", "postgresql+psycopg:"))
    app.include_router(router)
    return AccessLog(app)


def open_session(request: Request) -> Iterator[Session]:
    """Open a session until the end of the request."""
    with Session(request.app.state.engine) as session:
        yield session


SessionDep = Annotated[Session, Depends(open_session)]
router = APIRouter(prefix="/api/{user_id}/tasks")


def find_task(session: Session, user_id: str, task_id: UUID) -> Task:
    """Find a task."""
    task = session.get(Task, (user_id, task_id))
    if task is None:
        raise HTTPException(404)
    return task


@router.get("", response_model=list[TaskPublic])
def list_tasks(session: SessionDep, user_id: str) -> Sequence[Task]:
    """List the user's tasks."""
    statement = select(Task).where(Task.user_id == user_id)
    statement = statement.order_by(col(Task.created_at).desc(), col(Task.id).desc()).limit(PAGE_LENGTH)
    return session.exec(statement).all()


@router.post("", response_model=TaskPublic, status_code=201)
def create_task(session: SessionDep, user_id: str, new: TaskCreate) -> Task:
    """Create a task."""
    task = Task.model_validate(new, update={"user_id": user_id})
    session.add(task)
    session.commit()
    session.refresh(task)
    return task


@router.get("/{task_id}", response_model=TaskPublic)
def read_task(session: SessionDep, user_id: str, task_id: UUID) -> Task:
    """Read one task."""
    return find_task(session, user_id, task_id)


@router.patch("/{task_id}", response_model=TaskPublic)
def update_task(session: SessionDep, user_id: str, task_id: UUID, changes: TaskUpdate) -> Task:
    """Change a task."""
    task = find_task(session, user_id, task_id)
    task.sqlmodel_update(changes.model_dump(exclude_unset=True))
    task.note_change()
    session.add(task)
    session.commit()
    session.refresh(task)
    return task


@router.patch("/{task_id}/complete", response_model=TaskPublic)
def toggle_task(session: SessionDep, user_id: str, task_id: UUID) -> Task:
    """Complete a task, or reopen it."""
    task = find_task(session, user_id, task_id)
    task.completed = not task.completed
    task.note_change()
    session.add(task)
    session.commit()
    session.refresh(task)
    return task


@router.delete("/{task_id}", status_code=204)
def delete_task(session: SessionDep, user_id: str, task_id: UUID) -> None:
    """Delete a task."""
    session.delete(find_task(session, user_id, task_id))
    session.commit()
