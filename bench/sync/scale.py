"""Which databases are compared, and how much is measured on them."""

from typing import NamedTuple, TypeAlias

BEFORE, TICK, INDEX = "before", "with the tick", "and the indexes"
Costs: TypeAlias = dict[str, dict[str, dict[str, float]]]  # of what, in which variant, which figure

HEAVY, USUAL, SMALL = "heavy", "usual", "small"  # users
SMALL_TASKS = 20


class Scale(NamedTuple):
    """How much is measured."""

    tasks: int
    usual: int  # tasks of that user
    heavy: int
    turns: int
    writes: int  # of a kind in a turn
    changes: int  # of the mix in a turn
    tombstones: int
    seconds: float  # for which writers write at the same time


FULL = Scale(250_000, 1_000, 50_000, turns=10, writes=100, changes=20, tombstones=50_000, seconds=3)
QUICK = Scale(20_000, 1_000, 5_000, turns=2, writes=20, changes=10, tombstones=5_000, seconds=1)
