"""One line of the benchmark, and the lines as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table

from ancestral.bench.machine import Machine


@dataclass(frozen=True, slots=True)
class Row:
    """One batch of one model on one runtime; times in seconds, for the whole batch."""

    family: str
    model: str
    asked: str  # the runtime asked for
    runtime: str  # the runtime that ran: another where that one cannot
    derived: bool
    batch: int
    sites: int
    dimensions: int
    sites_timed: int  # of each item; the rest is multiplied up where this is fewer
    sample_seconds: float
    forward_seconds: float  # torch's eager forward pass
    scorer_seconds: float  # the scorer: forward, likelihood, sum
    naive_seconds: float  # multiplied up from `naive_sites_timed`
    naive_sites_timed: int
    first_frame_seconds: float  # an idle runtime, from the request to its first value
    macs: int  # multiply-adds of the batch
    peak_share: float  # of the matrix product's rate
    weight_bytes: int | None  # that a step reads, where it reads every matrix once
    stream_rate: float | None  # bytes a second at which that many are read here
    peak_bytes: int  # the process's largest resident size meanwhile

    @property
    def score_seconds(self) -> float:
        return min(self.forward_seconds, self.scorer_seconds)

    @property
    def sample_score(self) -> float:
        return self.sample_seconds / self.score_seconds

    @property
    def naive_score(self) -> float:
        return self.naive_seconds / self.score_seconds

    @property
    def over_naive(self) -> float:
        return self.naive_seconds / self.sample_seconds

    @property
    def sites_per_second(self) -> float:
        return self.batch * self.sites / self.sample_seconds

    @property
    def stream_share(self) -> float | None:
        """Bytes of weights read a second, over the rate at which they could be."""
        if self.weight_bytes is None or self.stream_rate is None:
            return None
        return self.weight_bytes * self.sites / self.sample_seconds / self.stream_rate

    @property
    def extrapolated(self) -> bool:
        return self.sites_timed < self.sites

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {
            "score_seconds": self.score_seconds,
            "sample_score": self.sample_score,
            "naive_score": self.naive_score,
            "over_naive": self.over_naive,
            "sites_per_second": self.sites_per_second,
            "stream_share": self.stream_share,
            "extrapolated": self.extrapolated,
        }


COLUMNS = ("batch", "sites", "sites/s", "sample/score", "over naive", "peak",
           "weight stream", "first frame", "memory")  # fmt: skip


def cells(row: Row) -> list[str]:
    """A row's figures under `COLUMNS`; ~ marks what was multiplied up from a part."""
    about = "~" if row.extrapolated else ""
    stream = ""
    if row.stream_share is not None and row.stream_rate is not None:
        stream = f"{100 * row.stream_share:.0f} % of {row.stream_rate / 1e9:.0f} GB/s"
    return [
        str(row.batch),
        f"{row.sites:,}",
        f"{about}{row.sites_per_second:,.0f}",
        f"{about}{row.sample_score:.1f}",
        f"~{row.over_naive:,.0f} ×",
        f"{100 * row.peak_share:.1f} %",
        stream,
        f"{1000 * row.first_frame_seconds:.0f} ms",
        f"{row.peak_bytes / 2**20:,.0f} MiB",
    ]


def runtime_words(row: Row) -> str:
    found = row.runtime if row.derived else f"{row.runtime} (fallback)"
    return found if row.asked == row.runtime else f"{found}, for {row.asked}"


def grouped(rows: Sequence[Row]) -> list[Row]:
    """By family, then model, runtime and batch, in the order in which they came."""
    order = {family: at for at, family in enumerate(dict.fromkeys(sorted(r.family for r in rows)))}
    return sorted(rows, key=lambda row: (order[row.family], row.model))


def remarks(machine: Machine) -> str:
    """What the figures mean, for under a table."""
    threads = "one thread" if machine.threads == 1 else f"{machine.threads} threads"
    return (
        "sample/score: time to sample the batch over that of one teacher-forced pass of it (the "
        "faster of torch's eager forward and the scorer). ~: multiplied up from a window of sites; "
        "the naive loop always is. peak: share of the "
        f"{machine.flops / 1e9:.0f} GFLOP/s of a float32 matrix product here. weight stream: "
        "share of the rate at which one thread reads the weights alone, once a step. memory: the "
        "whole process. "
        f"{machine.processor}, {threads}"
        + ("." if machine.clock == "wall" else "; processor time, on a machine that others used.")
    )


def table(rows: Sequence[Row], machine: Machine) -> Table:
    """The rows for a terminal."""
    found = Table(title="sampling beside scoring", caption=remarks(machine))
    for heading in ("family", "model", "runtime"):
        found.add_column(heading, no_wrap=True)
    for heading in COLUMNS:
        found.add_column(heading, justify="right", no_wrap=True)
    family = ""
    for row in grouped(rows):
        if row.family != family and family:
            found.add_section()
        name = row.family if row.family != family else ""
        found.add_row(name, row.model, runtime_words(row), *cells(row))
        family = row.family
    return found


def markdown(rows: Sequence[Row], machine: Machine) -> str:
    """The rows as the documentation shows them."""
    headings = ["family", "model", "runtime", *COLUMNS]
    lines = [headings, ["---"] * 3 + ["---:"] * len(COLUMNS)]
    lines += [[r.family, r.model, runtime_words(r), *cells(r)] for r in grouped(rows)]
    text = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return f"{text}\n\n{remarks(machine)}"
