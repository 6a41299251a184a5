"""The worked examples of CONTRIBUTING.md, carried out and held to what contributions are."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from tests.causal import Function, drawn, network
from tests.guide.walk import BLOCK, ROOT
from tests.likelihoods.checks import noise
from torch import Tensor, nn

from ancestral.compile import CompileError
from ancestral.compile.tracer import RULES
from ancestral.likelihoods import KINDS, from_config, to_config
from ancestral.models import FAMILIES, DataSpec, build
from ancestral.runtimes.base import Runtime
from ancestral.runtimes.derive import derive
from ancestral.runtimes.naive import NaiveRuntime
from ancestral.runtimes.reference import ReferenceRuntime

TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
EXAMPLES = {title: code for _, title, code in BLOCK.findall(TEXT)}
TIME = 12


@pytest.fixture(autouse=True)
def tables(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the examples register is taken back."""
    for table in (RULES, FAMILIES, KINDS):
        for name in ("aten.lgamma", "markov", "laplace"):
            monkeypatch.delitem(table, name, raising=False)  # type: ignore[arg-type]


def carried_out(title: str) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": title}
    where = f"CONTRIBUTING.md: {title}"
    exec(compile(EXAMPLES[title], where, "exec", dont_inherit=True), names)
    return names


def layers() -> dict[str, nn.Module]:
    torch.manual_seed(0)
    return {"token": nn.Embedding(3, 4), "out": nn.Conv1d(4, 3, 1)}


def past(m: Function, x: Tensor) -> Tensor:
    h = torch.lgamma(2 + m.token(x).square()).mT
    return m.out(torch.cat([torch.zeros_like(h[..., :1]), h[..., :-1]], -1))


def test_a_rule() -> None:
    net = network(Function(past, **layers()), kind="sequence", encoding="int")
    with pytest.raises(CompileError, match="lgamma"):
        derive(net)
    carried_out("rule")
    fast = drawn(ReferenceRuntime(derive(net), net, 3), TIME, range(3), staggered=True)
    slow = drawn(NaiveRuntime(net, 3), TIME, range(3))
    for item, values in slow.items():
        np.testing.assert_array_equal(fast[item], values)


def test_a_family() -> None:
    carried_out("family")
    data = DataSpec(kind="sequence", levels=3)
    likelihood = from_config({"kind": "categorical", "levels": 3})
    net = build("markov", {"order": 2}, data, likelihood).eval()
    program = derive(net)
    fast = drawn(ReferenceRuntime(program, net, 3), TIME, range(3), staggered=True)
    slow = drawn(NaiveRuntime(net, 3), TIME, range(3))
    for item, values in slow.items():
        np.testing.assert_array_equal(fast[item], values)
    with pytest.raises(ValueError, match="open length"):
        build("markov", {}, DataSpec(kind="image", shape=(1, 2, 2), levels=3), likelihood)


def test_a_likelihood() -> None:
    carried_out("likelihood")
    laplace = from_config({"kind": "laplace"})
    assert to_config(laplace) == {"kind": "laplace"}
    params = torch.tensor([[0.5, -0.7]], dtype=torch.float64)
    known = stats.laplace(0.5, np.exp(-0.7))
    x = torch.linspace(-3, 3, 13, dtype=torch.float64)
    found = laplace.log_prob(params.expand(13, 1, 2), x[:, None])[:, 0]
    np.testing.assert_allclose(found.numpy(), known.logpdf(x.numpy()), rtol=1e-12)
    u = noise(4000, 1)
    values = laplace.sample(params.expand(4000, 1, 2), u)[:, 0]
    np.testing.assert_allclose(values.numpy(), known.ppf(u[:, 0, 1].numpy()), rtol=1e-9, atol=1e-12)
    assert (laplace.sample(params, u[:1], temperature=0) == 0.5).all()


def test_a_runtime() -> None:
    compared = carried_out("runtime")["Compared"]

    def shifted(m: Function, x: Tensor) -> Tensor:
        h = m.token(x).mT
        return m.out(torch.cat([torch.zeros_like(h[..., :1]), h[..., :-1]], -1))

    net = network(Function(shifted, **layers()), kind="sequence", encoding="int")
    other = network(Function(shifted, **layers()), kind="sequence", encoding="int")
    reference = ReferenceRuntime(derive(net), net, 2)
    runtime = compared(reference, NaiveRuntime(net, 2))
    assert isinstance(runtime, Runtime)
    values = drawn(runtime, TIME, range(3), staggered=True)
    for item, expected in drawn(NaiveRuntime(net, 2), TIME, range(3)).items():
        np.testing.assert_array_equal(values[item], expected)
    with torch.no_grad():
        other.module.out.bias += torch.tensor([3.0, 0, -3])
    faulty = compared(NaiveRuntime(net, 2), NaiveRuntime(other, 2))
    with pytest.raises(RuntimeError, match="values differ"):
        drawn(faulty, TIME, range(2))


def test_every_example_is_carried_out() -> None:
    assert set(EXAMPLES) == {"rule", "family", "likelihood", "runtime"}
    assert re.findall(r"^### An? (.*)$", TEXT, re.MULTILINE) == [
        "operator rule", "family", "likelihood", "runtime",
    ]  # fmt: skip
