"""The command line of the soak."""

import asyncio
import os
import signal
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Annotated

import pytest
import typer
from bench.soak.clients import Clients
from bench.soak.faults import FAULTS, Stage, draw, set_up, strike
from bench.soak.report import Run, judge, make_figures, make_table, write_report
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

USERS_PREFIX = "soak"
SHOWN_FINDINGS = 20

console = Console(soft_wrap=True, highlight=False)


def main(  # noqa: PLR0913, PLR0917 - Typer reads the options off the signature
    minutes: Annotated[float, typer.Option(min=0.1, max=1440, help="How long the clients work.")] = 10,
    every: Annotated[float, typer.Option(min=1, help="Seconds from the begin of a fault to that of the next.")] = 10,
    rate: Annotated[float, typer.Option(min=1, max=500, help="Operations a second.")] = 60,
    seed: Annotated[int, typer.Option(help="Of the order of the faults, and of what the clients do.")] = 1,
    fault: Annotated[list[str] | None, typer.Option(help="One that is to happen; repeatable. Default: all.")] = None,
    output: Annotated[Path, typer.Option(help="The folder for the figures and the plot.")] = Path("soak-results"),
) -> None:
    """Break the service for minutes, and count what is lost."""
    if unknown := set(fault or ()) - set(FAULTS):
        raise typer.BadParameter(f"no such fault: {', '.join(unknown)}; there are {', '.join(FAULTS)}")
    forget_settings()
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))  # what was started is ended on either
    run = Run(datetime.now(UTC), minutes * 60, every, rate, seed)
    try:
        with set_up(console.print) as stage:
            asyncio.run(soak(stage, run, fault or list(FAULTS)))
            stage.end_service()
            stage.wait_for_statements()
            run.tracebacks = stage.tracebacks
            run.account.audit(stage.database_url, f"{USERS_PREFIX}-%")
            if missing := stage.count_missing():
                run.account.report("lost", f"database: {missing} tasks of the user with the long list")
    except pytest.skip.Exception as reason:  # so say the tests, whose servers these are
        raise typer.BadParameter(str(reason)) from None
    raise typer.Exit(present(run, output))


def forget_settings() -> None:
    """Take nobody's own settings into the run."""
    for name in list(os.environ):
        if name.startswith(("DATABASE_URL", "PG", "TODO_")) and not name.startswith("TODO_TEST_"):
            del os.environ[name]


async def soak(stage: Stage, run: Run, names: Sequence[str]) -> None:
    """Let the clients work and the faults happen, and measure meanwhile."""
    clients = Clients(f"http://127.0.0.1:{stage.port}", run.account, Random(run.seed), USERS_PREFIX)
    run.samples = clients.samples
    run.began = time.monotonic()
    console.print(f"Working on http://127.0.0.1:{stage.port} for {run.seconds:.0f} seconds.")
    async with asyncio.TaskGroup() as tasks:
        watch = tasks.create_task(measure(stage, run))
        tasks.create_task(strike_on_schedule(stage, run, names))
        await clients.work(run.rate, run.seconds)
        watch.cancel()


async def strike_on_schedule(stage: Stage, run: Run, names: Sequence[str]) -> None:
    """Let one fault after another happen; the last has time to pass before the clients end.

    One that takes longer than there is between two of them takes the turn of the next.
    """
    turns = int(run.seconds / run.every)
    for name in draw([name for name in names if name not in stage.left_out], turns, run.seed):
        turn = int((time.monotonic() - run.began) / run.every) + 1
        if turn >= turns:
            return
        await asyncio.sleep(run.began + turn * run.every - time.monotonic())
        run.strikes.append(await asyncio.to_thread(strike, stage, name))
        console.print(f"{run.strikes[-1].began - run.began:6.1f} s  {name}")


async def measure(stage: Stage, run: Run) -> None:
    """Measure the service's processes once a second, and show how far the run is."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=run.seconds)
        while True:
            if footprint := await asyncio.to_thread(stage.measure):
                run.footprints.append((time.monotonic(), footprint))
            findings = len(run.account.findings)
            shown = f"{len(run.samples)} requests, {len(run.strikes)} faults, {findings} broken promises"
            progress.update(task, completed=time.monotonic() - run.began, description=shown)
            await asyncio.sleep(1)


def present(run: Run, output: Path) -> int:
    """Print the table, write the figures and the plot, and return the exit status."""
    figures = make_figures(run)
    write_report(run, figures, output)
    console.print(make_table(figures))
    for finding in figures.findings[:SHOWN_FINDINGS]:
        console.print(finding, markup=False)
    broken = judge(figures)
    console.print("Broken: " + ", ".join(broken) if broken else "Everything held.", markup=False)
    console.print(f"Figures and plot: {output}", markup=False)
    return 1 if broken else 0


if __name__ == "__main__":
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(main)
    app()
