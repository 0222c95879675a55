"""Figures as tables for a terminal."""

from collections.abc import Mapping

from bench.contenders import FLOOR, SERVICE, USUAL_WAY
from bench.results import Spread
from rich.table import Column, Table

FLOOR_TARGETS = {"read": 3.5, "list of 20": 3.0, "list of 1000": 1.6, "toggle": 4.0, "create": 3.5}
USUAL_WAY_TARGETS = {"read": 0.40, "list of 20": 0.45, "list of 1000": 0.40, "toggle": 0.25, "create": 0.30}
"""How often what another takes this service may take of CPU time, at most."""


def make_cost_table(title: str, costs: Mapping[str, Mapping[str, Spread]]) -> Table:
    """Make a table of operations and contenders, each with the median, and the least and the most."""
    table = Table("", *(Column(contender, no_wrap=True) for contender in costs), title=title)
    for operation in costs[SERVICE]:
        table.add_row(operation, *(show(spreads[operation]) for spreads in costs.values()))
    return table


def make_ratio_table(title: str, costs: Mapping[str, Mapping[str, Spread]]) -> Table:
    """Make a table of how often the floor's, and what part of the usual way's, this service takes."""
    table = Table("", f"todo / {FLOOR}", f"todo / {USUAL_WAY}", title=title)
    for operation, spread in costs[SERVICE].items():
        ratios = [spread.median / costs[other][operation].median for other in (FLOOR, USUAL_WAY)]
        targets = [targets.get(operation) for targets in (FLOOR_TARGETS, USUAL_WAY_TARGETS)]
        table.add_row(operation, *map(show_target, ratios, targets))
    return table


def show_target(value: float, target: float | None, unit: str = "x") -> str:
    """Show a value, and whether it is at most what it should be."""
    shown = f"{value:.2f}{unit}"
    if target is None:
        return shown
    return f"{shown} ({'met' if value <= target else '[red]missed[/red]'}: {target:g}{unit})"


def show(spread: Spread) -> str:
    """Show a median with its spread."""
    return f"{spread.median:,.0f} ({spread.least:,.0f}-{spread.most:,.0f})".replace(",", "\u202f")
