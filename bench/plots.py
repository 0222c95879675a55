"""Figures as plots, which are the same where the figures are."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from bench.contenders import CONTENDERS, SERVICE, USUAL_WAY
from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLORS = dict(zip(CONTENDERS, ("#bbbbbb", "#88bbdd", "#dd9955", "#bb7733", "#226622"), strict=True))
SMALL, LARGE = "#aaccaa", "#226622"
ROOM = 0.8  # of the place that bars have beside each other

LEAST_LABELLED_MIB = 15

Figures = Mapping[str, Any]  # read from JSON


def plot(part: str, figures: Figures, folder: Path) -> None:
    """Plot a part's figures, if there is a plot of it."""
    draw = PLOTS.get(part.partition("_")[0])  # scale_10000000 is one of scale
    if draw:
        mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "todo", "font.size": 8})
        draw(figures).savefig(folder / f"{part}.svg", bbox_inches="tight", metadata={"Date": None, "Creator": None})


def plot_cpu(figures: Figures) -> Figure:
    """Plot the CPU time of the server's processes as a part of what the usual way takes."""
    figure = Figure(figsize=(9, 3.5), layout="constrained")
    axes = figure.subplots()
    cpu_us = figures["server"]["cpu_us"]
    usual = {operation: spread[0] for operation, spread in cpu_us[USUAL_WAY].items()}
    bars = {
        contender: [spread[0] / usual[operation] for operation, spread in by_operation.items()]
        for contender, by_operation in cpu_us.items()
    }
    _draw_bars(axes, list(usual), bars, COLORS)
    axes.set(ylabel=f"CPU of a request\n({USUAL_WAY} = 1)")
    axes.set_title("Behind granian, each request logged", loc="left")
    return figure


def plot_latency(figures: Figures) -> Figure:
    """Plot the p50, and the p99 as a whisker, for each distance of the database."""
    figure = Figure(figsize=(9, 2.5 * len(figures)), layout="constrained")
    panels = figure.subplots(len(figures), squeeze=False)[:, 0]
    for axes, (round_trip_ms, measured) in zip(panels, figures.items(), strict=True):
        by_contender = measured["operations"]
        p50 = {name: [one["p50_ms"] for one in each.values()] for name, each in by_contender.items()}
        p99 = {name: [one["p99_ms"] for one in each.values()] for name, each in by_contender.items()}
        _draw_bars(axes, list(by_contender[SERVICE]), p50, COLORS, p99)
        axes.set(ylabel="p50 and p99, ms")
        axes.set_title(f"{round_trip_ms} ms from the service to the database and back", loc="left")
    return figure


def plot_scale(figures: Figures) -> Figure:
    """Plot the p50 among few tasks and among many."""
    figure = Figure(figsize=(9, 3), layout="constrained")
    axes = figure.subplots()
    p50_ms = figures["p50_ms"]
    bars = {
        "1000 tasks": [each["small"] for each in p50_ms.values()],
        f"{figures['tasks']} tasks": [each["large"] for each in p50_ms.values()],
    }
    _draw_bars(axes, list(p50_ms), bars, dict(zip(bars, (SMALL, LARGE), strict=True)))
    axes.set(ylabel="p50, ms", yscale="log", ylim=(0.5, None))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("")
    return figure


def plot_memory(figures: Figures) -> Figure:
    """Plot the memory of the processes at the end."""
    figure = Figure(figsize=(9, 2), layout="constrained")
    axes = figure.subplots()
    axes.set_yticks(range(len(figures)), list(figures))
    for place, measured in enumerate(figures.values()):
        left = 0.0
        for role, mib in measured["at_end_mib"].items():
            if not role.startswith("all"):
                axes.barh(place, mib, left=left, color=LARGE if not left else SMALL, edgecolor="white")
                label = f"{role}\n{mib:.0f}" if mib > LEAST_LABELLED_MIB else ""
                axes.text(
                    left + mib / 2, place, label, ha="center", va="center", color="white" if not left else "black"
                )
                left += mib
    axes.set(xlabel="PSS, MiB")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def plot_start(figures: Figures) -> Figure:
    """Plot the time to the first answer."""
    figure = Figure(figsize=(9, 2.5), layout="constrained")
    axes = figure.subplots()
    times = figures["first_answer_ms"]
    names = ("compiled", "not compiled")
    bars = {f"byte code {name}": [by_code[name][0] / 1000 for by_code in times.values()] for name in names}
    _draw_bars(axes, list(times), bars, dict(zip(bars, (LARGE, SMALL), strict=True)))
    axes.set(ylabel="first answer after s")
    return figure


PLOTS: Mapping[str, Callable[[Figures], Figure]] = {
    "cpu": plot_cpu,
    "latency": plot_latency,
    "scale": plot_scale,
    "memory": plot_memory,
    "start": plot_start,
}


def _draw_bars(
    axes: Axes,
    groups: Sequence[str],
    bars: Mapping[str, Sequence[float]],
    colors: Mapping[str, str],
    most: Mapping[str, Sequence[float]] | None = None,
) -> None:
    """Draw a bar for each of the names in each of the groups, and a whisker up to the most."""
    width = ROOM / len(bars)
    for place, (name, heights) in enumerate(bars.items()):
        positions = [group - ROOM / 2 + (place + 0.5) * width for group in range(len(groups))]
        axes.bar(positions, heights, width, label=name, color=colors[name])
        if most:
            axes.vlines(positions, heights, most[name], colors="black", linewidth=0.6)
    axes.set_xticks(range(len(groups)), groups)
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=7, frameon=False, ncols=len(bars), loc="lower right", bbox_to_anchor=(1, 1))
