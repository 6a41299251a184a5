from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
import torch
from rich.console import Console
from tests.packages import publish

import ancestral
from ancestral.bench import NETWORKS, measure, network, table
from ancestral.bench.machine import Machine, machine
from ancestral.bench.peers import Peer, disagreement, peers
from ancestral.bench.plot import plot
from ancestral.bench.row import markdown
from ancestral.models.wavenet import WaveNet

HERE = Machine(threads=1, flops=1e9, processor="a processor", clock="wall")


@pytest.mark.parametrize("name", ["tiny-colour", "tiny-wavenet"])
def test_every_batch_and_runtime_is_timed_beside_the_naive_loop(tmp_path: Path, name: str) -> None:
    publish(tmp_path, name)
    model = ancestral.load(name, root=tmp_path)
    rows = list(measure(model, HERE, (1, 2), ("reference", "naive"), sites=12, window=600))
    assert [(row.batch, row.runtime) for row in rows] == [
        (1, "reference"), (1, "naive"), (2, "reference"), (2, "naive"),
    ]  # fmt: skip
    for row in rows:
        assert row.derived == (row.runtime == "reference")
        assert row.sites_timed == row.sites
        assert row.score_seconds == min(row.forward_seconds, row.scorer_seconds)
        assert row.sample_score == pytest.approx(row.sample_seconds / row.score_seconds)
        assert row.sites_per_second == pytest.approx(row.batch * row.sites / row.sample_seconds)
        assert row.peak_share == pytest.approx(2 * row.macs / row.sample_seconds / 1e9)
        assert 0 < row.first_frame_seconds <= row.sample_seconds
        assert row.peak_bytes > 0
        assert json.loads(json.dumps(row.to_json()))["naive_sites_timed"] == 3
    assert rows[2].macs == 2 * rows[0].macs


def test_a_window_shorter_than_the_item_is_multiplied_up_and_says_so(tmp_path: Path) -> None:
    publish(tmp_path, "tiny-wavenet")
    model = ancestral.load("tiny-wavenet", root=tmp_path)
    (row,) = measure(model, HERE, (1,), sites=40, window=1e-9)
    assert row.sites_timed < 40
    assert row.extrapolated
    console = Console(width=300, file=io.StringIO())
    with console.capture() as printed:
        console.print(table([row], HERE))
    assert "~" in printed.get()
    assert "multiplied up" in printed.get()
    assert "| wavenet | tiny-wavenet | reference |" in markdown([row], HERE)


def test_weights_are_counted_in_the_bytes_that_a_step_reads(tmp_path: Path) -> None:
    """A step over time multiplies by every weight once: as many as it has multiply-adds."""
    publish(tmp_path, "tiny-wavenet")
    for weights, each in (("float32", 4), ("bf16", 2)):
        model = ancestral.load("tiny-wavenet", root=tmp_path, weights=weights)
        (row,) = measure(model, HERE, (1,), sites=8)
        assert row.weight_bytes == each * row.macs / row.sites
        assert row.stream_rate is not None
        rate = row.weight_bytes * row.sites / row.sample_seconds
        assert row.stream_share == pytest.approx(rate / row.stream_rate)


def test_the_machine_is_measured() -> None:
    found = machine("cpu")
    assert found.flops > 1e8
    assert found.threads == torch.get_num_threads()


def test_a_plot_is_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    publish(tmp_path, "tiny-made")
    rows = list(measure(ancestral.load("tiny-made", root=tmp_path), HERE, (1,)))
    plot(rows, tmp_path / "bench.png")
    assert (tmp_path / "bench.png").read_bytes().startswith(b"\x89PNG")


def test_the_wavenet_has_the_sizes_that_it_names() -> None:
    """Issue figures: 30 layers, 64 residual, 128 gate, 256 skip channels; 2.5 MFLOP a sample."""
    module = network("wavenet-30").network.module
    assert isinstance(module, WaveNet)
    products = sum(p.numel() for n, p in module.named_parameters() if p.dim() == 3)
    assert 2 * products == pytest.approx(2.5e6, rel=0.02)
    for name in NETWORKS:
        assert network(name).name == name
    with pytest.raises(ValueError, match="known are wavenet-30"):
        network("wavenet-31")
    assert len(NETWORKS) == 4


@pytest.mark.filterwarnings("default")
def test_peers_compute_the_same_outputs() -> None:
    all_of_them = peers("wavenet-30", network("wavenet-30"))
    found: dict[str, Peer] = {p.name: p for p in all_of_them if "compile" not in p.name}
    assert "torch, ring buffers" in found
    for peer in found.values():
        assert disagreement(peer) < 1e-4, peer.name
        peer.run(1, 3)
