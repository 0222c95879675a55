"""What a run comes to: figures, a table, a plot, and whether everything held."""

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path

import matplotlib as mpl
from bench.soak.account import FATES, Account, Fate, count_fates
from bench.soak.clients import TIMED_OUT, Sample
from bench.soak.faults import Footprint, Strike
from matplotlib.figure import Figure
from rich.table import Table

# Docs promise full service five seconds after a fault has ended; what comes later, until the next, is calm.
RECOVERY_SECONDS = 5
# A connection that was about to be used when the service went is noticed a moment later.
OUTAGE_SLACK_SECONDS = 1
MEMORY_GROWTH, MEMORY_GROWTH_BYTES = 1.25, 32 * 1024 * 1024
DESCRIPTORS_GROWTH = 64
SERVER_ERROR = 500
MIB = 1024 * 1024


@dataclass
class Run:
    """Everything that was seen."""

    started: datetime
    seconds: float
    every: float
    rate: float
    seed: int
    account: Account = field(default_factory=Account)
    began: float = 0  # on the monotonic clock
    samples: list[Sample] = field(default_factory=list)
    strikes: list[Strike] = field(default_factory=list)
    footprints: list[tuple[float, Footprint]] = field(default_factory=list)
    tracebacks: int = 0


@dataclass(frozen=True)
class Second:
    """What was due in one second of the run."""

    second: int
    requests: int
    p50_ms: float
    p99_ms: float
    errors: dict[str, int]


@dataclass
class Figures:
    """What a run comes to; times are in milliseconds, memory is in bytes."""

    started: str
    minutes: float
    fault_every_seconds: float
    rate: float
    seed: int
    requests: int
    answers: dict[str, int]
    fates: dict[Fate, int]
    tracebacks: int
    p50_ms: float
    p99_ms: float
    calm_requests: int
    calm_errors: int
    calm_p50_ms: float
    calm_p99_ms: float
    at_start: Footprint
    at_end: Footprint
    at_most: Footprint
    faults: list[tuple[str, float, float]]
    seconds: list[Second]
    findings: list[str]


def make_figures(run: Run) -> Figures:
    """Add everything up."""
    report_broken_connections(run)
    calm = [sample for sample in run.samples if is_calm(sample, run.strikes)]
    footprints = [footprint for _, footprint in run.footprints]
    first_strike = min((strike.began for strike in run.strikes), default=float("inf"))
    before = [footprint for moment, footprint in run.footprints if moment < first_strike]
    return Figures(
        started=run.started.isoformat(timespec="seconds"),
        minutes=run.seconds / 60,
        fault_every_seconds=run.every,
        rate=run.rate,
        seed=run.seed,
        requests=len(run.samples),
        answers=dict(sorted(Counter(map(describe, run.samples)).items())),
        fates=count_fates(run.account.findings),
        tracebacks=run.tracebacks,
        p50_ms=find_quantile(run.samples, 0.5),
        p99_ms=find_quantile(run.samples, 0.99),
        calm_requests=len(calm),
        calm_errors=sum(is_error(sample) for sample in calm),
        calm_p50_ms=find_quantile(calm, 0.5),
        calm_p99_ms=find_quantile(calm, 0.99),
        at_start=before[-1] if before else footprints[0],
        at_end=footprints[-1],
        at_most=Footprint(
            max(footprint.pss_bytes for footprint in footprints),
            max(footprint.descriptors for footprint in footprints),
        ),
        faults=[(name, round(began - run.began, 1), round(ended - run.began, 1)) for name, began, ended in run.strikes],
        seconds=make_seconds(run),
        findings=[f"{finding.fate}: {finding.text}" for finding in run.account.findings],
    )


def report_broken_connections(run: Run) -> None:
    """Report each request without an answer that no fault of the service itself explains."""
    outages = [strike for strike in run.strikes if strike.ends_service]
    for sample in run.samples:
        if sample.status:
            continue
        is_explained = sample.problem != TIMED_OUT and any(
            outage.began <= sample.arrived and sample.sent <= outage.ended + OUTAGE_SLACK_SECONDS for outage in outages
        )
        if not is_explained:
            run.account.report("unexpected", f"{sample.method} at {sample.sent - run.began:.1f} s: {sample.problem}")


def is_calm(sample: Sample, strikes: Sequence[Strike]) -> bool:
    """Whether a request was due, and answered, when no fault or its recovery was under way."""
    return not any(
        strike.began <= sample.arrived and sample.due <= strike.ended + RECOVERY_SECONDS for strike in strikes
    )


def is_error(sample: Sample) -> bool:
    """Whether the service, and not the client, is to blame for not having succeeded."""
    return not sample.status or sample.status >= SERVER_ERROR


def describe(sample: Sample) -> str:
    """Name a kind of answer."""
    return f"{sample.status or ''} {sample.problem}".strip()


def find_quantile(samples: Sequence[Sample], share: float) -> float:
    """Find the latency in milliseconds, from when a request was due, that a share of them stays below."""
    latencies = sorted(sample.arrived - sample.due for sample in samples)
    return round(latencies[int(share * (len(latencies) - 1))] * 1000, 1) if latencies else 0


def make_seconds(run: Run) -> list[Second]:
    """Add up each second."""
    by_second: defaultdict[int, list[Sample]] = defaultdict(list)
    for sample in run.samples:
        by_second[int(sample.due - run.began)].append(sample)
    return [
        Second(
            second,
            len(samples),
            find_quantile(samples, 0.5),
            find_quantile(samples, 0.99),
            dict(Counter(describe(sample) for sample in samples if is_error(sample))),
        )
        for second, samples in sorted(by_second.items())
    ]


def judge(figures: Figures) -> list[str]:
    """Name what did not hold."""
    broken = [f"{count} {fate}" for fate, count in figures.fates.items() if count]
    if figures.at_end.pss_bytes > figures.at_start.pss_bytes * MEMORY_GROWTH + MEMORY_GROWTH_BYTES:
        broken.append("memory grew")
    if figures.at_end.descriptors > figures.at_start.descriptors + DESCRIPTORS_GROWTH:
        broken.append("descriptors grew")
    return broken


def make_table(figures: Figures) -> Table:
    """Make the table that a run ends with."""
    table = Table("", "", title=f"{figures.minutes:g} minutes, {len(figures.faults)} faults, seed {figures.seed}")
    table.add_row("requests", f"{figures.requests}, {figures.rate:g} operations a second")
    for answer, count in figures.answers.items():
        table.add_row(f"  {answer}", str(count))
    for fate in FATES:
        table.add_row(fate, str(figures.fates[fate]), style="" if figures.fates[fate] == 0 else "bold red")
    table.add_row("tracebacks in the log", str(figures.tracebacks))
    table.add_row("p50, p99", f"{figures.p50_ms} ms, {figures.p99_ms} ms")
    table.add_row(
        f"p50, p99 from {RECOVERY_SECONDS} s after a fault on", f"{figures.calm_p50_ms} ms, {figures.calm_p99_ms} ms"
    )
    table.add_row(
        f"errors from {RECOVERY_SECONDS} s after a fault on", f"{figures.calm_errors} of {figures.calm_requests}"
    )
    at = (figures.at_start, figures.at_end, figures.at_most)
    table.add_row("memory (PSS) at start, end, most", ", ".join(f"{one.pss_bytes / MIB:.0f} MiB" for one in at))
    table.add_row("descriptors at start, end, most", ", ".join(str(one.descriptors) for one in at))
    return table


def write_report(run: Run, figures: Figures, folder: Path) -> None:
    """Write the figures as JSON and the plot as SVG."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "soak.json").write_text(json.dumps(asdict(figures), indent=1) + "\n")
    plot(run, figures).savefig(folder / "soak.svg", bbox_inches="tight")


def plot(run: Run, figures: Figures) -> Figure:
    """Plot latency, errors and memory over time, with the faults marked."""
    mpl.rcParams.update({"svg.fonttype": "none", "font.size": 8})
    figure = Figure(figsize=(max(10, figures.minutes * 2), 8), layout="constrained")
    latency, errors, memory = figure.subplots(3, sharex=True, height_ratios=[3, 2, 1])
    times = [second.second for second in figures.seconds]
    latency.plot(times, [second.p99_ms for second in figures.seconds], label="p99", color="tab:orange", linewidth=0.8)
    latency.plot(times, [second.p50_ms for second in figures.seconds], label="p50", color="tab:blue", linewidth=0.8)
    latency.set(yscale="log", ylabel="latency from when it was due, ms")
    problems = sorted({problem for second in figures.seconds for problem in second.errors})
    if problems:
        counts = [[second.errors.get(problem, 0) for second in figures.seconds] for problem in problems]
        errors.stackplot(times, counts, labels=problems, step="mid")
    errors.set(ylabel="requests without success, each second")
    moments = [moment - run.began for moment, _ in run.footprints]
    memory.plot(moments, [footprint.pss_bytes / MIB for _, footprint in run.footprints], label="PSS, MiB")
    memory.plot(moments, [footprint.descriptors for _, footprint in run.footprints], label="descriptors")
    memory.set(xlabel="seconds", ylim=(0, None))
    for axes in (latency, errors, memory):
        axes.margins(x=0)
        axes.grid(visible=True, alpha=0.3)
        axes.legend(loc="upper right", fontsize=7)
        for _, began, ended in figures.faults:
            axes.axvspan(began, max(ended, began + 0.3), color="tab:red", alpha=0.12, linewidth=0)
    for name, began, _ in figures.faults:
        position = (began, 1.02)
        latency.text(*position, name, rotation=60, fontsize=6, transform=latency.get_xaxis_transform())
    return figure
