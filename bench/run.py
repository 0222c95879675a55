"""A run of the bench: what was asked for, and the database that it is measured on."""

from dataclasses import dataclass

from rich.console import Console

LEAST_WIDTH = 140  # characters, where this is no terminal
console = Console(highlight=False)
console.width = max(console.width, LEAST_WIDTH)


@dataclass(frozen=True)
class Run:
    """What every part is given."""

    database_url: str
    is_quick: bool
    repetitions: int  # of what is measured by turns
    tasks: int  # of a large database

    def say(self, step: str) -> None:
        """Say what is being done."""
        console.print(step, style="dim")
